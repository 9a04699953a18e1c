"""Where a checkpoint came from: the state of the source code and the versions beside it."""

import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

_PACKAGES = ("asr", "torch", "torchaudio", "numpy", "soundfile", "safetensors")


def source_commit() -> str | None:
    """`git describe` of the checkout that this code runs from, ending in `-dirty` if it is edited.

    None without git, outside a checkout, and where the package is installed rather than tracked
    (a virtual environment inside somebody's repository must not pass for its commit).
    """
    git = shutil.which("git")
    if git is None:
        return None
    here = Path(__file__).resolve()
    tracked = _run(git, here.parent, "ls-files", "--error-unmatch", here.name)
    return tracked and _run(git, here.parent, "describe", "--always", "--dirty", "--abbrev=12")


def _run(git: str, folder: Path, *arguments: str) -> str | None:
    """The output of a git command, or None if it fails."""
    command = [git, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
