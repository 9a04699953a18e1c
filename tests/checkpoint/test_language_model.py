"""The language model in a checkpoint's folder."""

import dataclasses
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asr import files
from asr.checkpoint.checkpoint import LANGUAGE_MODEL, Checkpoint, load_checkpoint, update_metrics
from asr.checkpoint.language_model import own_language_model
from asr.errors import CheckpointError
from tests.checkpoint.support import save_small

CONTENT = gzip.compress(b"\\data\\", mtime=0)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a language model and the record of it that `asr tune` leaves."""
    save_small(tmp_path / "small")
    record = {LANGUAGE_MODEL: {"lm_sha256": SHA256}, "none": {"lm_sha256": None}}
    update_metrics(tmp_path / "small", {"decoding": record}, language_model=CONTENT)
    return tmp_path / "small"


def test_language_model_that_is_as_recorded(folder: Path) -> None:
    path = own_language_model(load_checkpoint(folder))
    assert path == folder / LANGUAGE_MODEL
    assert path.read_bytes() == CONTENT


def test_checkpoint_without_a_language_model(folder: Path) -> None:
    (folder / LANGUAGE_MODEL).unlink()
    update_metrics(folder, {})
    assert own_language_model(load_checkpoint(folder)) is None


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"decoding": {"none": {"lm_sha256": None}}},
        {"decoding": 3},
        {"decoding": {LANGUAGE_MODEL: []}},
    ],
)
def test_language_model_that_nothing_is_recorded_of(
    folder: Path, metrics: dict[str, object]
) -> None:
    update_metrics(folder, metrics)
    (folder / LANGUAGE_MODEL).write_bytes(b"another")
    assert own_language_model(load_checkpoint(folder)) == folder / LANGUAGE_MODEL


def test_checkpoint_that_lies_in_no_folder(folder: Path) -> None:
    checkpoint = dataclasses.replace(load_checkpoint(folder), folder=None)
    assert own_language_model(checkpoint) is None


def altered(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"?")


def truncated(path: Path) -> None:
    path.write_bytes(CONTENT[:-1])


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def as_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.skipif(os.name == "nt", reason="pipes and links as POSIX has them")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (altered, f"damaged or altered since it was saved.*{SHA256}"),
        (truncated, f"damaged or altered since it was saved.*{SHA256}"),
        (Path.unlink, f"missing, though decoding was tuned with it.*{SHA256}"),
        (as_folder, "expected a language model file, found something else"),
        (as_pipe, "expected a language model file, found something else"),
        (as_loop, "expected a language model file, found something else"),
        (as_link_to_nothing, "expected a language model file, found something else"),
    ],
)
def test_language_model_that_is_not_as_recorded(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    checkpoint: Checkpoint = load_checkpoint(folder)
    damage(folder / LANGUAGE_MODEL)
    with pytest.raises(CheckpointError, match=f"lm.arpa.gz: {message}.*--lm none"):
        own_language_model(checkpoint)


def test_language_model_of_a_save_that_was_cut_short(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next save it lies where the metrics that record it lie."""
    settle, calls = files._finish_commit, iter([files._finish_commit])
    monkeypatch.setattr(files, "_finish_commit", lambda folder: next(calls, lambda _: None)(folder))
    content = gzip.compress(b"\\data\\ anew", mtime=0)
    record = {"lm_sha256": hashlib.sha256(content).hexdigest()}
    update_metrics(folder, {"decoding": {LANGUAGE_MODEL: record}}, language_model=content)
    path = own_language_model(load_checkpoint(folder))
    assert path is not None
    assert path.read_bytes() == content
    settle(folder)
    assert own_language_model(load_checkpoint(folder)) == folder / LANGUAGE_MODEL
