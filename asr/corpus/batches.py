"""Utterances to batches: a plan of each epoch by duration, audio to padded features.

The plan depends on the seed and the epoch alone. It can be entered at any batch, and is the same
for any number of processes: each takes its share of the utterances of every batch.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from asr.corpus.check import minimum_frames
from asr.corpus.manifest import Utterance
from asr.corpus.noises import RecordedNoise
from asr.corpus.recordings import read_utterance
from asr.errors import AsrError
from asr.signal.augment import AugmentConfig, augment_waveform
from asr.signal.features import FeatureExtractor
from asr.signal.spec_augment import mask_features, warp_features, warp_time
from asr.text.tokens import TokenTable

_JITTER = 0.05
"""How far lengths are moved before sorting, so that utterances meet others in another epoch."""

PREFETCHED = 4
"""Batches that each of the loader's workers keeps ready."""


class Key(NamedTuple):
    """What the augmentation of an utterance depends on, with the seed."""

    epoch: int
    utterance: int
    """Its place in the corpus."""
    speed: float = 1.0


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
        return Batch(self.ids, *(tensor.to(device, non_blocking=True) for tensor in tensors))


Item = tuple[str, list[Tensor], Tensor]
"""Id, views of the features `(T, F)` and target `(U,)` of an utterance."""


