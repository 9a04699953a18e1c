"""What is installed: the wheel has every package, one checkpoint, and runs away from its source."""

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import asr
from asr.files import sha256_of
from asr.version import DISTRIBUTION
from tests.support import REPOSITORY

SAMPLE = REPOSITORY / "recipes" / "synthetic" / "samples" / "03-enter-flite-slt.flac"
CHECKPOINT = REPOSITORY / "checkpoints" / "english"
CHECKPOINT_FILES = {"README.md", "config.json", "lm.arpa.gz", "metrics.json", "model.safetensors"}

needs_setuptools = pytest.mark.skipif(
    importlib.util.find_spec("setuptools") is None, reason="no setuptools"
)


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_listed() -> None:
    listed = setup_cfg()["options"]["packages"].split()
    folders = {path.parent for path in (REPOSITORY / "asr").rglob("*.py")}
    found = {".".join(folder.relative_to(REPOSITORY).parts) for folder in folders}
    assert set(listed) == found | {"asr.shipped"}, "mend `packages` in setup.cfg"
    assert listed == sorted(listed)
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_files_of_the_shipped_checkpoint_are_listed() -> None:
    listed = setup_cfg()["options.package_data"]["asr.shipped"].split()
    assert set(listed) == {f"english/{name}" for name in CHECKPOINT_FILES}


def copy_of_the_source(folder: Path) -> Path:
    """What a build reads, in a folder that is no git repository."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.npz", ".*")
    for name in ("asr", "checkpoints"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """The output of a command that succeeds, run where this checkout is not on the import path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path, cwd: Path, python: str | Path = sys.executable) -> None:
    quiet = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    run(python, *quiet, *arguments, cwd=cwd)


def build_wheel(source: Path, output: Path) -> Path:
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", output, ".", cwd=source)
    (wheel,) = output.glob("*.whl")
    return wheel


_BUILD_SDIST = "from setuptools import build_meta; print(build_meta.build_sdist('../sdist'))"


@needs_setuptools
def test_wheel_transcribes_away_from_its_source(tmp_path: Path) -> None:
    """By way of a source distribution, as package indexes do it."""
    source = copy_of_the_source(tmp_path / "source")
    (tmp_path / "sdist").mkdir()
    run(sys.executable, "-c", _BUILD_SDIST, cwd=source)
    (archive,) = (tmp_path / "sdist").iterdir()
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = build_wheel(unpacked, tmp_path / "wheel")
    assert wheel.name == f"ctc_asr-{asr.__version__}+unknown-py3-none-any.whl"
    assert wheel.stat().st_size < 20e6
    with zipfile.ZipFile(wheel) as content:
        shipped = {name for name in content.namelist() if name.startswith("asr/shipped/")}
        modules = {name for name in content.namelist() if name.endswith(".py")}
    assert shipped == {f"asr/shipped/english/{name}" for name in CHECKPOINT_FILES}
    assert modules == {
        path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "asr").rglob("*.py")
    }
    target = tmp_path / "installed"
    pip(
        "install",
        "--no-deps",
        "--no-compile",
        "--no-index",
        "--target",
        target,
        wheel,
        cwd=tmp_path,
    )
    check = (
        "import asr; from asr.version import source_commit; print(asr.__file__, source_commit())"
    )
    found = run(sys.executable, "-c", check, cwd=tmp_path, PYTHONPATH=str(target))
    assert found == f"{target / 'asr' / '__init__.py'} None\n"
    transcribe = ("-m", "asr", "transcribe", "english", SAMPLE, "--beam_size", "1")
    text = run(sys.executable, *transcribe, cwd=tmp_path, PYTHONPATH=str(target))
    assert text == f"{asr.load(CHECKPOINT).transcribe(SAMPLE, beam_size=1).text}\n"
    assert text.strip()
    model = target / "asr" / "shipped" / "english" / "model.safetensors"
    assert sha256_of(model) == sha256_of(CHECKPOINT / "model.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_wheel_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """Installed with its dependencies, from a checkout with an uncommitted change."""
    source = copy_of_the_source(tmp_path / "source")
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    (source / ".gitignore").write_text("build/\n*.egg-info/\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        run("git", *identity, *arguments, cwd=source)
    commit = run("git", "rev-parse", "--short=12", "HEAD", cwd=source).strip()
    with (source / "asr" / "errors.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    wheel = build_wheel(source, tmp_path / "wheel")
    assert wheel.name == f"ctc_asr-{asr.__version__}+g{commit}.dirty-py3-none-any.whl"
    shutil.rmtree(source)
    venv.create(tmp_path / "venv", with_pip=True)
    (python,) = [p for p in (tmp_path / "venv").glob("*/python*") if p.stem == "python"]
    constraints = REPOSITORY / "constraints.txt"
    pip("install", "--constraint", constraints, wheel, cwd=tmp_path, python=python)
    command = python.with_name("asr").with_suffix(python.suffix)
    version = run(command, "--version", cwd=tmp_path)
    assert version == f"asr {asr.__version__} ({DISTRIBUTION}, source {commit}-dirty)\n"
    text = run(command, "transcribe", "english", SAMPLE, cwd=tmp_path)
    assert text == run(
        sys.executable, "-m", "asr", "transcribe", CHECKPOINT, SAMPLE, cwd=REPOSITORY
    )
    assert text.strip()
