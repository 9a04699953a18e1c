"""The dataset: an utterance's audio and text to features and targets, and batches of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from asr.corpus.check import minimum_frames
from asr.corpus.manifest import Utterance
from asr.corpus.noise_corpus import NoiseCorpus
from asr.corpus.recordings import read_utterance
from asr.corpus.sampler import UtteranceKey
from asr.errors import AsrError, AudioError
from asr.signal.augment import AugmentConfig, augment_waveform
from asr.signal.features import FeatureExtractor
from asr.signal.rng import randint, seeded_generator, uniform
from asr.signal.spec_augment import mask_features, warp_features, warp_time
from asr.text.tokens import TokenTable


class Beginning(NamedTuple):
    """An utterance as far as it has been heard when its first frames are encoded in a stream."""

    features: Tensor
    """`(T, F)`, normalised over themselves."""
    counted: int
    """The first output frames, whose emissions count; those behind them are context."""


class Beginnings(NamedTuple):
    """The beginnings of the N utterances of a batch."""

    features: Tensor
    """`(N, T, F)`, zeros beyond each length."""
    lengths: Tensor
    """`(N,)`, frames."""
    counted: Tensor
    """`(N,)`, output frames."""


@dataclass(frozen=True)
class Batch:
    """Padded features and targets of N utterances.

    With two views, each utterance is in the batch twice, with different masks: first the first
    view of every utterance, then the second view of every utterance. N counts both.
    """

    ids: list[str]
    features: Tensor
    """`(N, T, F)`, zeros beyond each length."""
    feature_lengths: Tensor
    """`(N,)`, frames."""
    targets: Tensor
    """`(N, U)`, zeros beyond each length."""
    target_lengths: Tensor
    """`(N,)`, tokens."""
    views: int = 1
    beginnings: Beginnings | None = None
    """With `augment.right_context_seconds`."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            self.ids,
            moved(self.features),
            moved(self.feature_lengths),
            moved(self.targets),
            moved(self.target_lengths),
            self.views,
            self.beginnings and Beginnings(*map(moved, self.beginnings)),
        )


LARGEST_DIFFERENCE_SECONDS, LARGEST_DIFFERENCE = 0.5, 0.05
"""By so much, in seconds or as a part, whichever is more, a recording may be longer or shorter than
its manifest says: some round to whole seconds."""

Item = tuple[str, list[Tensor], Tensor, list[Beginning]]
"""Id, views of the features `(T, F)`, target `(U,)` and, if there are any, beginnings of the views
of an utterance."""


