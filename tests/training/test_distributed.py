"""Two processes that train one model, as `torchrun` starts them, against one process alone."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import AsrError, ConfigError
from asr.training import Config, distributed, loop, setup
from asr.training.distributed import (
    Group,
    count_start,
    local_device,
    lost_connection,
    process_group,
)
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from tests.support import REPOSITORY
from tests.training_support import (
    CPU,
    assert_same_run,
    early,
    edited,
    history_of,
    liar,
    optim,
    same,
    scalars,
    steps_of,
    train_arguments,
    without_dropout,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


TWO_HERE = ("--nproc_per_node", "2", "--rdzv-endpoint", "localhost:0")
LOOKING_RARELY = (*TWO_HERE, "--monitor-interval", "3")
"""The launcher does not stop the survivor before that has noticed by itself."""


def torchrun(
    config: Config,
    folder: Path,
    *more: str,
    restarts: int = 0,
    processes: Sequence[str] = TWO_HERE,
) -> subprocess.Popen[str]:
    """`torchrun … -m asr train …`, under way."""
    return under_way(
        *("torch.distributed.run", "--rdzv-backend", "c10d", *processes),
        *("--max-restarts", str(restarts), "-m", "asr", "train"),
        *train_arguments(config, folder),
        *more,
    )


def two_ranks(config: Config, folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes of `asr train` with the environment that `torchrun` would give them."""
    arguments = train_arguments(config, folder)
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    return [
        under_way("asr", "train", *arguments, **shared, RANK=rank, LOCAL_RANK=rank)
        for rank in ("0", "1")
    ]


