"""Fixtures that several tests of the corpus share."""

from pathlib import Path

import pytest
import torch

from asr.corpus import cache as shard_cache
from asr.corpus import recordings
from asr.corpus.manifest import Corpus, Utterance, write_manifest
from asr.corpus.shards import write_shards
from asr.signal import audio
from asr.signal.audio import write
from tests.corpus.shard_support import IDS, RATE, noise


@pytest.fixture(scope="package")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("corpus")
    generator = torch.Generator().manual_seed(0)
    result = []
    for i in range(6):
        samples = 2000 + 800 * i
        path = folder / f"u{i}.wav"
        write(path, 0.1 * torch.randn(samples, generator=generator).clamp(-5, 5), 16_000)
        result.append(Utterance(f"u{i}", path, samples / 16_000, "A" * i))
    return result


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two utterances of one speaker, in `train/`, beside their recordings."""
    (tmp_path / "wav").mkdir(exist_ok=True)
    train = tmp_path / "train"
    train.mkdir()
    for name, samples in (("a", 800), ("b", 1600)):
        audio.write(tmp_path / "wav" / f"{name}.wav", torch.zeros(samples), 16_000)
    (train / "wav.scp").write_text("b wav/b.wav\na\twav/a.wav\n\n")
    (train / "text").write_text("a  IT'S ONE \nb TWO THREE\n")
    (train / "utt2spk").write_text("a ann\nb ann\n")
    return tmp_path


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of ten utterances: wav and flac, and two parts of a longer recording."""
    folder = tmp_path_factory.mktemp("source")
    utterances = []
    for number, key in enumerate(IDS):
        path = folder / f"{number}.{'flac' if number % 2 else 'WAV'}"
        audio.write(path, noise(number), RATE)
        utterances.append(Utterance(key, path, 1500 / RATE, f"TEXT {number}", f"s{number % 2}"))
    audio.write(folder / "long.wav", noise(99, 9000), RATE)
    for number, (key, offset) in enumerate((("first", 0.0), ("second", 0.5))):
        utterances.append(Utterance(key, folder / "long.wav", 0.25, f"PART {number}", None, offset))
    write_manifest(folder / "train.jsonl", utterances)
    return folder / "train.jsonl"


@pytest.fixture
def shards(source: Path, tmp_path: Path) -> Path:
    """A fresh folder of the shards of `source`, three or four utterances each."""
    write_shards(Corpus.open([source]), tmp_path / "shards", 16_000)
    return tmp_path / "shards"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of copies, new for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(shard_cache.FOLDER_VARIABLE, str(folder))
    monkeypatch.delenv(shard_cache.LIMIT_VARIABLE, raising=False)
    recordings._checked.clear()
    return folder
