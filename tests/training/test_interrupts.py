"""Ctrl-C, SIGTERM and SIGHUP during training."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from asr.training import Config, interrupts, loop
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


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_process_group_saves_the_state_and_exits_with_130(
    micro: Config, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    done = stopped_process(optim(micro, workers=1), folder, number)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert done.stderr.count("stopping after this step") == 1
    assert "stopped in epoch 2; continue with --resume\n--finish makes a checkpoint" in done.stderr
    assert steps_of(folder)[0] in (6, 7)
    run_training(TrainingOptions(folder, resume=True))
    assert_same_run(folder, whole)


def test_a_signal_during_validation_stops_the_run_between_epochs(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, validate = tmp_path / "run", vars(loop)["validate"]

    def hang_up(*arguments: Any) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGHUP)
        metrics: dict[str, float] = validate(*arguments)
        return metrics

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", hang_up)
        with pytest.raises(Interrupted, match="stopped after epoch 1; continue with --resume"):
            loop.train(micro, folder, CPU)
    loop.train(micro, folder, CPU, resume=True)
    assert_same_run(folder, whole)


def test_a_second_ctrl_c_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_AGAIN_SECONDS", 0.0)
    handler = signal.getsignal(signal.SIGINT)
    with stop_signal() as received:
        press_ctrl_c()
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is handler


def test_signals_that_launchers_pass_on_are_not_a_second_ctrl_c() -> None:
    with stop_signal() as received:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert received == [signal.SIGTERM]


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signal() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not received
    finally:
        signal.signal(signal.SIGHUP, before)
