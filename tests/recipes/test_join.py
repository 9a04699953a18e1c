"""Recordings joined of several utterances."""

from pathlib import Path

import pytest
import torch

from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.corpus.recordings import read_utterance
from asr.errors import ManifestError
from asr.signal import audio
from recipes.join import MOST_UTTERANCES, join, main
from tests.support import run_recipe

RATE = 1000


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Six, each a tenth of a second of its own constant value; the last two of one speaker."""
    made = []
    for number in range(1, 7):
        path = tmp_path / f"{number}.wav"
        audio.write(path, torch.full((100,), number / 16), RATE)
        speaker = "ann" if number > 4 else f"speaker{number}"
        made.append(Utterance(f"u{number}", path, 0.1, f"{number}", speaker))
    return made


def test_texts_and_samples_belong_together(utterances: list[Utterance], tmp_path: Path) -> None:
    joined = join(utterances, 60, 0, tmp_path / "out")
    assert read_manifest(tmp_path / "out" / "manifest.jsonl") == joined
    same_level, sizes = 0, set()
    for recording in joined:
        numbers = [int(word) for word in recording.text.split()]
        samples, rate = read_utterance(recording)
        assert (len(samples), rate) == (100 * len(numbers), RATE)
        values = samples.reshape(len(numbers), 100)
        assert torch.equal(values, values[:, :1].expand_as(values))
        # Levels are changed by 6 dB at most, and all of a recording are lowered if one clips.
        ratios = values[:, 0] / (torch.tensor(numbers) / 16)
        same_level += torch.allclose(ratios, torch.ones(len(numbers)), atol=1e-3)
        assert ratios.max() / ratios.min() <= 10 ** (12 / 20) + 1e-3
        assert samples.abs().max() <= 1
        assert recording.speaker in (None, "ann")
        if recording.speaker:
            assert sorted(numbers) == [5, 6]
        sizes.add(len(numbers))
    assert sizes == set(range(2, MOST_UTTERANCES + 1))
    assert 20 < same_level < 40
    assert 20 < sum(recording.speaker == "ann" for recording in joined) < 40


def test_a_seed_gives_the_same_again(utterances: list[Utterance], tmp_path: Path) -> None:
    texts = [[u.text for u in join(utterances, 9, seed, tmp_path / "a")] for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_what_cannot_be_joined(utterances: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="at least two utterances to join, found 1"):
        join(utterances[:1], 1, 0, tmp_path / "out")
    audio.write(utterances[0].audio_filepath, torch.zeros(200), 2 * RATE)
    with pytest.raises(ManifestError, match=r"one sample rate to join, found \[1000, 2000\] Hz"):
        join(utterances[:2], 1, 0, tmp_path / "out")


def test_the_command(utterances: list[Utterance], tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", utterances)
    run = run_recipe(main, tmp_path / "m.jsonl", "-o", tmp_path / "out", "--recordings", "5")
    assert run.code == 0
    assert run.stdout.startswith("5 recordings, 0.00 hours")
    assert len(read_manifest(tmp_path / "out" / "manifest.jsonl")) == 5
