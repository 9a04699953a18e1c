"""Checkpoints by name."""

import os
from pathlib import Path

import pytest

from asr.checkpoint import registry
from asr.checkpoint.checkpoint import load_checkpoint, update_metrics
from asr.checkpoint.registry import find_checkpoint, shipped_checkpoints, writable_checkpoint
from asr.errors import CheckpointError
from tests.conftest import REPOSITORY


def test_checkpoints_of_a_checkout() -> None:
    shipped = shipped_checkpoints()
    assert list(shipped) == ["an4-blstm", "english"]
    assert shipped["english"] == REPOSITORY / "checkpoints" / "english"


def test_checkpoints_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "asr"
    monkeypatch.setattr(registry, "_PACKAGE", package)
    other = tmp_path / "checkpoints" / "stranger"
    other.mkdir(parents=True)
    (other / "config.json").write_text("{}")
    assert shipped_checkpoints() == {}  # another package that is called `checkpoints`
    with pytest.raises(CheckpointError, match="none is installed"):
        find_checkpoint("stranger")
    (package / "shipped" / "mine").mkdir(parents=True)
    (package / "shipped" / "mine" / "config.json").write_text("{}")
    (package / "shipped" / "empty").mkdir()
    assert shipped_checkpoints() == {"mine": package / "shipped" / "mine"}
    assert find_checkpoint("mine") == package / "shipped" / "mine"


def test_a_path_that_exists_comes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("english") == REPOSITORY / "checkpoints" / "english"
    Path("english").mkdir()
    assert find_checkpoint("english") == Path("english")
    assert find_checkpoint(tmp_path) == tmp_path
    with pytest.raises(CheckpointError, match=r"english: .*config\.json is missing"):
        load_checkpoint("english")


def test_a_checkpoint_is_loaded_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_checkpoint("english")
    assert loaded.folder == REPOSITORY / "checkpoints" / "english"
    assert loaded.config["recipe"] == "english"


@pytest.mark.parametrize(
    "name",
    [
        *("", "engglish", "../english", "./english", "english/"),
        *("/nonexistent/english", "*", "eng*", "a\nb", "a\0b", "\x1b[2J", "\ud800"),
        *("x" * 300, "x" * 100_000),
    ],
)
def test_what_is_no_checkpoint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for find in (find_checkpoint, load_checkpoint, writable_checkpoint):
        with pytest.raises(CheckpointError) as caught:
            find(name)
        message = str(caught.value)
        assert "expected a checkpoint folder or the name of a shipped checkpoint" in message
        assert "(an4-blstm, english), found nothing" in message
        assert message.isprintable()
        assert len(message) < 400


@pytest.mark.skipif(os.name == "nt", reason="POSIX only")
def test_a_folder_that_may_not_be_entered_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(CheckpointError, match="found nothing"):
        find_checkpoint(tmp_path / "link")


def test_a_shipped_checkpoint_is_not_changed_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"english: a shipped checkpoint.*copy it first \(cp -r .*my-english"
    with pytest.raises(CheckpointError, match=message):
        writable_checkpoint("english")
    with pytest.raises(CheckpointError, match=message):
        update_metrics("english", {})
    path = REPOSITORY / "checkpoints" / "english"
    assert writable_checkpoint(path) == path
