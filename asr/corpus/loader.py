"""The loader: batches of the dataset in the sampler's order, computed in worker processes."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader

from asr.corpus.dataset import Batch, Item, UtteranceDataset, collate
from asr.corpus.sampler import DurationBatchSampler
from asr.errors import AsrError

PREFETCH_FACTOR = 4
"""Batches that each worker process prepares in advance."""
_SIGNALS_TO_END = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


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
        with _preserve_child_signal_handler(), _signals_to_end_blocked():
            batches: Any = super().__iter__()
        workers = getattr(batches, "_workers", [])
        for worker in workers:  # torch, and Python at its end, would wait for ever after a SIGTERM
            worker._popen.terminate = worker._popen.kill
        while True:
            try:
                batch = next(batches, None)
            except (RuntimeError, MemoryError, OSError, EOFError) as error:
                if message := _failure(error, workers):
                    raise AsrError(f"{message}, then continue with --resume") from error
                raise
            if batch is None:
                return
            if isinstance(batch, AsrError):
                raise batch
            yield batch


def _failure(error: Exception, workers: Sequence[BaseProcess]) -> str | None:
    """The message for an error in getting a batch from workers; None if that is not its cause."""
    if not workers:
        return None
    # A process that dies closes its connections a moment before it can be seen to be dead.
    wait([worker.sentinel for worker in workers], timeout=1.0)
    codes = [code for worker in workers if (code := worker.exitcode)]
    if codes:
        return f"a data loading process died: {_cause(codes[0])}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, MemoryError) or "allocate" in lines[-1]:
        return (
            f"a data loading process could not get more memory ({lines[-1]}); lower optim.workers "
            "(0: no such processes) or optim.batch_seconds"
        )
    if isinstance(error, (OSError, EOFError)) or "open files" in lines[0]:
        return (
            f"the data loading processes cannot pass on their batches ({lines[0]}); raise the "
            "limit of open files (`ulimit -n`), or set optim.workers=0"
        )
    return None


def _cause(code: int) -> str:
    """Why a process ended with an exit code that is not 0, and what to do."""
    if code > 0:
        return f"exit code {code}; set optim.workers=0 to see why"
    killed = f"killed by signal {-code} ({signal.strsignal(-code)})"
    memory = "lower optim.workers (0: no such processes) or optim.batch_seconds"
    if -code == signal.SIGKILL:
        return f"{killed}, usually because the system ran out of memory; {memory}"
    if -code == getattr(signal, "SIGBUS", None):
        return (
            f"{killed}, usually for want of shared memory; raise it (`docker run --shm-size`), or "
            f"{memory}"
        )
    return f"{killed}; if that happens again, set optim.workers=0"


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


@contextlib.contextmanager
def _signals_to_end_blocked() -> Iterator[None]:
    """Start processes that take no notice of signals to end from their first moment.

    Ctrl-C, `timeout`, systemd and Slurm signal all processes of a run, but only the main one knows
    how to stop: it needs its workers until then, and they end when it does.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_TO_END)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collate_or_pass_error(items: Sequence[Item] | AsrError) -> Batch | AsrError:
    return items if isinstance(items, AsrError) else collate(items)


def _initialise_worker(_: int) -> None:
    for number in _SIGNALS_TO_END:  # a process that was not forked does not inherit the mask
        signal.signal(number, signal.SIG_IGN)
    # Several threads in each worker would compete with the training itself.
    torch.set_num_threads(1)
