"""Ctrl-C and SIGTERM during training."""

import signal
from pathlib import Path

import pytest

from asr.training import Config, loop
from asr.training.interrupts import Interrupted, stop_signal
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from tests.training_support import (
    CPU,
    after_step,
    assert_same_run,
    optim,
    press_ctrl_c,
    steps_of,
    stopped_process,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_run_stopped_by_ctrl_c_can_be_resumed(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, step, press_ctrl_c)
        with pytest.raises(Interrupted):
            loop.train(micro, folder, CPU)
    assert step <= steps_of(folder)[0] <= step + 1
    loop.train(micro, folder, CPU, resume=True)
    assert_same_run(folder, whole)


def test_ctrl_c_saves_the_state_and_exits_with_130(
    micro: Config, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = stopped_process(optim(micro, workers=1), folder, signal.SIGINT)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert done.stderr.count("stopping after this step") == 1
    assert "stopped in epoch 2; continue with --resume\n--finish makes a checkpoint" in done.stderr
    assert steps_of(folder)[0] in (6, 7)
    run_training(TrainingOptions(folder, resume=True))
    assert_same_run(folder, whole)


def test_a_second_ctrl_c_stops_at_once() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with stop_signal() as received:
        press_ctrl_c()
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is handler
