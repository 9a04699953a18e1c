"""The dataset: items that depend on seed, epoch and utterance alone, and padded batches."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from asr.corpus import dataset as dataset_module
from asr.corpus.dataset import Beginning, Item, UtteranceDataset, collate
from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.corpus.sampler import UtteranceKey
from asr.errors import AudioError
from asr.inference.windows import WindowReader
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.tokens import TokenTable

EXTRACTOR = FeatureExtractor(FeatureConfig(num_mels=20, stack=2))
AUGMENT = AugmentConfig(gain_db=6.0, noise_chance=0.5)


def item(name: str, frames: int, target: Sequence[int], views: int = 1) -> Item:
    generator = torch.Generator().manual_seed(frames)
    features = [torch.randn(frames, 3, generator=generator) for _ in range(views)]
    return name, features, torch.tensor(target, dtype=torch.long), []


def test_collate_pads_with_zeros() -> None:
    items = [item("a", 5, [1, 2]), item("b", 2, [3, 1, 2]), item("c", 1, [])]

    batch = collate(items)

    assert batch.ids == ["a", "b", "c"]
    assert batch.feature_lengths.tolist() == [5, 2, 1]
    assert batch.targets.tolist() == [[1, 2, 0], [3, 1, 2], [0, 0, 0]]
    assert batch.target_lengths.tolist() == [2, 3, 0]
    assert batch.features.shape == (3, 5, 3)
    for i, (_, (features,), _, _) in enumerate(items):
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
    return UtteranceDataset(utterances, tokens, EXTRACTOR, augment, seed, lambda epoch: views)


def test_item_without_augmentation_is_the_utterance(utterances: list[Utterance]) -> None:
    plain = dataset(utterances, augment=None)

    name, (features,), target, _ = plain[UtteranceKey(0, 3)]

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

    _, (first, second), _, _ = dataset(utterances, augment=masks, views=2)[UtteranceKey(0, 5)]

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


def test_beginnings_are_padded_view_by_view() -> None:
    names, lengths, counted = ("a", "b"), (6, 3), ([2, 0], [1, 1])
    items = []
    for name, frames, counts in zip(names, lengths, counted, strict=True):
        _, views, target, _ = item(name, frames, [1], views=2)
        heard = [Beginning(view[: 1 + n], n) for view, n in zip(views, counts, strict=True)]
        items.append((name, views, target, heard))

    batch = collate(items).to(torch.device("cpu"))

    assert batch.beginnings is not None
    assert batch.beginnings.counted.tolist() == [2, 1, 0, 1]
    assert batch.beginnings.lengths.tolist() == [3, 2, 1, 2]
    for row, whole, length in zip(
        batch.beginnings.features, batch.features, batch.beginnings.lengths, strict=True
    ):
        assert torch.equal(row[:length], whole[:length])
        assert not row[length:].any()
    assert collate([item("a", 4, [1])]).beginnings is None


def with_right_context(seconds: float, **changes: Any) -> AugmentConfig:
    return dataclasses.replace(AUGMENT, right_context_seconds=seconds, **changes)


def test_beginnings_leave_the_rest_as_it_is(utterances: list[Utterance]) -> None:
    key = UtteranceKey(3, 5)
    _, (view,), _, none = dataset(utterances)[key]
    _, views, _, beginnings = dataset(utterances, with_right_context(0.1), views=2)[key]
    assert none == []
    assert len(beginnings) == len(views) == 2
    assert torch.equal(views[0], view)
    again = dataset(utterances, with_right_context(0.1), views=2)[key][3]
    assert [one.counted for one in again] == [one.counted for one in beginnings]
    assert all(
        torch.equal(one.features, same.features)
        for one, same in zip(beginnings, again, strict=True)
    )


def test_a_beginning_with_all_the_context_is_the_whole(utterances: list[Utterance]) -> None:
    """Every context from the longest draw on is all there is of an utterance of half a second."""
    found = 0
    for epoch in range(20):
        _, views, _, beginnings = dataset(utterances, with_right_context(10.0))[
            UtteranceKey(epoch, 5)
        ]
        assert 0 <= beginnings[0].counted < len(views[0])
        if len(beginnings[0].features) == len(views[0]):
            assert torch.equal(beginnings[0].features, views[0])
            found += 1
    assert found > 10


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_a_beginning_is_what_a_stream_encodes(
    utterances: list[Utterance], subsampling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk of a stream up to the same frame, with the same right context."""
    right_seconds = 0.05
    monkeypatch.setattr(dataset_module, "uniform", lambda *_: right_seconds)
    plain = AugmentConfig(
        speeds=(), time_masks=0, frequency_masks=0, right_context_seconds=right_seconds
    )
    rate = 16_000
    extractor = FeatureExtractor(FeatureConfig(num_mels=20, stack=2, normalise="level"))
    data = UtteranceDataset(
        utterances, TokenTable(("A",)), extractor, plain, subsampling=lambda epoch: subsampling
    )
    waveform, _ = read_utterance(utterances[5], rate)
    reader = WindowReader(extractor, subsampling)
    counts = set()
    for epoch in range(20):
        _, (view,), _, (beginning,) = data[UtteranceKey(epoch, 5)]
        counts.add(beginning.counted)
        if beginning.counted == 0:
            continue
        heard = waveform[: beginning.counted * reader.unit + round(right_seconds * rate)]
        (window,) = reader.of_chunk(heard, 0, beginning.counted, 0, is_whole=True)
        assert (window.begin, window.end) == (0, beginning.counted)
        assert beginning.features.shape == window.features.shape
        if len(heard) < len(waveform):
            # The last window of features reaches beyond what a stream has heard.
            difference = (beginning.features - window.features)[:-1].abs()
            assert difference.max() < 0.3 < (view - view.mean()).abs().max()
    assert counts > {1, 3}
    assert max(counts) < -(-len(view) // subsampling)