class UtteranceDataset(Dataset[Item]):
    """Features and targets of utterances; with `augment`, `views` differently masked ones each.

    `seconds_per_frame` gives the time of an output frame of the encoder at the fastest speed, in an
    epoch: augmentation leaves an utterance the frames that its target needs.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokens: TokenTable,
        extractor: FeatureExtractor,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        views: int = 1,
        seconds_per_frame: Callable[[int], float] | None = None,
    ) -> None:
        self.utterances = utterances
        self.tokens = tokens
        self.extractor = extractor
        self.augment = augment
        self.seed = seed
        self.views = views
        self.seconds_per_frame = seconds_per_frame
        noises = augment.noises if augment is not None else ()
        self.noise = RecordedNoise(noises, extractor.config.sample_rate) if noises else None

    def __getitem__(self, key: Key) -> Item:
        utterance = self.utterances[key.utterance]
        target = self.tokens.encode(utterance.text)
        waveform, _ = read_utterance(utterance, self.extractor.config.sample_rate)
        frame_seconds = self.seconds_per_frame(key.epoch) if self.seconds_per_frame else 0.0
        least_seconds = (minimum_frames(target) + 2) * frame_seconds  # two more, for rounding
        views = self._views(waveform, key, least_seconds)
        return utterance.id, views, torch.tensor(target, dtype=torch.long)

    def __getitems__(self, keys: Sequence[Key]) -> list[Item] | AsrError:
        """The items of a batch, or what stands in its way, for `BatchLoader` to raise."""
        try:
            return [self[key] for key in keys]
        except AsrError as error:
            return error

    def _views(self, waveform: Tensor, key: Key, least_seconds: float) -> list[Tensor]:
        augment = self.augment
        if augment is None:
            return [self.extractor(waveform)]
        generator = seeded(self.seed, key.epoch, key.utterance)
        sample_rate = self.extractor.config.sample_rate
        waveform = augment_waveform(
            waveform, sample_rate, augment, generator, key.speed, least_seconds, self.noise
        )
        frames = warp_features(self.extractor.frames(waveform), augment, generator)
        frames = warp_time(frames, augment, generator)
        return [
            self.extractor.stacked(mask_features(frames, augment, generator))
            for _ in range(self.views)
        ]


def seeded(*numbers: int) -> torch.Generator:
    """A generator of its own for each tuple of numbers."""
    return torch.Generator().manual_seed(mixed(*numbers))


def mixed(*numbers: int) -> int:
    """One seed of several numbers, as large as torch takes."""
    seed = 0
    for number in numbers:
        seed = seed * 1_000_003 + number
    return seed % 2**63


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

    With a seed, each utterance gets one of `speeds`, lengths are jittered a little before sorting
    and the batches come in random order, all anew each epoch; without one, the batches are the same
    each time, longest first. An utterance longer than `batch_seconds` makes a batch of its own.
    `start` leaves out that many batches of the epoch, as when an interrupted run goes on.

    `groups` numbers the shard in which each utterance lies, -1 for none. Shards come in random
    order and `window` of them at a time, so that few have to be at hand at once.

    Process `rank` of `world_size` takes every `world_size`-th utterance of each batch, so that all
    take equally many steps. One that would go empty-handed takes the batch's first, which its loss
    then must not count (`counts`).
    """

    def __init__(
        self,
        durations: Sequence[float] | npt.NDArray[np.float64],
        batch_seconds: float,
        seed: int | None = None,
        speeds: Sequence[float] = (),
        groups: npt.NDArray[np.int32] | None = None,
        window: int = 8,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds = batch_seconds
        self.seed = seed
        self.speeds = tuple(speeds) if seed is not None and speeds else (1.0,)
        self.groups = groups
        self.window = window
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start = 0
        self._planned: tuple[int, _Plan] | None = None

    def plan(self) -> "_Plan":
        """The current epoch, whatever `start` and `rank`."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = self.epoch, self._make_plan()
        return self._planned[1]

    def _make_plan(self) -> "_Plan":
        count = len(self.durations)
        if self.seed is None:
            order, sizes = fill_batches(self.durations, self.durations, self.batch_seconds)
            return _Plan(order, sizes, np.ones(count))
        generator = np.random.default_rng(mixed(self.seed, self.epoch))
        speeds = np.asarray(self.speeds)[generator.integers(len(self.speeds), size=count)]
        lengths = self.durations / speeds
        by_length = lengths * (1 + _JITTER * generator.random(count))
        orders, all_sizes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for members in self._windows(generator):
            order, sizes = fill_batches(lengths[members], by_length[members], self.batch_seconds)
            order, sizes = shuffle_batches(members[order], sizes, generator)
            orders.append(order)
            all_sizes.append(sizes)
        return _Plan(np.concatenate(orders), np.concatenate(all_sizes), speeds)

    def _windows(self, generator: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
        """Indices of the utterances that are batched together, window after window."""
        if self.groups is None or not len(self.groups) or self.groups.max() < 0:
            yield np.arange(len(self.durations))
            return
        shards = np.unique(self.groups[self.groups >= 0])
        places = np.empty(int(shards.max()) + 1, dtype=np.int64)
        places[shards] = generator.permutation(len(shards)) // self.window
        windows = -(-len(shards) // self.window)
        # A recording in a file of its own may come at any time.
        anywhere = generator.integers(windows, size=len(self.groups))
        window_of = np.where(self.groups >= 0, places[self.groups.clip(0)], anywhere)
        for number in range(windows):
            yield np.flatnonzero(window_of == number)

    def counts(self) -> npt.NDArray[np.int64]:
        """Utterances in each batch of the epoch, all processes together."""
        return self.plan().sizes

    def __iter__(self) -> Iterator[list[Key]]:
        plan = self.plan()
        ends = plan.sizes.cumsum()
        for size, end in zip(plan.sizes[self.start :], ends[self.start :], strict=True):
            first = end - size
            mine = plan.order[first + self.rank : end : self.world_size]
            mine = mine if len(mine) else plan.order[first : first + 1]
            yield [Key(self.epoch, int(i), float(plan.speeds[i])) for i in mine]

    def __len__(self) -> int:
        return len(self.plan().sizes) - self.start


@dataclass(frozen=True)
class _Plan:
    order: npt.NDArray[np.int64]
    """Every utterance, batch after batch."""
    sizes: npt.NDArray[np.int64]
    """Utterances in each batch."""
    speeds: npt.NDArray[np.float64]
    """Of each utterance."""


def fill_batches(
    lengths: npt.NDArray[np.float64], by_length: npt.NDArray[np.float64], batch_seconds: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """An order from the greatest `by_length` down, and the sizes of the batches that it fills."""
    order = np.argsort(-by_length, kind="stable")
    sizes: list[int] = []
    size, longest = 0, 0.0
    for length in lengths[order].tolist():
        longest = max(longest, length)
        if size and longest * (size + 1) > batch_seconds:
            sizes.append(size)
            size, longest = 0, length
        size += 1
    if size:
        sizes.append(size)
    return order, np.asarray(sizes, dtype=np.int64)


def shuffle_batches(
    order: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], generator: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Whole batches in random order."""
    if not len(sizes):
        return order, sizes
    permutation = generator.permutation(len(sizes))
    shuffled = sizes[permutation]
    begins = (sizes.cumsum() - sizes)[permutation]
    # Each place of the new order, counted from where its batch begins in the old one.
    within = np.arange(len(order)) - np.repeat(shuffled.cumsum() - shuffled, shuffled)
    return order[np.repeat(begins, shuffled) + within], shuffled


def make_loader(
    dataset: UtteranceDataset,
    batches: DurationBatches,
    workers: int = 0,
    pin_memory: bool = False,
) -> "BatchLoader":
    """A loader that computes features in the background when `workers` is above 0."""
    return BatchLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=_collate_or_pass_on,
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=PREFETCHED if workers else None,
        worker_init_fn=_prepare_worker,
        # Its own, or each start of an epoch would draw from the global generator.
        generator=torch.Generator(),
    )


class BatchLoader(DataLoader[Batch]):
    """Batches in order. Raises AudioError, as it was, on a recording that cannot be read.

    Raised in a background worker, an error would arrive as the text of a traceback. Raises AsrError
    if a worker dies.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with _signals_of_workers_left_alone():
            batches = super().__iter__()
        while True:
            try:
                batch = next(batches, None)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise AsrError(
                    f"a process that reads recordings has died ({str(error).splitlines()[0]}); "
                    "most often the memory was used up: lower optim.workers or "
                    "optim.batch_seconds, and go on with --resume"
                ) from error
            if batch is None:
                return
            if isinstance(batch, AsrError):
                raise batch
            yield batch


@contextlib.contextmanager
def _signals_of_workers_left_alone() -> Iterator[None]:
    """Put back what handles the end of a child process.

    torch would raise an error from there, wherever the program then is: within a training step,
    which would be left half done. Waiting for the next batch notices a dead worker as well.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def _collate_or_pass_on(items: Sequence[Item] | AsrError) -> Batch | AsrError:
    return items if isinstance(items, AsrError) else collate(items)


def _prepare_worker(_: int) -> None:
    """Interrupts are for the parent; one thread, or the workers would crowd out the training."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
