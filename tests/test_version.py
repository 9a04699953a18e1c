"""Which code is running: version, commit, packages."""

import importlib.metadata
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from asr import version

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for `asr/version.py` of another source tree, which is no repository yet."""
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set when a hook runs tests
        monkeypatch.delenv(variable, raising=False)
    source = tmp_path / "repository" / "asr" / "version.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    monkeypatch.setattr(version, "__file__", str(source))
    return source


def commit_all(source: Path) -> None:
    git(source.parents[1], "init")
    git(source.parents[1], "add", ".")
    git(source.parents[1], "commit", "-m", "first")


@needs_git
def test_commit_of_a_checkout(source: Path) -> None:
    assert version.source_commit() is None  # no checkout
    git(source.parents[1], "init")
    assert version.source_commit() is None  # not tracked: a package installed in one
    commit_all(source)
    commit = version.source_commit()
    assert commit is not None
    assert len(commit) == 12
    source.write_text("edited")
    assert version.source_commit() == f"{commit}-dirty"
    git(source.parents[1], "tag", "-a", "v1", "-m", "release")
    assert version.source_commit() == "v1-dirty"


@needs_git
def test_new_modules_make_a_checkout_dirty(source: Path) -> None:
    commit_all(source)
    commit = version.source_commit()
    (source.parents[1] / "notes.py").write_text("")  # not of the package
    (source.parent / "notes.txt").write_text("")
    assert version.source_commit() == commit
    (source.parent / "new.py").write_text("")
    assert version.source_commit() == f"{commit}-dirty"
    source.write_text("edited")
    assert version.source_commit() == f"{commit}-dirty"


@needs_git
def test_version_of_a_build(source: Path) -> None:
    base = version.__version__
    assert version.build_version() == f"{base}+unknown"
    commit_all(source)
    commit = version.source_commit()
    assert version.build_version() == f"{base}+g{commit}"
    git(source.parents[1], "tag", "-a", f"v{base}", "-m", "release")
    assert version.build_version() == base
    source.write_text("edited")
    assert version.build_version() == f"{base}+g{commit}.dirty"


def test_version_of_a_source_distribution(source: Path) -> None:
    info = source.parents[1] / "PKG-INFO"
    info.write_text(f"Name: ctc-asr\nVersion: {version.__version__}+gabc.dirty\n")
    assert version.build_version() == f"{version.__version__}+gabc.dirty"
    for content in (b"Version: 9", b"", b"\xff"):
        info.write_bytes(content)
        assert version.build_version() == f"{version.__version__}+unknown"


def test_commit_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert version.source_commit() is None


class Installed:
    """Metadata of a distribution, as importlib gives them."""

    def __init__(self, folder: Path, label: str) -> None:
        self.folder, self.version = folder, f"0.1.0{label}"

    def locate_file(self, name: str) -> Path:
        return self.folder / name

    def read_text(self, name: str) -> str | None:
        return "" if name == "RECORD" else None


@pytest.mark.parametrize(
    ("label", "commit"),
    [
        ("+gabc123", "abc123"),
        ("+gabc123.dirty", "abc123-dirty"),
        ("", "v0.1.0"),
        ("+unknown", None),
    ],
)
def test_commit_of_an_installed_package(
    source: Path, monkeypatch: pytest.MonkeyPatch, label: str, commit: str | None
) -> None:
    def found(folder: Path) -> None:
        installed = Installed(folder, label)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)

    found(source.parents[1])
    assert version.source_commit() == commit
    found(source.parent)  # installed, but the code that runs is another copy
    assert version.source_commit() is None


def test_versions_leave_out_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "_PACKAGES", ("torch", "no-such-package"))
    versions = version.package_versions()
    assert versions.keys() == {"python", "asr", "torch"}
    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