class UtteranceDataset(Dataset[Item]):
    """Features and targets of utterances, indexed by `UtteranceKey`.

    `views` and `subsampling` map an epoch to how many versions of the features, which differ in
    their masks, each item has with `augment`, and to the feature frames per output frame of the
    encoder; trimming never leaves an utterance with fewer output frames than its target needs.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokens: TokenTable,
        extractor: FeatureExtractor,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        views: Callable[[int], int] = lambda epoch: 1,
        subsampling: Callable[[int], int] = lambda epoch: 1,
    ) -> None:
        self.utterances = utterances
        self.tokens = tokens
        self.extractor = extractor
        self.augment = augment
        self.seed = seed
        self.views = views
        self.subsampling = subsampling
        noises = augment.noises if augment is not None else ()
        self.noise = NoiseCorpus(noises, extractor.config.sample_rate) if noises else None

    def __getitem__(self, key: UtteranceKey) -> Item:
        """Raises AudioError if the recording cannot be read or is not as long as the manifest says,
        TextError on unknown characters."""
        utterance = self.utterances[key.utterance]
        target = self.tokens.encode(utterance.text)
        waveform, rate = read_utterance(utterance, self.extractor.config.sample_rate)
        check_duration(utterance, len(waveform) / rate)
        views, beginnings = self._views(waveform, key, minimum_frames(target))
        return utterance.id, views, torch.tensor(target, dtype=torch.long), beginnings

    def __getitems__(self, keys: Sequence[UtteranceKey]) -> list[Item] | AsrError:
        """The items of a batch, or the error that prevented it, for `BatchLoader` to raise.

        Returned rather than raised: a worker process would turn it into the text of a traceback.
        """
        try:
            return [self[key] for key in keys]
        except AsrError as error:
            return error

    def _views(
        self, waveform: Tensor, key: UtteranceKey, least_frames: int
    ) -> tuple[list[Tensor], list[Beginning]]:
        """Features, and the beginning of each view if there are to be any.

        Trimming leaves `least_frames` output frames at the fastest speed.
        """
        augment = self.augment
        if augment is None:
            return [self.extractor(waveform)], []
        # Seeded by epoch and utterance: neither the batch, the worker nor a resumed run matters.
        generator = seeded_generator(self.seed, key.epoch, key.utterance)
        sample_rate = self.extractor.config.sample_rate
        subsampling = self.subsampling(key.epoch)
        frame_seconds = self.extractor.config.frame_seconds * subsampling * augment.fastest_speed
        # Two frames to spare: resampling and subsampling round lengths.
        min_seconds = (least_frames + 2) * frame_seconds
        waveform = augment_waveform(
            waveform, sample_rate, augment, generator, key.speed, min_seconds, self.noise
        )
        frames = warp_features(self.extractor.frames(waveform), augment, generator)
        frames = warp_time(frames, augment, generator)
        views, beginnings = [], []
        for _ in range(self.views(key.epoch)):
            masked = mask_features(frames, augment, generator)
            views.append(self.extractor.stacked(masked))
            if augment.right_context_seconds:
                right = uniform(0, augment.right_context_seconds, generator)
                beginnings.append(self._beginning(frames, masked, right, subsampling, generator))
        return views, beginnings

    def _beginning(
        self,
        frames: Tensor,
        masked: Tensor,
        right_seconds: float,
        subsampling: int,
        generator: torch.Generator,
    ) -> Beginning:
        """The beginning of an utterance that is cut at a random output frame.

        `frames` are its features `(T, F)` before stacking, without and with masks.
        """
        config = self.extractor.config
        unit = subsampling * config.stack
        counted = randint(-(-len(frames) // unit), generator)
        # As of a waveform that ends there, which has a frame at its last sample.
        end = counted * unit + round(right_seconds / config.hop_seconds) + 1
        if end >= len(frames):
            return Beginning(self.extractor.stacked(masked), counted)
        heard = self.extractor.normalise(frames[:end]).masked_fill(masked[:end] == 0, 0.0)
        return Beginning(self.extractor.stacked(heard), counted)


def check_duration(utterance: Utterance, seconds: float) -> None:
    """Refuse a recording, of so many seconds, that is not as long as the manifest says.

    Batches are planned, and memory is measured, by that.
    """
    stated = utterance.duration
    if abs(seconds - stated) > max(LARGEST_DIFFERENCE_SECONDS, LARGEST_DIFFERENCE * stated):
        raise AudioError(
            f"{utterance.audio_filepath}: expected a recording of {stated:.6g} s, as the manifest "
            f"says of {utterance.id}, found {seconds:.6g} s; if the file was replaced, write the "
            "manifest anew"
        )


def collate(items: Sequence[Item]) -> Batch:
    """Pad the utterances of a batch with zeros to the longest."""
    ids, views, targets, beginnings = zip(*items, strict=True)
    # From utterance by utterance to view by view, the order that `Batch` states.
    features = [frames for same_view in zip(*views, strict=True) for frames in same_view]
    heard = [beginning for same_view in zip(*beginnings, strict=True) for beginning in same_view]
    num_views = len(features) // len(ids)
    all_targets = list(targets) * num_views
    return Batch(
        ids=list(ids) * num_views,
        features=pad_sequence(features, batch_first=True),
        feature_lengths=torch.tensor([len(frames) for frames in features]),
        targets=pad_sequence(all_targets, batch_first=True),
        target_lengths=torch.tensor([len(target) for target in all_targets]),
        views=num_views,
        beginnings=_collated(heard) if heard else None,
    )


def _collated(beginnings: Sequence[Beginning]) -> Beginnings:
    return Beginnings(
        pad_sequence([one.features for one in beginnings], batch_first=True),
        torch.tensor([len(one.features) for one in beginnings]),
        torch.tensor([one.counted for one in beginnings]),
    )
