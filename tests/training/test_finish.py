"""A checkpoint made of a run that has not ended, which goes on as if there were none."""

from pathlib import Path

import pytest

from asr.checkpoint.checkpoint import describe, load_checkpoint
from asr.training import Config, loop
from asr.training.launch import train_unless_finished
from asr.training.recipe_command import main
from asr.training.run_folder import read_run
from tests.support import Command
from tests.training_support import CPU, Killed, after_step, assert_same_run, kill, optim, steps_of

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_a_stopped_run_is_named_finished_used_and_resumed(
    micro: Config, whole: Path, broken: Path, asr_command: Command
) -> None:
    for path in (broken, broken / "checkpoint"):
        message = asr_command("describe", path).error
        assert f"{broken} is an unfinished training run, at epoch 1 of 3; continue it" in message
        assert f"`asr train -o {broken} --finish`" in message
    states, settings = steps_of(broken), (broken / "config.json").read_bytes()

    done = asr_command("train", "-o", broken, "--finish", "--set", "optim.average=1")
    assert done.code == 0
    assert "making a checkpoint of the best epochs up to epoch 1 of 3" in done.stderr
    assert "recognises next to nothing: 100 % of the words" in done.stderr
    found = load_checkpoint(broken / "checkpoint")
    assert (found.metrics["epochs"], found.metrics["planned_epochs"]) == (1, 3)
    assert "planned_epochs" in describe(found)
    assert not read_run(broken).finished
    assert (steps_of(broken), (broken / "config.json").read_bytes()) == (states, settings)
    assert f"give its checkpoint, {broken / 'checkpoint'}" in asr_command("describe", broken).error

    train_unless_finished(broken, micro)  # to the end: this checkpoint is not that of the whole run
    assert "planned_epochs" not in load_checkpoint(broken / "checkpoint").metrics
    assert_same_run(broken, whole)


def test_a_recipe_finishes_without_a_step(
    micro: Config, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step(monkeypatch, 7, lambda: pytest.fail("a step was taken"))
    main(micro, ["-o", str(broken), "--finish"])
    assert load_checkpoint(broken / "checkpoint").metrics["weights"] == "mean of epochs [1]"


def test_a_run_without_an_epoch_says_so(
    micro: Config, tmp_path: Path, asr_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    assert "nothing to finish" in asr_command("train", "-o", folder, "--finish").usage_error
    with monkeypatch.context() as patch:
        after_step(patch, 2, kill)
        with pytest.raises(Killed):
            loop.train(optim(micro, save_minutes=0.0), folder, CPU)
    assert "has not finished an epoch yet" in asr_command("evaluate", folder, micro.data.dev).error
    outcome = asr_command("train", "-o", folder, "--finish")
    assert "no epoch of this run is finished" in outcome.stderr


@pytest.mark.parametrize("other", ["--resume", "--find_batch", "--init_from=english"])
def test_finishing_is_no_other_thing(broken: Path, asr_command: Command, other: str) -> None:
    outcome = asr_command("train", "-o", broken, "--finish", other)
    assert "cannot be combined with" in outcome.usage_error
