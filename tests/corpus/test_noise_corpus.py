"""Recorded noise: random parts of random recordings, from files, parts of files and shards."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asr.corpus import noise_corpus
from asr.corpus.dataset import UtteranceDataset
from asr.corpus.manifest import Corpus, Utterance, write_manifest
from asr.corpus.noise_corpus import NoiseCorpus
from asr.corpus.recordings import read_utterance
from asr.corpus.sampler import UtteranceKey
from asr.corpus.shards import write_shards
from asr.errors import AudioError, ManifestError
from asr.signal import audio
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.tokens import TokenTable

RATE = 16_000
OFF = AugmentConfig(speeds=(), time_masks=0, frequency_masks=0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps(first: int, samples: int) -> Tensor:
    """A sample's value tells which recording it is of, and where it stood."""
    return torch.arange(first, first + samples) / 32768


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 100, 3000 and 8000 samples, and 800 within the last, from 2400 on."""
    folder = tmp_path_factory.mktemp("noises")
    utterances = []
    for first, samples in ((1, 100), (1000, 3000), (10_000, 8000)):
        path = folder / f"{first}.wav"
        audio.write(path, steps(first, samples), RATE)
        utterances.append(Utterance(str(first), path, samples / RATE, ""))
    path = utterances[-1].audio_filepath
    utterances.append(Utterance("part", path, 800 / RATE, "A DOG", offset=2400 / RATE))
    write_manifest(folder / "noise.jsonl", utterances)
    return folder / "noise.jsonl"


def check(recorded: NoiseCorpus, num_samples: int) -> None:
    """Each is a part of one recording in its order, going round at most where it is too short."""
    extents = {(1, 101), (1000, 4000), (10_000, 18_000), (12_400, 13_200)}
    seen, starts = set(), set()
    for seed in range(80):
        noise = recorded(num_samples, seeded(seed))
        assert noise.shape == (num_samples,)
        assert torch.equal(recorded(num_samples, seeded(seed)), noise)
        found = (noise * 32768).round().long()
        jumps = (found.diff() != 1).nonzero().flatten()
        fitting = [
            (first, end)
            for first, end in extents
            if first <= int(found.min()) <= int(found.max()) < end
            and (num_samples > end - first or not len(jumps))
            and bool((found[jumps] == end - 1).all())
            and bool((found[jumps + 1] == first).all())
        ]
        assert fitting
        seen.update(fitting)
        starts.add(int(found[0]))
    assert seen == extents
    assert len(starts) > 60


@pytest.mark.parametrize("num_samples", [50, 700, 2000, 9000])
def test_noise_is_a_part_of_a_recording_or_goes_round(manifest: Path, num_samples: int) -> None:
    check(NoiseCorpus([str(manifest)], RATE), num_samples)


def test_noise_may_lie_in_shards(manifest: Path, tmp_path: Path) -> None:
    write_shards(Corpus.open([manifest]), tmp_path / "shards", 10**6)
    check(NoiseCorpus([str(tmp_path / "shards" / "manifest.jsonl")], RATE), 700)


@pytest.fixture
def lengths_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples of each reading of a recording of noise."""
    lengths = []

    def listen(utterance: Utterance, sample_rate: int) -> tuple[Tensor, int]:
        waveform, rate = read_utterance(utterance, sample_rate)
        lengths.append(len(waveform))
        return waveform, rate

    monkeypatch.setattr(noise_corpus, "read_utterance", listen)
    return lengths


def test_only_as_much_is_read_as_is_needed(manifest: Path, lengths_read: list[int]) -> None:
    recorded = NoiseCorpus([str(manifest)], RATE)
    for seed in range(20):
        recorded(500, seeded(seed))
    assert set(lengths_read) == {100, 660}


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_noise_of_another_rate_is_resampled(manifest: Path, rate: int) -> None:
    recorded = NoiseCorpus([str(manifest), str(manifest)], rate)
    for seed in range(20):
        assert recorded(777, seeded(seed)).shape == (777,)


def dataset(manifest: Path, augment: AugmentConfig | None, views: int = 1) -> UtteranceDataset:
    utterances = Corpus.open([manifest])[:]
    extractor = FeatureExtractor(FeatureConfig(num_mels=20, stack=2))
    return UtteranceDataset(
        utterances, TokenTable(tuple(" ADGO")), extractor, augment, 0, lambda epoch: views
    )


def test_training_hears_the_noise(manifest: Path, lengths_read: list[int]) -> None:
    noisy = dataclasses.replace(OFF, noise_chance=1.0, noises=(str(manifest),))
    with_noise, without = dataset(manifest, noisy), dataset(manifest, None)

    for epoch in range(40):
        heard = with_noise[UtteranceKey(epoch, 2)][1][0]
        assert not torch.equal(heard, without[UtteranceKey(epoch, 2)][1][0])
    assert 12 < len(lengths_read) < 28  # the others get coloured noise
    assert torch.equal(dataset(manifest, noisy)[UtteranceKey(epoch, 2)][1][0], heard)


def test_a_missing_or_empty_manifest_is_named(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    for name in ("gone.jsonl", "none.jsonl"):
        config = AugmentConfig(noises=(str(manifest), str(tmp_path / name)))
        with pytest.raises(ManifestError, match=name):
            dataset(manifest, config)


def test_a_recording_that_is_shorter_than_its_manifest_says_is_named(
    manifest: Path, tmp_path: Path
) -> None:
    entry = json.loads(manifest.read_text().splitlines()[0]) | {"duration": 3.0}
    entry["audio_filepath"] = str(manifest.parent / "1.wav")
    (tmp_path / "wrong.jsonl").write_text(json.dumps(entry) + "\n")
    recorded = NoiseCorpus([str(tmp_path / "wrong.jsonl")], RATE)

    with pytest.raises(AudioError, match=r"1\.wav: expected a segment"):
        recorded(1000, seeded(0))


def test_time_is_bent_alike_in_all_views(manifest: Path) -> None:
    bent = dataclasses.replace(OFF, time_warp=0.4)

    _, (first, second), _, _ = dataset(manifest, bent, views=2)[UtteranceKey(0, 2)]

    plain = dataset(manifest, None)[UtteranceKey(0, 2)][1][0]
    assert torch.equal(first, second)
    assert first.shape == plain.shape
    assert not torch.allclose(first, plain, atol=1e-3)
