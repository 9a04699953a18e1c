"""The English recipe: its phrases, and how a checkpoint is judged."""

import re
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

import asr
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from recipes.english import judge, phrases
from recipes.synthetic.neural import read_phrases
from tests.support import REPOSITORY

TEXTS = ["THE CAT SAT ON A MAT", "THE DOG SAW A CAT", "IT'S A DOG", "IT'S ON"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "ZERO"),
        (13, "THIRTEEN"),
        (40, "FORTY"),
        (100, "ONE HUNDRED"),
        (207, "TWO HUNDRED SEVEN"),
        (3050, "THREE THOUSAND FIFTY"),
        (9999, "NINE THOUSAND NINE HUNDRED NINETY NINE"),
    ],
)
def test_numbers_in_words(value: int, words: str) -> None:
    assert phrases.in_words(value) == words


def test_times_and_days() -> None:
    random = Random(0)
    times = {phrases.time_of_day(random) for _ in range(20_000)}
    assert {"HALF PAST SEVEN", "ONE O'CLOCK", "TWELVE THIRTY A M"} <= times
    assert not any(re.search("ZERO|SIXTY|THIRTEEN$", time) for time in times)
    days = {phrases.day(random) for _ in range(2000)}
    assert "ON MONDAY" in days
    assert "JUNE TWENTY FIRST" in days


def test_what_models_are_tested_with_is_not_drawn() -> None:
    commands = phrases.read_commands()
    assert len(commands) == len(set(commands)) == 50
    assert all(re.fullmatch("[A-Z]+(?: [A-Z]+)+", command) for command in commands)
    draw = phrases.Phrases(TEXTS, ["STOP", "SET A TIMER FOR TWO MINUTES", "CAT"])
    random = Random(1)
    drawn = {draw(random).upper() for _ in range(5000)}
    assert not drawn & {"STOP", "CAT", "SET A TIMER FOR TWO MINUTES"}
    assert {"GO", "DOG", "IT'S", "A", "SEVEN"} <= drawn


def test_words_and_parts_of_the_texts() -> None:
    draw = phrases.Phrases(TEXTS, [])
    assert draw.words == ["CAT", "DOG", "IT'S", "ON", "THE"]
    random = Random(2)
    parts = Counter(draw._part(random) for _ in range(500))
    # The article is said as one, and not as the letter.
    assert any("SAT ON a" in part for part in parts)
    assert all(part.upper() in " | ".join(TEXTS) for part in parts)
    assert all(2 <= len(part.split()) <= 5 for part in parts)


def test_the_file_can_be_spoken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, output = tmp_path / "texts.jsonl", tmp_path / "new" / "phrases.txt"
    (tmp_path / "x.wav").touch()
    utterances = [
        Utterance(str(i), tmp_path / "x.wav", 1.0, text) for i, text in enumerate([*TEXTS, "", "1"])
    ]
    write_manifest(manifest, utterances)
    assert phrases.main([str(manifest), "--count", "300", "-o", str(output)]) == 0
    assert "300 phrases" in capsys.readouterr().out
    spoken = read_phrases(output)
    assert len(spoken) == 300
    assert any(" a " in f" {phrase} " for phrase in spoken)
    once = output.read_text()
    assert phrases.main([str(manifest), "--count", "300", "-o", str(output)]) == 0
    assert output.read_text() == once


CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLES = read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples" / "manifest.jsonl")


def test_sentences_of_a_list_are_told_apart_and_from_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, others = SAMPLES[:12], SAMPLES[12:]
    sentences = tmp_path / "list.txt"
    sentences.write_text("\n".join(one.text for one in listed))
    found = judge.judge(asr.load(CHECKPOINT), sentences, listed, others)
    assert found["right"] >= 0.8
    assert found["accepted"] <= 0.3
    assert found["threshold"] < 0
    write_manifest(tmp_path / "listed.jsonl", listed[:3])
    judge.main(CHECKPOINT, sentences, tmp_path / "listed.jsonl", None)
    assert "of 3 recognised rightly" in capsys.readouterr().out
    own = shutil.copytree(CHECKPOINT, tmp_path / "own")
    judge.main(own, sentences, tmp_path / "listed.jsonl", None, rejected=0.0, keep=True)
    threshold = asr.load(own).prepare(grammar=sentences).decoder.reject_below
    assert threshold is not None
    assert -5.0 < threshold < 0.0
    with pytest.raises(SystemExit):
        judge.main(CHECKPOINT, sentences, tmp_path / "missing.jsonl", None)
    assert "missing.jsonl: cannot read the manifest" in capsys.readouterr().err