def under_way(module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`python -m MODULE …` on one thread, with more variables of the environment."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def free_port() -> int:
    """A port of this machine that nothing listens to."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and what was said on stderr. Fails if it takes more than five minutes."""
    try:
        _, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # not killed: the launcher ends those that it has started
        process.communicate(timeout=60)
        raise
    return process.returncode, errors


def process_of_rank(launcher: subprocess.Popen[str], rank: int) -> int:
    """The id of the process of that rank."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher.pid and f"\0RANK={rank}\0" in (path / "environ").read_text():
                return int(path.name)
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError(f"no process of rank {rank}")


def wait_for_step(launcher: subprocess.Popen[str], folder: Path, step: int) -> None:
    """Until the state of a step stands in the run's folder."""
    end = time.monotonic() + 120
    while not steps_of(folder) or steps_of(folder)[0] < step:
        if launcher.poll() is not None or time.monotonic() > end:
            launcher.terminate()
            raise AssertionError(launcher.communicate(timeout=60)[1])
        time.sleep(0.01)


@pytest.fixture(scope="module")
def saving(micro: Config) -> Config:
    """Every step is saved, and there are enough of them to be killed at."""
    return optim(micro, save_minutes=0.0, epochs=12)


# --- The same as one process


def test_two_processes_follow_one(micro: Config, tmp_path: Path) -> None:
    """Batches of odd sizes, and one for which there are not enough utterances to go round."""
    config = optim(early(without_dropout(micro)), consistency=0.2, batch_seconds=4.0)
    ends = [ended(process) for process in two_ranks(config, tmp_path / "two")]
    errors = "".join(said for _, said in ends)
    assert [status for status, _ in ends] == [0, 0], errors
    run, _ = setup.prepare(config, tmp_path / "plan", CPU, Group(), resume=False)
    sizes = run.train_batches.batch_sizes().tolist()
    assert {1, 3} <= set(sizes)
    loop.train(config, tmp_path / "one", CPU)

    for name in ("step/loss", "step/gradient_norm"):
        found, expected = (
            [event.value for event in scalars(tmp_path / run, name)] for run in ("two", "one")
        )
        assert len(found) == 3 * len(sizes)
        assert found == pytest.approx(expected, rel=1e-4)
    two, one = history_of(tmp_path / "two"), history_of(tmp_path / "one")
    for found_epoch, expected_epoch in zip(two, one, strict=True):
        for name in ("train_loss", "dev_loss", "blank_rate", "audio_seconds", "skipped", "step"):
            assert found_epoch[name] == pytest.approx(expected_epoch[name], rel=1e-4), name
    of_two, of_one = (load_checkpoint(tmp_path / run / "checkpoint") for run in ("two", "one"))
    assert of_two.metrics["weights"] == of_one.metrics["weights"]
    for name, weights in of_one.weights.items():
        assert torch.allclose(of_two.weights[name], weights, rtol=1e-2, atol=1e-3), name
    assert "2 processes" in (tmp_path / "two" / "train.log").read_text()
    assert errors.count("checkpoint written to") == 1


# --- An end before its time


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_one_process_can_finish_it(
    saving: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    launcher = torchrun(saving, folder, processes=LOOKING_RARELY)
    wait_for_step(launcher, folder, 3)
    os.kill(process_of_rank(launcher, 1), signal.SIGKILL)
    started = time.monotonic()
    status, errors = ended(launcher)
    assert time.monotonic() - started < 60
    assert status != 0
    assert "error: process 0 of 2: another process of this run has ended" in errors
    step = steps_of(folder)[0]
    assert 3 <= step < 12 * 4
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(folder, settings=("optim.epochs=3",), resume=True))
    assert load_checkpoint(folder / "checkpoint").metrics["epochs"] >= 3
    assert "resuming on 1 processes, previously 2: the batches stay the same" in caplog.text
    starts = [json.loads(line) for line in (folder / "starts.jsonl").read_text().splitlines()]
    assert [(s["world_size"], s["resumed_step"]) for s in starts] == [(2, None), (1, step)]


@pytest.fixture(scope="module")
def whole_of_two(saving: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing interrupted."""
    folder = tmp_path_factory.mktemp("two") / "whole"
    status, errors = ended(torchrun(saving, folder))
    assert status == 0, errors
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_resume_bit_identically_after_a_kill(
    saving: Config, whole_of_two: Path, tmp_path: Path, rank: int
) -> None:
    folder = tmp_path / "run"
    launcher = torchrun(saving, folder, processes=LOOKING_RARELY)
    wait_for_step(launcher, folder, 6)
    os.kill(process_of_rank(launcher, rank), signal.SIGKILL)
    started = time.monotonic()
    status, errors = ended(launcher)
    assert time.monotonic() - started < 60
    assert status != 0
    assert f"error: process {1 - rank} of 2: another process" in errors
    status, errors = ended(torchrun(saving, folder, "--resume"))
    assert status == 0, errors
    assert_same_run(folder, whole_of_two)


@pytest.mark.slow
def test_a_restart_by_the_launcher_resumes_by_itself(
    saving: Config, whole_of_two: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    launcher = torchrun(saving, folder, restarts=1)
    wait_for_step(launcher, folder, 6)
    os.kill(process_of_rank(launcher, 1), signal.SIGKILL)
    status, errors = ended(launcher)
    assert status == 0, errors
    assert_same_run(folder, whole_of_two)
    assert "resuming at epoch" in (folder / "train.log").read_text()


@pytest.mark.slow
def test_launchers_on_two_machines_restart_together(
    saving: Config, whole_of_two: Path, tmp_path: Path
) -> None:
    """Each counts the restarts that its own process was the cause of."""
    endpoint = f"localhost:{free_port()}"
    machines = ("--nnodes", "2", "--nproc_per_node", "1", "--rdzv-endpoint", endpoint)
    folder = tmp_path / "run"
    launchers = [torchrun(saving, folder, restarts=3, processes=machines) for _ in range(2)]
    wait_for_step(launchers[0], folder, 6)
    (child,) = (
        Path(f"/proc/{launchers[0].pid}/task/{launchers[0].pid}/children").read_text().split()
    )
    os.kill(int(child), signal.SIGKILL)
    for launcher in launchers:
        status, errors = ended(launcher)
        assert status == 0, errors
    assert_same_run(folder, whole_of_two)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_the_state_of_all(
    saving: Config, whole_of_two: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder, config = tmp_path / "run", optim(saving, save_minutes=60.0)
    launcher = torchrun(config, folder)
    wait_for_step(launcher, folder, 4)
    launcher.send_signal(number)
    status, errors = ended(launcher)
    assert status != 0
    assert "continue with --resume" in errors
    assert (folder / "checkpoint").exists() is False
    status, errors = ended(torchrun(config, folder, "--resume"))
    assert status == 0, errors
    assert_same_run(folder, whole_of_two)


@pytest.mark.slow
def test_a_recording_that_one_process_cannot_read_ends_all(micro: Config, tmp_path: Path) -> None:
    broken = tmp_path / "text.wav"
    broken.write_text("not audio " * 100)
    config = edited(micro, tmp_path, lambda es: es[1].update(audio_filepath=str(broken)))
    started = time.monotonic()
    status, errors = ended(torchrun(optim(config, workers=1), tmp_path / "run"))
    assert time.monotonic() - started < 120
    assert status != 0
    assert f"error: {broken}: " in errors


@pytest.mark.slow
def test_a_loss_of_one_process_that_is_not_finite_stops_or_is_skipped(
    micro: Config, tmp_path: Path
) -> None:
    """The second longest of its batch, and so of the second process."""

    names: list[str] = []

    def change(entries: list[dict[str, Any]]) -> None:
        longest = sorted(range(len(entries)), key=lambda place: -entries[place]["duration"])
        entries[longest[0]]["duration"] += 0.45
        liar(longest[1])(entries)
        names.append(entries[longest[1]]["id"])

    config = edited(without_dropout(micro), tmp_path, change)
    (name,) = names
    folder = tmp_path / "run"
    status, errors = ended(torchrun(config, folder))
    assert status != 0
    assert f"error: the loss is not finite for {name}; " in errors
    more = ("--resume", "--set", "optim.non_finite=skip")
    status, errors = ended(torchrun(config, folder, *more))
    assert status == 0, errors
    assert errors.count(f"skipped: the loss is not finite for {name}") == 3
    assert [metrics["skipped"] for metrics in history_of(folder)] == [1.0] * 3
    alone = tmp_path / "alone"
    loop.train(optim(config, non_finite="skip"), alone, CPU)
    losses = [[m["train_loss"] for m in history_of(run)] for run in (folder, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# --- Its parts


def test_one_process_alone_is_a_group() -> None:
    group = Group()
    assert group.is_main
    assert group.sum([1.0, 2.5], CPU) == [1.0, 2.5]
    assert group.gather("mine") == ["mine"]
    assert group.broadcast({"a": 1}) == {"a": 1}
    model = torch.nn.Linear(2, 2)
    group.broadcast_weights(model)
    assert group.data_parallel(model) is model


@contextmanager
def alone_in_gloo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """A group of one that the launcher says is of two, started for the fourth time."""
    environment = {"WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "3"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = HashStore()
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(store, 0, 1)]))
    with process_group(CPU) as group:
        yield group


def test_a_group_works_through_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    with alone_in_gloo(monkeypatch) as found:
        assert (found.rank, found.size, found.restarts) == (0, 1, 3)
        group = Group(0, 2)
        assert group.sum([1.0, 2.5], CPU) == [1.0, 2.5]
        assert group.gather("mine") == ["mine", None]
        assert group.broadcast({"a": 1}) == {"a": 1}
        model = torch.nn.Linear(2, 2)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        group.broadcast_weights(model)
        assert same(dict(model.state_dict()), before)
        assert isinstance(group.data_parallel(model), torch.nn.parallel.DistributedDataParallel)
    assert not dist.is_initialized()


def test_restarted_processes_do_not_contact_dead_ones() -> None:
    store = HashStore()
    store.set("name/1", "of a process that was killed")
    for start in (1, 2, 3):
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(count_start, store, rank, 3) for rank in (2, 0, 1)]
            assert [call.result(timeout=60) for call in calls] == [start] * 3


def test_waiting_for_processes_ends_with_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "_TIMEOUT", timedelta(seconds=0.05))
    with pytest.raises(AsrError, match="2 of the 3 processes have not started within"):
        count_start(HashStore(), 0, 3)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (RuntimeError("Connection reset by peer"), True),
        (dist.DistNetworkError("the store is gone"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("connection reset"), False),
    ],
)
def test_a_lost_connection_is_told_from_a_mistake(
    monkeypatch: pytest.MonkeyPatch, error: Exception, lost: bool
) -> None:
    assert lost_connection(error) == lost
    with pytest.raises(AsrError if lost else type(error)) as raised, alone_in_gloo(monkeypatch):
        raise error
    assert not lost or "process 0 of 1: another process of this run has ended" in str(raised.value)
    assert not dist.is_initialized()


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local_device(torch.device("cuda")) == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 1)
    assert local_device(torch.device("cuda:0")) == torch.device("cuda", 0)
    assert local_device(CPU) == CPU
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"process 2 of this machine has no GPU: torch sees 2"):
        local_device(torch.device("cuda"))
