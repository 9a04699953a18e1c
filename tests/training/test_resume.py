"""An interrupted run that is resumed is bit-identical to one that was not interrupted."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint.checkpoint import load_checkpoint
from asr.training import Config, loop
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from asr.training.run import Progress, Run
from asr.training.state import save_state, state_files
from tests.benchmarks.kills import kill_repeatedly
from tests.support import run_python
from tests.training_support import (
    CPU,
    STEPS,
    Killed,
    after_step,
    assert_same_run,
    kill,
    optim,
    scalars,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_a_run_killed_before_its_first_state_starts_again(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 2, kill)
        with pytest.raises(Killed):
            loop.train(micro, folder, CPU)
    assert not state_files(folder)
    loop.train(micro, folder, CPU)
    assert_same_run(folder, whole)


def watch_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What each step sees and makes: batch, audio as augmented, rate, norm of the weights."""
    seen: list[tuple[Any, ...]] = []
    step = loop.train_step

    def watched(run: Run, progress: Progress, batch: Any, *rest: Any) -> bool:
        stop = step(run, progress, batch, *rest)
        features = hashlib.sha256(batch.features.numpy().tobytes()).hexdigest()
        rate = run.optimizer.param_groups[0]["lr"]
        weights = float(sum(p.detach().double().square().sum() for p in run.model.parameters()))
        seen.append((progress.step, *batch.ids, features, rate, weights))
        return stop

    monkeypatch.setattr(loop, "train_step", watched)
    return seen


def test_resuming_after_every_single_step_repeats_each_of_them(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_steps(monkeypatch)
    loop.train(micro, tmp_path / "whole", CPU)
    expected, seen[:] = list(seen), []

    def keep_and_die(run: Run, progress: Progress) -> None:
        save_state(run, progress)
        raise Killed

    folder, kills = tmp_path / "run", 0
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", keep_and_die)
        while not (folder / "checkpoint").exists():
            try:
                loop.train(optim(micro, save_minutes=0.0), folder, CPU, resume=kills > 0)
            except Killed:
                kills += 1
    assert kills == STEPS + 3  # the end of each epoch is a state too
    assert seen == expected
    assert len({rate for *_, rate, _ in seen}) == STEPS
    assert_same_run(folder, tmp_path / "whole")
    assert [event.step for event in scalars(folder, "step/loss")] == list(range(1, STEPS + 1))
    assert [event.step for event in scalars(folder, "epoch/dev_loss")] == [1, 2, 3]


@pytest.mark.parametrize("writer", ["save_best_weights", "save_state", "remove_other_weights"])
def test_a_kill_while_an_epoch_is_saved_loses_nothing(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    folder = tmp_path / "run"
    calls = 0
    write = getattr(loop, writer)

    def cut_short(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        write(*arguments)
        if calls == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, writer, cut_short)
        with pytest.raises(Killed):
            loop.train(micro, folder, CPU)
    loop.train(micro, folder, CPU, resume=True)
    assert_same_run(folder, whole)


def test_resuming_a_finished_run_writes_its_checkpoint_again(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "checkpoint")
    run_training(TrainingOptions(folder, resume=True))
    assert_same_run(folder, whole)


def test_more_epochs_may_be_asked_for(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    run_training(TrainingOptions(folder, settings=("optim.epochs=4",), resume=True))
    assert load_checkpoint(folder / "checkpoint").metrics["epochs"] == 4


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(micro: Config, whole: Path, tmp_path: Path) -> None:
    config = optim(micro, save_minutes=0.0)
    kills = kill_repeatedly(config, tmp_path / "run", kills=2, steps=STEPS, seed=1)
    assert kills[1].writing
    assert 0 < kills[0].step <= kills[1].step < STEPS
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_twenty_kills_lose_nothing() -> None:
    done = run_python("-m", "tests.benchmarks.kills", "--kills", "20", "--seed", "3")
    assert done.stdout.endswith("IDENTICAL\n"), done.stdout + done.stderr
