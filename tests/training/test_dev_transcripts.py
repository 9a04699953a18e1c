"""Validation transcripts in a run's folder: the same few at every epoch, all at the newest."""

import json
from pathlib import Path

import pytest

from asr.checkpoint.run_folder import read_lines
from asr.training.dev_transcripts import SAMPLES, record_samples, record_transcripts


def test_samples_are_the_same_few_at_every_epoch_and_spread_over_lengths(tmp_path: Path) -> None:
    references = {f"u{length:02}": "x" * length for length in range(15, 0, -1)}
    for epoch in (1, 2):
        record_samples(tmp_path, epoch, references, dict.fromkeys(references, f"é{epoch}"), 3)

    entries = [json.loads(line) for line in (tmp_path / SAMPLES).read_text("utf-8").splitlines()]
    assert [(entry["id"], entry["epoch"], entry["hypothesis"]) for entry in entries] == [
        (i, epoch, f"é{epoch}") for i in ("u01", "u08", "u15") for epoch in (1, 2)
    ]
    assert all(entry["reference"] == references[entry["id"]] for entry in entries)
    assert "é" in (tmp_path / SAMPLES).read_text("utf-8")  # to be read by eye


@pytest.mark.parametrize("utterances", [0, 1, 2, 8, 9])
def test_samples_of_few_utterances_are_distinct(tmp_path: Path, utterances: int) -> None:
    references = {f"u{number}": "same" for number in range(utterances)}
    record_samples(tmp_path, 1, references, references)

    entries, _ = read_lines(tmp_path / SAMPLES)
    assert len({entry["id"] for entry in entries}) == len(entries) == min(utterances, 8)


def test_an_epoch_gone_through_again_replaces_what_followed(tmp_path: Path) -> None:
    references = {"u": "ONE"}
    for epoch, heard in ((1, "a"), (2, "b"), (3, "c"), (2, "B")):
        record_samples(tmp_path, epoch, references, {"u": heard})

    entries, _ = read_lines(tmp_path / SAMPLES)
    assert [(entry["epoch"], entry["hypothesis"]) for entry in entries] == [(1, "a"), (2, "B")]


def test_samples_outlive_a_damaged_file_and_another_dev_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_samples(tmp_path, 1, {"old": "ONE"}, {"old": "WON"})
    with (tmp_path / SAMPLES).open("ab") as file:
        file.write(b'\xff\xfe\n[]\n{"epoch": "x"}\n{"epo')
    record_samples(tmp_path, 2, {"new": "TWO"}, {"new": "TOO"})

    entries, unreadable = read_lines(tmp_path / SAMPLES)
    assert [(entry["id"], entry["epoch"]) for entry in entries] == [("new", 2), ("old", 1)]
    assert unreadable == []
    assert "damaged lines were dropped: [2, 3]" in caplog.text


def test_transcripts_of_the_newest_epoch_stand_beside_their_references(tmp_path: Path) -> None:
    record_transcripts(tmp_path, {"b": "TWO", "a": "ONE"}, {"b": "TOO", "a": "ONE"})

    assert (tmp_path / "dev_transcripts.txt").read_text() == (
        "a\n  reference  ONE\n  hypothesis ONE\nb\n  reference  TWO\n  hypothesis TOO\n"
    )
