"""The dataset: items that depend on seed, epoch and utterance alone, and padded batches."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from asr.corpus.dataset import Item, UtteranceDataset, collate
from asr.corpus.manifest import Utterance
from asr.corpus.sampler import UtteranceKey
from asr.errors import AudioError
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.tokens import TokenTable

EXTRACTOR = FeatureExtractor(FeatureConfig(num_mels=20, stack=2))
AUGMENT = AugmentConfig(gain_db=6.0, noise_chance=0.5)


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


def dataset(
    utterances: list[Utterance],
    augment: AugmentConfig | None = AUGMENT,
    seed: int = 0,
    views: int = 1,
) -> UtteranceDataset:
    tokens = TokenTable(("A",))
    return UtteranceDataset(utterances, tokens, EXTRACTOR, augment, seed, views)


def test_item_without_augmentation_is_the_utterance(utterances: list[Utterance]) -> None:
    plain = dataset(utterances, augment=None)

    name, (features,), target = plain[UtteranceKey(0, 3)]

    assert name == "u3"
    assert target.tolist() == [1, 1, 1]
    assert torch.equal(plain[UtteranceKey(7, 3)][1][0], features)
    assert len(features) == -(-(1 + 4400 // 160) // 2)


def test_an_item_is_played_at_the_speed_of_its_key(utterances: list[Utterance]) -> None:
    plain = dataset(utterances, AugmentConfig(speeds=(), time_masks=0, frequency_masks=0))

    lengths = [len(plain[UtteranceKey(0, 3, speed)][1][0]) for speed in (0.5, 1.0, 2.0)]

    assert lengths == [-(-(1 + samples // 160) // 2) for samples in (8800, 4400, 2200)]


def test_item_depends_on_seed_epoch_and_index_alone(utterances: list[Utterance]) -> None:
    def features(seed: int, epoch: int) -> Tensor:
        return dataset(utterances, seed=seed)[UtteranceKey(epoch, 2)][1][0]

    first = features(0, 0)
    torch.rand(3)  # elsewhere, somebody draws

    assert torch.equal(features(0, 0), first)
    others = [features(0, 1), features(1, 0), features(20_260_101, 0), features(2**63 - 1, 3)]
    assert all(other.shape != first.shape or not torch.equal(other, first) for other in others)


def test_views_differ_in_masks_only(utterances: list[Utterance]) -> None:
    masks = AugmentConfig(speeds=(), time_masks=2, frequency_masks=2)

    _, (first, second), _ = dataset(utterances, augment=masks, views=2)[UtteranceKey(0, 5)]

    plain = dataset(utterances, augment=None)[UtteranceKey(0, 5)][1][0]
    assert not torch.equal(first, second)
    for view in (first, second):
        kept = view != 0
        assert torch.equal(view[kept], plain[kept])


@pytest.mark.parametrize(("stated", "refused"), [(0.3, False), (0.7, True), (0.05, False)])
def test_a_recording_of_another_length_than_stated_is_refused(
    utterances: list[Utterance], stated: float, refused: bool
) -> None:
    one = dataclasses.replace(utterances[0], duration=stated)  # it lasts 0.125 s
    found = dataset([one]).__getitems__([UtteranceKey(0, 0)])
    assert isinstance(found, AudioError) == refused
    if refused:
        assert str(found).startswith(f"{one.audio_filepath}: expected a recording of 0.7 s, as the")
        assert "of u0, found 0.125 s" in str(found)
