"""What transcribing by ear costs: the worst first, and the part that comes next."""

from pathlib import Path

import pytest

from asr.corpus.manifest import Utterance, write_manifest
from recipes.mboshi.field import Heard, corrected, field, next_part
from tests.support import run_recipe


def test_the_least_certain_are_heard_first() -> None:
    heard = [Heard(10, 1, 0.1), Heard(20, 9, 0.8), Heard(10, 4, 0.5), Heard(40, 2, 0.05)]
    assert corrected(heard, 1.0) == (16, 80)
    assert corrected(heard, 0.5) == (14, 40)
    assert corrected(heard, 0.25) == (9, 20)
    assert corrected(heard, 0.2) == (0, 0)


def test_the_next_part_is_what_the_model_has_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = [Utterance(f"u{n}", tmp_path / f"{n}.wav", 1.0, "a") for n in range(5)]
    for utterance in utterances:
        utterance.audio_filepath.touch()
    (tmp_path / "data/mboshi").mkdir(parents=True)
    for part, count in (("train-60", 2), ("train-120", 4), ("train", 5)):
        write_manifest(tmp_path / f"data/mboshi/{part}.jsonl", utterances[:count])
    monkeypatch.chdir(tmp_path)
    assert [u.id for u in next_part(60)] == ["u2", "u3"]
    assert [u.id for u in next_part(120)] == ["u4"]


def test_without_a_model_there_is_no_table(tmp_path: Path) -> None:
    assert "expected english-15/checkpoint or another" in run_recipe(field, tmp_path).error
