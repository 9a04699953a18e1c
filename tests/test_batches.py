"""Batches: every utterance once an epoch, in an order that seed and epoch decide."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.corpus.batches import (
    Batch,
    DurationBatches,
    Item,
    UtteranceDataset,
    collate,
    make_loader,
)
from asr.corpus.manifest import Utterance
from asr.errors import AudioError
from asr.signal.audio import write
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig, FeatureExtractor

durations_lists = st.lists(st.floats(0.01, 30), min_size=1, max_size=60)
EXTRACTOR = FeatureExtractor(FeatureConfig(num_mels=20, stack=2))
AUGMENT = AugmentConfig(gain_db=6.0, noise_chance=0.5)


def epoch_of(batches: DurationBatches, epoch: int) -> list[list[int]]:
    """Indices of the utterances of each batch."""
    batches.epoch = epoch
    assert {key[0] for batch in batches for key in batch} <= {epoch}
    return [[index for _, index in batch] for batch in batches]


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5), st.integers(0, 3))
def test_every_utterance_comes_once_an_epoch(
    durations: list[float], batch_seconds: float, seed: int | None, epoch: int
) -> None:
    batches = epoch_of(DurationBatches(durations, batch_seconds, seed), epoch)

    indices = [index for batch in batches for index in batch]
    assert sorted(indices) == list(range(len(durations)))
    assert all(batches)


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5))
def test_no_batch_is_longer_than_asked_with_its_padding(
    durations: list[float], batch_seconds: float, seed: int | None
) -> None:
    for batch in epoch_of(DurationBatches(durations, batch_seconds, seed), 0):
        padded = len(batch) * max(durations[index] for index in batch)
        assert padded <= batch_seconds or len(batch) == 1


@given(durations_lists, st.floats(1, 60))
def test_without_a_seed_the_longest_come_first_each_time(
    durations: list[float], batch_seconds: float
) -> None:
    batches = DurationBatches(durations, batch_seconds)

    first = epoch_of(batches, 0)
    assert epoch_of(batches, 1) == first
    in_order = [durations[index] for batch in first for index in batch]
    assert in_order == sorted(durations, reverse=True)


def test_batches_are_filled() -> None:
    assert epoch_of(DurationBatches([1.0] * 10, 4.0), 0) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert epoch_of(DurationBatches([3.0, 2.0, 2.0, 1.0], 4.0), 0) == [[0], [1, 2], [3]]


def test_padding_is_little() -> None:
    generator = torch.Generator().manual_seed(0)
    durations = (1 + 9 * torch.rand(500, generator=generator)).tolist()

    batches = epoch_of(DurationBatches(durations, 60.0, seed=0), 0)

    padded = sum(len(batch) * max(durations[i] for i in batch) for batch in batches)
    assert padded < 1.12 * sum(durations)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    durations = [1 + 0.01 * i for i in range(100)]
    orders = {
        (seed, epoch): epoch_of(DurationBatches(durations, 10.0, seed), epoch)
        for seed in (0, 1, 20_260_101, 2**63 - 1)
        for epoch in (0, 1)
    }

    assert len({str(order) for order in orders.values()}) == len(orders)
    for (seed, epoch), order in orders.items():
        assert epoch_of(DurationBatches(durations, 10.0, seed), epoch) == order


def test_utterances_meet_others_in_another_epoch() -> None:
    batches = DurationBatches([1 + 0.001 * i for i in range(100)], 10.0, seed=0)

    first, second = ({frozenset(batch) for batch in epoch_of(batches, e)} for e in (0, 1))

    assert not first & second


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5), st.data())
def test_start_leaves_exactly_the_tail(
    durations: list[float], batch_seconds: float, seed: int | None, data: st.DataObject
) -> None:
    batches = DurationBatches(durations, batch_seconds, seed)
    whole = epoch_of(batches, 2)
    assert len(batches) == len(whole)

    batches.start = data.draw(st.integers(0, len(whole)))

    assert epoch_of(batches, 2) == whole[batches.start :]
    assert len(batches) == len(whole) - batches.start
    assert len(batches.batches()) == len(whole)


def test_no_utterances_make_no_batches() -> None:
    assert list(DurationBatches([], 10.0, seed=0)) == []


def item(name: str, frames: int, target: Sequence[int], views: int = 1) -> Item:
    generator = torch.Generator().manual_seed(frames)
    features = [torch.randn(frames, 3, generator=generator) for _ in range(views)]
    return name, features, torch.tensor(target, dtype=torch.long)


def test_collate_pads_with_zeros() -> None:
    items = [item("a", 5, [1, 2]), item("b", 2, [3, 1, 2]), item("c", 1, [])]

    batch = collate(items)

    assert batch.ids == ["a", "b", "c"]
    assert batch.feature_lengths.tolist() == [5, 2, 1]
    assert batch.targets.tolist() == [[1, 2, 0], [3, 1, 2], [0, 0, 0]]
    assert batch.target_lengths.tolist() == [2, 3, 0]
    assert batch.features.shape == (3, 5, 3)
    for i, (_, (features,), _) in enumerate(items):
        assert torch.equal(batch.features[i, : len(features)], features)
        assert not batch.features[i, len(features) :].any()


def test_two_views_stand_one_after_the_other() -> None:
    items = [item("a", 4, [1], views=2), item("b", 2, [2, 3], views=2)]

    batch = collate(items)

    assert batch.ids == ["a", "b", "a", "b"]
    assert batch.feature_lengths.tolist() == [4, 2, 4, 2]
    assert batch.targets.tolist() == [[1, 0], [2, 3], [1, 0], [2, 3]]
    assert batch.target_lengths.tolist() == [1, 2, 1, 2]
    expected = [items[0][1][0], items[1][1][0], items[0][1][1], items[1][1][1]]
    for row, features in zip(batch.features, expected, strict=True):
        assert torch.equal(row[: len(features)], features)


def test_batch_moves_as_a_whole() -> None:
    moved = collate([item("a", 4, [1])]).to(torch.device("meta"))

    assert moved.ids == ["a"]
    tensors = [value for value in vars(moved).values() if isinstance(value, Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 4


@pytest.fixture(scope="module")
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


def dataset(
    utterances: list[Utterance],
    augment: AugmentConfig | None = AUGMENT,
    seed: int = 0,
    views: int = 1,
) -> UtteranceDataset:
    targets = [[1] * len(utterance.text) for utterance in utterances]
    return UtteranceDataset(utterances, targets, EXTRACTOR, augment, seed, views)


def test_item_without_augmentation_is_the_utterance(utterances: list[Utterance]) -> None:
    plain = dataset(utterances, augment=None)

    name, (features,), target = plain[0, 3]

    assert name == "u3"
    assert target.tolist() == [1, 1, 1]
    assert torch.equal(plain[7, 3][1][0], features)
    assert len(features) == -(-(1 + 4400 // 160) // 2)


def test_item_depends_on_seed_epoch_and_index_alone(utterances: list[Utterance]) -> None:
    def features(seed: int, epoch: int) -> Tensor:
        return dataset(utterances, seed=seed)[epoch, 2][1][0]

    first = features(0, 0)
    torch.rand(3)  # elsewhere, somebody draws

    assert torch.equal(features(0, 0), first)
    others = [features(0, 1), features(1, 0), features(20_260_101, 0), features(2**63 - 1, 3)]
    assert all(other.shape != first.shape or not torch.equal(other, first) for other in others)


def test_views_differ_in_masks_only(utterances: list[Utterance]) -> None:
    masks = AugmentConfig(speeds=(), time_masks=2, frequency_masks=2)

    _, (first, second), _ = dataset(utterances, augment=masks, views=2)[0, 5]

    plain = dataset(utterances, augment=None)[0, 5][1][0]
    assert not torch.equal(first, second)
    for view in (first, second):
        kept = view != 0
        assert torch.equal(view[kept], plain[kept])


def load(utterances: list[Utterance], workers: int, start: int = 0) -> list[Batch]:
    batches = DurationBatches([u.duration for u in utterances], 1.0, seed=3)
    batches.epoch, batches.start = 1, start
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
        list(make_loader(dataset([gone]), DurationBatches([1.0], 10.0), workers))


def test_loading_draws_nothing_from_the_global_generator(utterances: list[Utterance]) -> None:
    before = torch.random.get_rng_state()

    load(utterances, workers=0)

    assert torch.equal(torch.random.get_rng_state(), before)
