"""The English recipe: its phrases, and how a checkpoint is judged."""

import re
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch

import asr
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError, ManifestError
from asr.signal import audio
from recipes.english import demo, judge, phrases, prepare, sentences, spoken, word_list
from recipes.synthetic.neural import read_phrases
from recipes.synthetic.prepare import SAMPLE_VOICES
from tests.support import REPOSITORY, run_recipe

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


def test_the_file_can_be_spoken(tmp_path: Path) -> None:
    manifest, output = tmp_path / "texts.jsonl", tmp_path / "new" / "phrases.txt"
    (tmp_path / "x.wav").touch()
    utterances = [
        Utterance(str(i), tmp_path / "x.wav", 1.0, text) for i, text in enumerate([*TEXTS, "", "1"])
    ]
    write_manifest(manifest, utterances)
    made = run_recipe(phrases.main, manifest, "--count", "300", "-o", output)
    assert "300 phrases" in made.stdout
    spoken = read_phrases(output)
    assert len(spoken) == 300
    assert any(" a " in f" {phrase} " for phrase in spoken)
    once = output.read_text()
    assert run_recipe(phrases.main, manifest, "--count", "300", "-o", output).code == 0
    assert output.read_text() == once


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Prepared corpora of a few words, all of one recording of a second."""
    path = tmp_path / "second.wav"
    audio.write(path, torch.zeros(16_000), 16_000)

    def write(name: str, rows: list[tuple[str, str]]) -> None:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        utterances = [
            Utterance(f"{name.partition('/')[0]}-{i}", path, 1.0, text, speaker)
            for i, (text, speaker) in enumerate(rows)
        ]
        write_manifest(tmp_path / "data" / name, utterances)

    write("librispeech/manifest.jsonl", [("A CAT", "1"), ("A DOG", "84")])
    children = [("THE SUN", "2"), ("ONE TWO", "3"), *[("A MOON", "5401")] * 40]
    write("speechocean762/train.jsonl", children)
    write("an4/train.jsonl", [("GO", "4"), ("STOP", "5")])
    write("words/manifest.jsonl", [("CAT", "1")] * 30 + [("A" * 60, "1"), ("SUN", "2")])
    write("neural/manifest.jsonl", [("HELLO", f"k{i}") for i in range(103)])
    write("synthetic-commands/manifest.jsonl", [("HALT", "e")])
    write("alphanumeric/train.jsonl", [])
    rows = [("an4-1", "GO"), ("sentences-1", "HE SAW"), ("noise-1", "")]
    known = [Utterance(name, path, 1.0, text) for name, text in rows]
    write_manifest(tmp_path / "data" / "alphanumeric" / "train.jsonl", known)
    write_manifest(tmp_path / "data" / "alphanumeric" / "dev.jsonl", known[:1])
    return tmp_path / "data"


def test_what_is_trained_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out speakers are not; nor are words beyond their limit, or too long for their time."""
    monkeypatch.setattr(prepare, "JOINED", 3)
    sentences.main(data / "english", data)
    assert [u.text for u in read_manifest(data / "english" / "held_out.jsonl")] == ["A DOG"]
    prepare.prepare(data / "english", data, seed=0)
    train = read_manifest(data / "english" / "train.jsonl")
    single = Counter(u.text for u in train if not u.id.startswith("joined"))
    assert single == {
        "GO": 1,
        "": 1,
        "A CAT": 1,
        "THE SUN": 1,
        "CAT": prepare.MAX_REPEATS,
        "SUN": 1,
        "HALT": 1,
        "HELLO": 3,
    }
    assert len(train) == single.total() + 3
    dev = Counter(u.text for u in read_manifest(data / "english" / "dev.jsonl"))
    assert dev == {"GO": 1, "HELLO": 100, "A MOON": 40}
    with pytest.raises(ManifestError, match="words"):
        prepare.prepare(data / "english", data.parent, seed=0)


def test_the_list_of_words(tmp_path: Path) -> None:
    (tmp_path / "x.wav").touch()

    def recording(name: str, text: str) -> Utterance:
        return Utterance(name, tmp_path / "x.wav", 1.0, text)

    cut = [recording(f"{i}", f"W{chr(65 + i % 26)}{chr(65 + i // 26)}") for i in range(450)]
    cut += [recording("short", "AT"), *(recording(f"more-{i}", cut[0].text) for i in range(5))]
    write_manifest(tmp_path / "cut.jsonl", cut)
    write_manifest(tmp_path / "noise.jsonl", [recording("noise", "")])
    noise = tmp_path / "noise.jsonl"
    word_list.main(tmp_path / "cut.jsonl", tmp_path / "out", noise, seed=1)
    listed = (tmp_path / "out" / "words.txt").read_text().split("\n")[:-1]
    assert len(set(listed)) == 200
    said = read_manifest(tmp_path / "out" / "words.jsonl")
    assert sorted(u.text for u in said) == listed
    others = [u.text for u in read_manifest(tmp_path / "out" / "others.jsonl")]
    assert len(others) == 201
    assert others[-1] == ""
    assert not set(others) & {*listed, "AT"}
    write_manifest(tmp_path / "cut.jsonl", cut[:399])
    with pytest.raises(AsrError, match="expected 400 different words of the held-out"):
        word_list.main(tmp_path / "cut.jsonl", tmp_path / "out", noise, seed=1)


def test_the_test_commands_are_said_by_voices_of_no_training_speech() -> None:
    jobs = spoken.plan(["BRING ME A GLASS", "HALT"], seed=0)
    assert [job.voice for job in jobs] == 2 * list(SAMPLE_VOICES)
    assert {job.text for job in jobs} == {"BRING ME a GLASS", "HALT"}
    assert len({job.id for job in jobs}) == 6


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
    with pytest.raises(ManifestError, match=r"missing\.jsonl: cannot read the manifest"):
        judge.main(CHECKPOINT, sentences, tmp_path / "missing.jsonl", None)


def test_committed_commands_are_those_of_the_plan() -> None:
    planned = spoken.plan(phrases.read_commands(), seed=0)[::16]
    found = read_manifest(demo.SPOKEN / "manifest.jsonl")
    assert [(one.id, one.text, one.speaker) for one in found] == [
        (job.id, job.text.upper(), job.voice.speaker) for job in planned
    ]
    files = {one.audio_filepath for one in found}
    assert files == set((demo.SPOKEN / "audio").iterdir())
    assert sum(path.stat().st_size for path in files) < 400_000


def test_demo_recognises_commands_and_rejects_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    demo.demo()
    printed = capsys.readouterr().out
    assert "reference   YES\n    hypothesis  YES" in printed
    assert re.search(r"^WER +1\d\.\d\d%", printed, re.M)
    right = re.search(r"^(\d+) of 10 commands right$", printed, re.M)
    rejected = re.search(r"^(\d+) of 24 other recordings, those above, rejected$", printed, re.M)
    assert right
    assert rejected
    assert int(right[1]) >= 9
    assert int(rejected[1]) >= 23
