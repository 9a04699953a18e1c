"""The loader: the same batches with any number of workers, and errors with their own type."""

from pathlib import Path

import pytest
import torch

from asr.corpus.dataset import Batch
from asr.corpus.loader import make_loader
from asr.corpus.manifest import Utterance
from asr.corpus.sampler import DurationBatchSampler
from asr.errors import AudioError
from tests.corpus.test_dataset import dataset


def load(utterances: list[Utterance], workers: int, start: int = 0) -> list[Batch]:
    durations = [u.duration for u in utterances]
    batches = DurationBatchSampler(durations, 1.0, seed=3, speeds=(0.9, 1.0, 1.1))
    batches.epoch, batches.start_batch = 1, start
    return list(make_loader(dataset(utterances, views=2), batches, workers))


def test_workers_and_resuming_change_nothing(utterances: list[Utterance]) -> None:
    here = load(utterances, workers=0)
    elsewhere = load(utterances, workers=1, start=1)

    assert sorted(name for batch in here for name in batch.ids) == [
        f"u{i}" for i in range(6) for _ in range(2)
    ]
    assert len(here) > 2
    for one, other in zip(here[1:], elsewhere, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.features, other.features)
        assert torch.equal(one.feature_lengths, other.feature_lengths)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("workers", [0, 1])
def test_faulty_recording_is_named(tmp_path: Path, workers: int) -> None:
    gone = Utterance("gone", tmp_path / "gone.wav", 1.0, "A")

    with pytest.raises(AudioError, match=r"gone\.wav"):
        list(make_loader(dataset([gone]), DurationBatchSampler([1.0], 10.0), workers))


def test_loading_draws_nothing_from_the_global_generator(utterances: list[Utterance]) -> None:
    before = torch.random.get_rng_state()

    load(utterances, workers=0)

    assert torch.equal(torch.random.get_rng_state(), before)
