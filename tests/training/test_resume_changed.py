"""Resuming a run that is not quite the same: refused where it must be, and said where it may."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import AsrError, CheckpointError, ManifestError
from asr.training import Config, loop
from asr.training.interrupts import Interrupted
from asr.training.launch import read_config, run_training
from asr.training.options import TrainingOptions
from asr.training.state import load_state, write_state
from tests.training_support import (
    CPU,
    after_step,
    assert_same_run,
    edited,
    press_ctrl_c,
    same,
    state_of,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def stopped_run(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, step: int = 5
) -> dict[str, Any]:
    """Stop a run within its second epoch; its state."""
    with monkeypatch.context() as patch:
        after_step(patch, step, press_ctrl_c)
        with pytest.raises(Interrupted):
            loop.train(config, folder, CPU)
    return load_state(folder)


@pytest.mark.parametrize("split", ["train", "dev"])
def test_changed_manifests_are_refused_by_name_unless_accepted(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    split: str,
) -> None:
    config, folder = edited(micro, tmp_path, lambda entries: None, split), tmp_path / "run"
    manifest = config.data.train[0] if split == "train" else config.data.dev
    before = stopped_run(config, folder, monkeypatch)
    text = Path(manifest).read_text()
    edited(micro, tmp_path, lambda entries: entries.pop(), split)
    with pytest.raises(ManifestError, match="not the data that this run was trained on") as error:
        run_training(TrainingOptions(folder, resume=True))
    assert str(error.value).startswith(f"{manifest}: ")
    assert "--accept_changed_data" in str(error.value)
    assert same(load_state(folder), before)
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(folder, resume=True, accept_changed_data=True))
    assert "continuing with it, as requested" in caplog.text
    assert "epoch 2 starts over: its batches have changed" in caplog.text
    assert load_checkpoint(folder / "checkpoint").metrics["epochs"] == 3
    Path(manifest).write_text(text)
    with pytest.raises(ManifestError, match="not the data"):
        run_training(TrainingOptions(folder, resume=True))


def test_manifests_may_move_as_long_as_they_are_the_same(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, corpus = tmp_path / "run", Path(micro.data.train[0]).parent
    stopped_run(micro, folder, monkeypatch)
    moved = Path(shutil.copytree(corpus, tmp_path / "moved"))
    train, dev = (str(moved / f"{split}.jsonl") for split in ("train", "dev"))
    run_training(TrainingOptions(folder, train=(train,), dev=dev, resume=True))
    found, expected = state_of(folder), state_of(whole)
    assert same(found["model"], expected["model"])


def test_another_number_of_processes_is_logged(
    whole: Path, broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = load_state(broken)
    write_state(broken, 6, state | {"world_size": 4}, 3)
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(broken, resume=True))
    assert "resuming on 1 processes, previously 4: the batches stay the same" in caplog.text
    assert "resuming at epoch 2, batch 2" in caplog.text
    assert_same_run(broken, whole)


def test_settings_that_an_older_state_lacks_have_their_defaults(whole: Path, broken: Path) -> None:
    state = load_state(broken)
    del state["config"]["encoder"]["early_predictions"], state["config"]["optim"]["early_weight"]
    write_state(broken, 6, state, 3)
    run_training(TrainingOptions(broken, resume=True))
    assert_same_run(broken, whole)


@pytest.mark.parametrize(
    ("setting", "said", "anew"),
    [
        ("optim.peak_rate=0.001", "resuming with optim.peak_rate = 0.001, previously 0.002", False),
        ("augment.gain_db=3.0", "resuming with augment.gain_db = 3.0, previously 6.0", False),
        (
            "optim.batch_seconds=9.0",
            "resuming with optim.batch_seconds = 9.0, previously 7.0",
            True,
        ),
        ("augment.speeds=[1.0]", "resuming with augment.speeds = [1.0], previously ", True),
        ("seed=4", "resuming with seed = 4, previously 0", True),
    ],
)
def test_changed_settings_are_logged(
    broken: Path, caplog: pytest.LogCaptureFixture, setting: str, said: str, anew: bool
) -> None:
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(broken, settings=(setting,), resume=True))
    assert said in caplog.text
    assert ("epoch 2 starts over" in caplog.text) == anew


def test_settings_of_an_edited_recipe_are_logged_and_not_applied(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped_run(micro, tmp_path / "run", monkeypatch)
    optim = dataclasses.replace(micro.optim, peak_rate=0.5, weight_decay=0.25)
    recipe = dataclasses.replace(micro, seed=micro.seed + 1, optim=optim)
    with caplog.at_level(logging.INFO):
        options = TrainingOptions(
            tmp_path / "run", settings=("optim.weight_decay=0.125",), resume=True
        )
        run_training(options, recipe)
    kept = [line for line in caplog.messages if line.startswith("keeping")]
    assert kept == [
        f"keeping seed = {micro.seed}, which the run was given when it was started; "
        f"its recipe now has {micro.seed + 1}",
        f"keeping optim.peak_rate = {micro.optim.peak_rate}, which the run was given when it was "
        "started; its recipe now has 0.5",
    ]
    assert f"resuming with optim.weight_decay = 0.125, previously {micro.optim.weight_decay}" in (
        caplog.messages
    )
    assert read_config(tmp_path / "run" / "config.json").optim.peak_rate == micro.optim.peak_rate


def test_resuming_with_another_model_is_refused_and_harms_nothing(
    whole: Path, broken: Path
) -> None:
    settings = ("encoder.hidden=12", "features.num_mels=20")
    with pytest.raises(CheckpointError, match=r"model: features\.num_mels, encoder\.hidden"):
        run_training(TrainingOptions(broken, settings=settings, resume=True))
    run_training(TrainingOptions(broken, resume=True))
    assert_same_run(broken, whole)


def test_an_existing_run_is_left_alone_without_resume(micro: Config, broken: Path) -> None:
    with pytest.raises(AsrError, match="already holds a run; add --resume"):
        loop.train(micro, broken, CPU)


def test_every_start_is_recorded(broken: Path) -> None:
    run_training(TrainingOptions(broken, resume=True))
    starts = [json.loads(line) for line in (broken / "starts.jsonl").read_text().splitlines()]
    assert [start["resumed_step"] for start in starts] == [None, 6]


def test_a_setting_changed_when_the_run_was_resumed_is_not_an_edit_of_the_recipe(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    stopped_run(micro, folder, monkeypatch)
    with monkeypatch.context() as patch:
        after_step(patch, 8, press_ctrl_c)
        changed = ("optim.weight_decay=0.125", "optim.peak_rate=0.003")
        with pytest.raises(SystemExit):
            run_training(TrainingOptions(folder, settings=changed, resume=True), micro)
    edited_recipe = dataclasses.replace(
        micro, optim=dataclasses.replace(micro.optim, peak_rate=0.5)
    )
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(folder, resume=True), edited_recipe)
    assert [line for line in caplog.messages if line.startswith("keeping")] == [
        "keeping optim.peak_rate = 0.003, which the run was given when it was resumed; "
        "its recipe now has 0.5"
    ]
