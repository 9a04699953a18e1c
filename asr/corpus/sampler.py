"""The batch sampler: which utterances make up each batch of an epoch.

The plan of an epoch depends on the seed and the epoch alone. It can be entered at any batch, and is
the same for any number of processes: each takes its share of the utterances of every batch. It is
made of arrays, so that an epoch of a million utterances is planned in about a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from asr.signal.rng import combine_seeds

_JITTER = 0.05
"""Relative jitter of durations before sorting, so that batches differ from epoch to epoch."""


class UtteranceKey(NamedTuple):
    """Index of an item in `UtteranceDataset`: all that its augmentation depends on but the seed."""

    epoch: int
    utterance: int
    """Index in the corpus."""
    speed: float = 1.0


@dataclass(frozen=True)
class EpochPlan:
    """The batches of an epoch, for all processes together."""

    order: NDArray[np.int64]
    """Indices of all utterances, batch after batch."""
    sizes: NDArray[np.int64]
    """Utterances in each batch."""
    speeds: NDArray[np.float64]
    """Speed factor of each utterance, by its index in the corpus."""


class DurationBatchSampler(Sampler[list[UtteranceKey]]):
    """Batches of utterances of similar length, each of at most `batch_seconds` including padding.

    With a seed, every epoch draws one of `speeds` for each utterance, jitters the lengths slightly
    before sorting by them, and shuffles the batches. Without a seed the batches are the same each
    time, longest first, at normal speed. An utterance longer than `batch_seconds` is a batch of its
    own. `start_batch` skips that many batches of the epoch, as when an interrupted run resumes.

    `shard_indices` gives the shard of each utterance, -1 for none. Shards are visited in random
    order, `shard_window` of them at a time, so that only a few need to be available locally.

    Process `rank` of `world_size` takes every `world_size`-th utterance of each batch, so that all
    processes take the same number of steps. A process for which a batch has no utterance left gets
    the first of the batch, which the loss must then leave out (`batch_sizes` tells).
    """

    def __init__(
        self,
        durations: Sequence[float] | NDArray[np.float64],
        batch_seconds: float,
        seed: int | None = None,
        speeds: Sequence[float] = (),
        shard_indices: NDArray[np.int32] | None = None,
        shard_window: int = 8,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.batch_seconds = batch_seconds
        self.seed = seed
        self.speeds = tuple(speeds) if seed is not None and speeds else (1.0,)
        self.shard_indices = shard_indices
        self.shard_window = shard_window
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start_batch = 0
        self._cached_plan: tuple[int, EpochPlan] | None = None

    def plan(self) -> EpochPlan:
        """The whole current epoch, whatever `start_batch` and `rank`."""
        if self._cached_plan is None or self._cached_plan[0] != self.epoch:
            self._cached_plan = self.epoch, self._make_plan()
        return self._cached_plan[1]

    def _make_plan(self) -> EpochPlan:
        count = len(self.durations)
        if self.seed is None:
            order, sizes = fill_batches(self.durations, self.durations, self.batch_seconds)
            return EpochPlan(order, sizes, np.ones(count))
        generator = np.random.default_rng(combine_seeds(self.seed, self.epoch))
        speeds = np.asarray(self.speeds)[generator.integers(len(self.speeds), size=count)]
        lengths = self.durations / speeds
        # Batches are filled by the true lengths; only the order comes from the jittered ones.
        sort_lengths = lengths * (1 + _JITTER * generator.random(count))
        orders, all_sizes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for members in self._windows(generator):
            order, sizes = fill_batches(lengths[members], sort_lengths[members], self.batch_seconds)
            order, sizes = shuffle_batches(members[order], sizes, generator)
            orders.append(order)
            all_sizes.append(sizes)
        return EpochPlan(np.concatenate(orders), np.concatenate(all_sizes), speeds)

    def _windows(self, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Indices of the utterances that are batched together, window after window."""
        shard_of = self.shard_indices
        if shard_of is None or not len(shard_of) or shard_of.max() < 0:
            yield np.arange(len(self.durations))
            return
        shards = np.unique(shard_of[shard_of >= 0])
        window_of_shard = np.empty(int(shards.max()) + 1, dtype=np.int64)
        window_of_shard[shards] = generator.permutation(len(shards)) // self.shard_window
        num_windows = -(-len(shards) // self.shard_window)
        # A recording in a file of its own costs nothing to keep available: it may fall into any
        # window. `clip` makes -1 a valid index, whose value `where` then discards.
        random_window = generator.integers(num_windows, size=len(shard_of))
        window_of = np.where(shard_of >= 0, window_of_shard[shard_of.clip(0)], random_window)
        for number in range(num_windows):
            yield np.flatnonzero(window_of == number)

    def batch_sizes(self) -> NDArray[np.int64]:
        """Utterances in each batch of the whole epoch, all processes together."""
        return self.plan().sizes

    def __iter__(self) -> Iterator[list[UtteranceKey]]:
        plan = self.plan()
        ends = plan.sizes.cumsum()
        first_batch = self.start_batch
        for size, end in zip(plan.sizes[first_batch:], ends[first_batch:], strict=True):
            begin = end - size
            share = plan.order[begin + self.rank : end : self.world_size]
            share = share if len(share) else plan.order[begin : begin + 1]
            yield [UtteranceKey(self.epoch, int(i), float(plan.speeds[i])) for i in share]

    def __len__(self) -> int:
        return len(self.plan().sizes) - self.start_batch


def fill_batches(
    lengths: NDArray[np.float64], sort_lengths: NDArray[np.float64], batch_seconds: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order utterances by falling `sort_lengths` and cut the order into batches.

    Returns the order and the sizes of the batches; lengths are in seconds.
    """
    order = np.argsort(-sort_lengths, kind="stable")
    sizes: list[int] = []
    size, longest = 0, 0.0
    # Sequential by nature: where a batch ends depends on where it began. `tolist` gives Python
    # floats, several times as fast to loop over as NumPy scalars.
    for length in lengths[order].tolist():
        # With jitter the first of a batch need not be its longest.
        longest = max(longest, length)
        if size and longest * (size + 1) > batch_seconds:
            sizes.append(size)
            size, longest = 0, length
        size += 1
    if size:
        sizes.append(size)
    return order, np.asarray(sizes, dtype=np.int64)


def shuffle_batches(
    order: NDArray[np.int64], sizes: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put whole batches in random order; within a batch the order stays."""
    if not len(sizes):
        return order, sizes
    permutation = generator.permutation(len(sizes))
    new_sizes = sizes[permutation]
    old_begins = (sizes.cumsum() - sizes)[permutation]
    # One gather instead of a concatenation of many slices: each position of the new order is the
    # old begin of its batch plus the offset within the batch.
    new_begins = new_sizes.cumsum() - new_sizes
    offsets = np.arange(len(order)) - np.repeat(new_begins, new_sizes)
    return order[np.repeat(old_begins, new_sizes) + offsets], new_sizes
