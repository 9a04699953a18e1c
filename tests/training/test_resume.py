"""A run that was interrupted is, to the last bit, the run that was not."""

import hashlib
import logging
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import CheckpointError
from asr.training import Config, loop, setup
from asr.training.run import run_training
from asr.training.setup import Run
from asr.training.state import STATES, Progress, load_state, save_state, state_files
from tests.benchmarks.kills import kill_repeatedly
from tests.support import run_python
from tests.training_support import (
    CPU,
    STEPS,
    Killed,
    after_step,
    assert_same_run,
    cut,
    emptied,
    flipped,
    kill,
    optim,
    press_ctrl_c,
    scalars,
    steps_of,
    stopped_process,
    torn,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


# --- Interrupted and resumed


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_run_stopped_by_ctrl_c_goes_on(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, step, press_ctrl_c)
        with pytest.raises(loop.Interrupted):
            loop.train(micro, folder, CPU)
    assert step <= steps_of(folder)[0] <= step + 1
    loop.train(micro, folder, CPU, resume=True)
    assert_same_run(folder, whole)


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
        setup.keep_state(run, progress)
        raise Killed

    folder, kills = tmp_path / "run", 0
    with monkeypatch.context() as patch:
        patch.setattr(loop, "keep_state", keep_and_die)
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


@pytest.mark.parametrize("writer", ["keep_best_weights", "keep_state", "drop_other_weights"])
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
    run_training(folder, resume=True)
    assert_same_run(folder, whole)


def test_more_epochs_may_be_asked_for(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    run_training(folder, settings=["optim.epochs=4"], resume=True)
    assert load_checkpoint(folder / "checkpoint").metrics["epochs"] == 4


def test_ctrl_c_saves_the_state_and_exits_with_130(
    micro: Config, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = stopped_process(optim(micro, workers=1), folder, signal.SIGINT)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert done.stderr.count("stopping after this step") == 1
    assert done.stderr.rstrip().endswith("stopped in epoch 2; --resume goes on from there")
    assert steps_of(folder)[0] in (6, 7)
    run_training(folder, resume=True)
    assert_same_run(folder, whole)


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


def test_a_second_ctrl_c_stops_at_once() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with loop.stop_signal() as received:
        press_ctrl_c()
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is handler


# --- States on the disk


class Code:
    def __reduce__(self) -> Any:
        return (Path("pwned").touch, ())


def code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(), protocol=2))


def sealed_code(path: Path) -> None:
    """With the right digest: what makes it harmless is that no code is loaded."""
    content = pickle.dumps(Code(), protocol=2)
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(b"asr-state 2 " + digest + b"\n" + content)


def of_another_program(path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, path)


DAMAGE = [torn, cut, emptied, flipped, code, sealed_code, of_another_program]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_gives_way_to_the_one_before(
    whole: Path,
    broken: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(broken.parent)
    damage(broken / STATES / "step-000000006.pt")
    with caplog.at_level(logging.WARNING):
        run_training(broken, resume=True)
    (warning,) = [r.getMessage() for r in caplog.records if "going back" in r.getMessage()]
    assert "step-000000006.pt: " in warning
    assert warning.endswith("; going back to the one before, step-000000005.pt")
    assert "\n" not in warning
    assert not Path("pwned").exists()
    assert_same_run(broken, whole)


def test_two_damaged_states_are_two_warnings(
    whole: Path, broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in state_files(broken)[:2]:
        torn(path)
    with caplog.at_level(logging.WARNING):
        run_training(broken, resume=True)
    assert caplog.text.count("going back to the one before, step-000000004.pt") == 2
    assert_same_run(broken, whole)


def test_without_a_whole_state_there_is_one_message(broken: Path) -> None:
    for path in state_files(broken):
        torn(path)
    with pytest.raises(CheckpointError, match="none of its 3 states is whole") as error:
        run_training(broken, resume=True)
    for step in (4, 5, 6):
        assert f"step-00000000{step}.pt: torn or changed" in str(error.value)
    assert "start anew in another folder" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_state_without_its_parts_is_one_message(whole: Path, broken: Path) -> None:
    state = load_state(broken)
    del state["progress"]["weights"]
    state["progress"]["wait"] = 3
    save_state(broken, 6, state, 3)
    with pytest.raises(CheckpointError, match="cannot resume from this state"):
        run_training(broken, resume=True)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_as_many_states_are_kept_as_asked(micro: Config, tmp_path: Path, keep: int) -> None:
    folder = tmp_path / "run"
    loop.train(optim(micro, epochs=1, save_minutes=0.0, keep_states=keep), folder, CPU)
    assert steps_of(folder) == [4, 3, 2, 1][:keep]


def test_a_newer_state_that_is_torn_does_not_push_out_a_whole_one(tmp_path: Path) -> None:
    for step in (8, 12):
        save_state(tmp_path, step, {"step": step}, keep=2)
    torn(tmp_path / STATES / "step-000000012.pt")
    assert load_state(tmp_path) == {"step": 8}
    (tmp_path / STATES / ".part-0123.pt").write_bytes(b"left behind by a kill")
    save_state(tmp_path, 9, {"step": 9}, keep=1)
    assert [path.name for path in (tmp_path / STATES).iterdir()] == ["step-000000009.pt"]


def test_a_state_that_cannot_be_read_gives_way_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_state(tmp_path, 8, {"step": 8}, keep=2)
    (tmp_path / STATES / "step-000000009.pt").mkdir()
    assert load_state(tmp_path) == {"step": 8}
    assert "step-000000009.pt: cannot read (Is a directory); going back" in caplog.text


def test_nothing_to_resume_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume; start the run without --resume"):
        load_state(tmp_path)


def test_without_the_weights_of_a_best_epoch_the_average_does_without(
    micro: Config, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    one, other = sorted((folder / "weights").iterdir())
    flipped(one)
    with caplog.at_level(logging.WARNING):
        run_training(folder, resume=True)
    epoch = int(one.stem.removeprefix("epoch-"))
    assert f"{one}: torn or changed: its content is not what was written; " in caplog.text
    assert f"the average does without epoch {epoch}" in caplog.text
    assert f"[{epoch}" not in load_checkpoint(folder / "checkpoint").metrics["weights"]
    other.unlink()
    with pytest.raises(CheckpointError, match="no weights of the best epochs are whole"):
        run_training(folder, resume=True)
