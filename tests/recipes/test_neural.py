"""Neural speech: the phrases, parts and manifests, with a synthesiser that only hums."""

import json
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from recipes.synthetic import espeak, kokoro, neural
from tests.support import Outcome, run_recipe


class Hum:
    """A synthesiser that says every phrase as a hum, and cannot say MUMBLE."""

    said = 0

    def speaker(self, random: Random) -> kokoro.Speaker:
        share = random.uniform(0, 1)
        return kokoro.Speaker("us", ("af_a", "am_b"), share, pitch=1.0, tempo=1.0)

    def say(self, phrase: str, speaker: kokoro.Speaker) -> Tensor | None:
        self.said += 1
        time = torch.arange(1600 * len(phrase.split())) / kokoro.SAMPLE_RATE
        return None if phrase == "MUMBLE" else torch.sin(2 * torch.pi * 200 * speaker.share * time)


@pytest.fixture
def hum(monkeypatch: pytest.MonkeyPatch) -> Hum:
    one = Hum()
    monkeypatch.setattr(neural, "_kokoro", lambda _: one)
    monkeypatch.setattr(neural, "PART", 4)
    return one


@pytest.fixture
def phrases(tmp_path: Path) -> Path:
    path = tmp_path / "phrases.txt"
    path.write_text("SET a TIMER\n\nA B FORTY\nDON'T  STOP\nMUMBLE\n")
    return path


@pytest.mark.parametrize("accent", ["us", "gb"])
def test_words_that_the_lexicons_lack_are_guessed(accent: kokoro.Accent) -> None:
    pytest.importorskip("espeakng_loader", reason="the extra `neural` is not installed")
    one = object.__new__(kokoro.Kokoro)
    one._espeak = espeak.packaged()
    assert one._guessed("brillig", accent) == "bɹˈɪlɪɡ"


def die(task: object) -> None:
    os._exit(1)


def test_a_process_that_dies_is_noticed(phrases: Path, tmp_path: Path) -> None:
    """Its work would be missing for ever, and be waited for."""
    plan = neural.Plan(neural.read_phrases(phrases), Path("x"), tmp_path / "out", 300, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neural, "_write", die)
        with pytest.raises(AsrError, match="a process that made recordings has died"):
            neural.make(plan, processes=2)


def run(phrases: Path, folder: Path, count: int) -> Outcome:
    return run_recipe(
        neural.main, phrases, "--voices", "x", "--utterances", str(count), "-o", folder
    )


def test_more_utterances_continue_the_same_sequence(
    hum: Hum, phrases: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    made = run(phrases, folder, 8)
    first = read_manifest(folder / "manifest.jsonl")
    assert {one.text for one in first} <= {"SET A TIMER", "A B FORTY", "DON'T STOP"}
    assert len({one.speaker for one in first}) == len(first)
    assert f"{len(first)} utterances" in made.stdout
    contents = [one.audio_filepath.read_bytes() for one in first]
    before = hum.said
    assert run(phrases, folder, 16).code == 0
    assert hum.said == before + 8
    more = read_manifest(folder / "manifest.jsonl")
    assert more[: len(first)] == first
    assert [one.audio_filepath.read_bytes() for one in first] == contents


def test_an_interrupted_part_is_made_again(hum: Hum, phrases: Path, tmp_path: Path) -> None:
    assert run(phrases, tmp_path / "whole", 8).code == 0
    assert run(phrases, tmp_path / "torn", 8).code == 0
    (tmp_path / "torn" / "parts" / "00001.jsonl").unlink()
    (tmp_path / "torn" / "manifest.jsonl").unlink()
    assert run(phrases, tmp_path / "torn", 8).code == 0
    whole, torn = (
        [json.loads(line) for line in (tmp_path / name / "manifest.jsonl").open()]
        for name in ("whole", "torn")
    )
    assert whole == torn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a phrase a line, found none"),
        ("Stop\n", "line 1: expected words of capitals"),
    ],
)
def test_other_phrases_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "phrases.txt").write_text(text)
    with pytest.raises(AsrError, match=message):
        neural.read_phrases(tmp_path / "phrases.txt")


def test_without_voices(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match=r"expected voices such as af_heart\.bin, found 0"):
        kokoro.Kokoro(tmp_path)


def made(lexicon: dict[str, object]) -> kokoro.Kokoro:
    """One whose network is not there."""
    found = object.__new__(kokoro.Kokoro)
    found._lexicons = {"us": lexicon, "gb": lexicon}
    found._tokens = {sound: number for number, sound in enumerate("ʧɹzsˌˈɛɐtAIl.? ", 1)}
    return found


def test_letters_and_the_article() -> None:
    one = made(
        {"A": "ˈA", "a": "A", "Z": "zˈi", "tray": "tɹˌA", "lie": {"DEFAULT": "lˈI", "X": "?"}}
    )
    assert one.phonemes("A TRAY", "us") == "ˈA tɹˌA"
    assert one.phonemes("a LIE", "us") == "ɐ lˈI"
    assert one.phonemes("Z", "us") == "zˈi"
    assert one.phonemes("Z", "gb") == "zˈɛd"
    assert one.phonemes("a TRAY", "us") == "ɐ tɹˈA"


class Network:
    """A network that says each phoneme as a frame of a tone, and the pause as silence."""

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.array(inputs["tokens"])[0]
        time = np.arange(600) / 24_000
        frames = [
            np.zeros(600) if token in (0, 13, 14, 15) else np.sin(2 * np.pi * 400 * time)
            for token in tokens
        ]
        waveform = np.concatenate([np.tile(frame, 4) for frame in frames])
        return waveform.astype(np.float32), np.full(len(tokens), 4)


def test_the_carrier_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kokoro, "_CARRIERS", ("tAl? ",))
    one = made({"lie": "lˈI"})
    one._session = Network()
    one._voices = {"a": np.zeros((510, 256), np.float32)}
    speaker = kokoro.Speaker("us", ("a", "a"), 0.5, pitch=1.0, tempo=1.0)
    speech = one.say("LIE", speaker)
    assert speech is not None
    loud = (speech.abs() > 0.05).nonzero().ravel()
    # Three phonemes of 0.1 s each.
    assert float(loud[-1] - loud[0]) / kokoro.SAMPLE_RATE == pytest.approx(0.3, abs=0.03)
    assert 0.85 < float(speech.abs().max()) <= 0.9
