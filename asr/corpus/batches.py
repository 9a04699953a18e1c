"""Utterances to batches: length buckets by duration, audio to padded features."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from asr.corpus.manifest import Utterance
from asr.errors import AsrError
from asr.signal import audio
from asr.signal.augment import (
    AugmentConfig,
    augment_waveform,
    mask_features,
    warp_features,
)
from asr.signal.features import FeatureExtractor

Key = tuple[int, int]
"""Epoch and index of an utterance: all that its random augmentation depends on, with the seed."""


@dataclass(frozen=True)
class Batch:
    """Padded features and targets of N utterances.

    With two views, each utterance stands in the batch twice, differently masked: first view of
    all, then second view of all, N counting both.
    """

    ids: list[str]
    features: Tensor
    """`(N, T, F)`, zeros beyond each length."""
    feature_lengths: Tensor
    targets: Tensor
    """`(N, U)`, zeros beyond each length."""
    target_lengths: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        tensors = (self.features, self.feature_lengths, self.targets, self.target_lengths)
        return Batch(self.ids, *(tensor.to(device) for tensor in tensors))


Item = tuple[str, list[Tensor], Tensor]
"""Id, views of the features `(T, F)` and target `(U,)` of an utterance."""


class UtteranceDataset(Dataset[Item]):
    """Features and targets of utterances; with `augment`, `views` differently masked ones each.

    `least_seconds` is the time that each target needs: augmentation leaves as much.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        targets: Sequence[Sequence[int]],
        extractor: FeatureExtractor,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        views: int = 1,
        least_seconds: Sequence[float] | None = None,
    ) -> None:
        self.utterances = utterances
        self.targets = targets
        self.extractor = extractor
        self.augment = augment
        self.seed = seed
        self.views = views
        self.least_seconds = least_seconds or [0.0] * len(utterances)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        utterance = self.utterances[index]
        sample_rate = self.extractor.config.sample_rate
        waveform, _ = audio.read(utterance.audio_filepath, sample_rate)
        views = self._views(waveform, epoch, index)
        return utterance.id, views, torch.tensor(self.targets[index], dtype=torch.long)

    def __getitems__(self, keys: Sequence[Key]) -> list[Item] | AsrError:
        """The items of a batch, or what stands in its way, for `BatchLoader` to raise."""
        try:
            return [self[key] for key in keys]
        except AsrError as error:
            return error

    def _views(self, waveform: Tensor, epoch: int, index: int) -> list[Tensor]:
        augment = self.augment
        if augment is None:
            return [self.extractor(waveform)]
        seed = (self.seed * 1_000_003 + epoch) * 1_000_003 + index
        generator = torch.Generator().manual_seed(seed % 2**63)  # as large as it takes
        sample_rate = self.extractor.config.sample_rate
        least_seconds = self.least_seconds[index]
        waveform = augment_waveform(waveform, sample_rate, augment, generator, least_seconds)
        frames = warp_features(self.extractor.frames(waveform), augment, generator)
        return [
            self.extractor.stacked(mask_features(frames, augment, generator))
            for _ in range(self.views)
        ]


def collate(items: Sequence[Item]) -> Batch:
    """Pad the utterances of a batch with zeros to the longest."""
    ids, views, targets = zip(*items, strict=True)
    features = [frames for same_view in zip(*views, strict=True) for frames in same_view]
    copies = len(features) // len(ids)
    all_targets = list(targets) * copies
    return Batch(
        ids=list(ids) * copies,
        features=pad_sequence(features, batch_first=True),
        feature_lengths=torch.tensor([len(frames) for frames in features]),
        targets=pad_sequence(all_targets, batch_first=True),
        target_lengths=torch.tensor([len(target) for target in all_targets]),
    )


class DurationBatches(Sampler[list[Key]]):
    """Batches of utterances of like length, each of at most `batch_seconds` with its padding.

    With a seed, lengths are jittered by a tenth before sorting and the batches come in random
    order, both anew each epoch; without one, the batches are the same each time, longest first.
    An utterance longer than `batch_seconds` makes a batch of its own. `start` leaves out that
    many batches of the epoch, as when an interrupted run goes on.
    """

    def __init__(
        self, durations: Sequence[float], batch_seconds: float, seed: int | None = None
    ) -> None:
        self.durations = durations
        self.batch_seconds = batch_seconds
        self.seed = seed
        self.epoch = 0
        self.start = 0

    def batches(self) -> list[list[Key]]:
        """Every batch of the current epoch, whatever `start`."""
        lengths = torch.tensor(self.durations, dtype=torch.float64)
        generator = torch.Generator()
        if self.seed is not None:
            generator.manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
            lengths = lengths * (1 + 0.1 * torch.rand(len(lengths), generator=generator))
        batches: list[list[Key]] = []
        batch: list[Key] = []
        longest = 0.0
        for index in lengths.argsort(descending=True, stable=True).tolist():
            longest = max(longest, self.durations[index])
            if batch and longest * (len(batch) + 1) > self.batch_seconds:
                batches.append(batch)
                batch, longest = [], self.durations[index]
            batch.append((self.epoch, index))
        if batch:
            batches.append(batch)
        if self.seed is None:
            return batches
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches()[self.start :])

    def __len__(self) -> int:
        return len(self.batches()) - self.start


def make_loader(
    dataset: UtteranceDataset, batches: DurationBatches, workers: int = 0
) -> "BatchLoader":
    """A loader that computes features in the background when `workers` is above 0."""
    return BatchLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=_collate_or_pass_on,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_interrupts_to_the_parent,
        # Its own, or each start of an epoch would draw from the generator that dropout draws
        # from, and an epoch that is resumed starts twice.
        generator=torch.Generator(),
    )


class BatchLoader(DataLoader[Batch]):
    """Batches in order. Raises AudioError, as it was, on a recording that cannot be read.

    Raised in a background worker, an error would arrive as the text of a traceback.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, AsrError):
                raise batch
            yield batch


def _collate_or_pass_on(items: Sequence[Item] | AsrError) -> Batch | AsrError:
    return items if isinstance(items, AsrError) else collate(items)


def _leave_interrupts_to_the_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
