"""The loader: batches of the dataset in the sampler's order, computed in worker processes."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader

from asr.corpus.dataset import Batch, Item, UtteranceDataset, collate
from asr.corpus.sampler import DurationBatchSampler
from asr.errors import AsrError

PREFETCH_FACTOR = 4
"""Batches that each worker process prepares in advance."""


def make_loader(
    dataset: UtteranceDataset,
    sampler: DurationBatchSampler,
    workers: int = 0,
    pin_memory: bool = False,
) -> "BatchLoader":
    """A loader with `workers` background processes; with 0, features are computed in this one."""
    return BatchLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=sampler,
        collate_fn=_collate_or_pass_error,
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=PREFETCH_FACTOR if workers else None,
        worker_init_fn=_initialise_worker,
        # A generator of its own: otherwise the start of each epoch draws from the global one, and
        # a resumed run would differ from an uninterrupted one.
        generator=torch.Generator(),
    )


class BatchLoader(DataLoader[Batch]):
    """Iterates over batches in order.

    Raises the dataset's AsrError (AudioError for a recording that cannot be read) with its own type
    and message, whether or not it arose in a worker process, and AsrError if a worker dies.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with _preserve_child_signal_handler():
            batches = super().__iter__()
        while True:
            try:
                batch = next(batches, None)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise AsrError(
                    f"a data loading process died ({str(error).splitlines()[0]}); the usual cause "
                    "is too little memory: lower optim.workers or optim.batch_seconds, then "
                    "continue with --resume"
                ) from error
            if batch is None:
                return
            if isinstance(batch, AsrError):
                raise batch
            yield batch


@contextlib.contextmanager
def _preserve_child_signal_handler() -> Iterator[None]:
    """Restore the SIGCHLD handler that torch replaces when it starts workers.

    torch's handler raises from wherever the program is when a worker dies, possibly in the middle
    of a training step, which would then be left half done. Waiting for the next batch notices a
    dead worker as well.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


def _collate_or_pass_error(items: Sequence[Item] | AsrError) -> Batch | AsrError:
    return items if isinstance(items, AsrError) else collate(items)


def _initialise_worker(_: int) -> None:
    # Ctrl-C goes to the whole process group, but only the parent knows how to stop cleanly.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Several threads in each worker would compete with the training itself.
    torch.set_num_threads(1)
