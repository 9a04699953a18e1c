"""Which code is running: the version, the commit it was built from, and the packages beside it.

setuptools loads this file by itself to name a build (`setup.cfg`), so it imports only the standard
library.
"""

import importlib.metadata
import platform
import re
import shutil
import subprocess
from pathlib import Path

__version__ = "0.1.0"

DISTRIBUTION = "ctc-asr"
"""The name under which this package is installed; `asr` is another project's on PyPI."""
_PACKAGES = ("torch", "torchaudio", "numpy", "soundfile", "safetensors")
_UNKNOWN = "unknown"


def build_version() -> str:
    """The version of the distribution that is built from this source tree.

    It is `__version__` alone only for a clean checkout of the tag `v<__version__>`. Else a local
    label (PEP 440) says what the code is: `+g<commit>`, `+g<commit>.dirty` with uncommitted
    changes, or `+unknown` outside git. A source distribution keeps the version it was given.
    """
    built = _version_of_source_distribution()
    if built:
        return built
    described = _describe()
    if described == f"v{__version__}":
        return __version__
    if described is None:
        return f"{__version__}+{_UNKNOWN}"
    commit = _git("rev-parse", "--short=12", "HEAD")
    return f"{__version__}+g{commit}" + (".dirty" if described.endswith("-dirty") else "")


def source_commit() -> str | None:
    """The commit of the running code, ending in `-dirty` if it was edited after it; None: unknown.

    In a checkout it is as `git describe` gives it, in an installed package as `build_version` kept
    it. (A virtual environment inside another repository does not pass for a commit of that.)
    """
    return _describe() or _commit_of_installed()


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a result depends on."""
    versions = {"python": platform.python_version(), "asr": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _describe() -> str | None:
    """`git describe` of the checkout that tracks this file; None without git or outside one."""
    here = Path(__file__).resolve()
    if _git("ls-files", "--error-unmatch", here.name) is None:
        return None
    described = _git("describe", "--always", "--dirty", "--abbrev=12")
    # `--dirty` overlooks new files, but Python imports them and a wheel carries them.
    new = _git("ls-files", "--others", "--exclude-standard", "--", "*.py")
    return f"{described}-dirty" if described and new and "-dirty" not in described else described


def _git(*arguments: str) -> str | None:
    """The output of a git command in the folder of this file; None if it is empty or it fails."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _version_of_source_distribution() -> str | None:
    """The version in the `PKG-INFO` that setuptools writes at the top of a source distribution."""
    try:
        text = (Path(__file__).resolve().parents[1] / "PKG-INFO").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"^Version: ({re.escape(__version__)}\S*)$", text, re.MULTILINE)
    return found.group(1) if found else None


def _commit_of_installed() -> str | None:
    """The commit in the version of the installed package, if this file is part of one."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.read_text("RECORD") is None:  # what a build left beside the sources
        return None
    installed = Path(str(distribution.locate_file("asr"))).resolve()
    if installed != Path(__file__).resolve().parent:  # another copy: this one is not installed
        return None
    version, _, label = distribution.version.partition("+")
    if not label:
        return f"v{version}"
    commit, _, state = label.removeprefix("g").partition(".")
    return None if label == _UNKNOWN else commit + ("-dirty" if state else "")
