"""The loader: the same batches with any number of workers, and errors with their own type."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asr.corpus.dataset import Batch
from asr.corpus.loader import _failure, make_loader
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


def test_workers_take_no_notice_of_signals_to_end_and_can_still_be_ended(
    utterances: list[Utterance],
) -> None:
    of_others = set(multiprocessing.active_children())
    batches = iter(make_loader(dataset(utterances), DurationBatchSampler([1.0] * 6, 1.0), 1))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - of_others
    assert worker.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker.pid, number)
    assert next(batches).ids
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == -signal.SIGKILL


HELD: list[Iterator[Batch]] = []


def hold_batches(utterances: list[Utterance]) -> None:
    """Leave a loop over batches that something still refers to, as an error may."""
    batches = iter(make_loader(dataset(utterances), DurationBatchSampler([1.0] * 6, 1.0), 1))
    next(batches)
    HELD.append(batches)


def test_a_process_ends_although_its_loader_still_has_workers(utterances: list[Utterance]) -> None:
    process = multiprocessing.get_context("fork").Process(target=hold_batches, args=(utterances,))
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RuntimeError("DataLoader worker (pid(s) 7) exited"), -9, "ran out of memory"),
        (ConnectionResetError(104, "Connection reset by peer"), -9, "ran out of memory"),
        (EOFError(), -9, "ran out of memory"),
        (RuntimeError("killed by signal: Bus error."), -7, "shm-size"),
        (RuntimeError("DataLoader worker (pid(s) 7) exited"), 3, "exit code 3"),
        (MemoryError("Caught MemoryError in DataLoader worker"), None, "more memory"),
        (OSError(24, "Too many open files"), None, "ulimit -n"),
        (EOFError(), None, "EOFError"),
        (RuntimeError("Caught RuntimeError in DataLoader worker"), None, None),
    ],
)
def test_what_happened_to_a_worker_is_said(
    error: Exception, code: int | None, message: str | None
) -> None:
    class Worker:
        exitcode = code
        sentinel = os.open(os.devnull, os.O_RDONLY)

    found = _failure(error, [Worker()])  # type: ignore[list-item]
    os.close(Worker.sentinel)
    assert (found is None) if message is None else (message in (found or ""))
