"""Epochs of coarse frames before those of fine ones: what they take, keep and leave."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import override
from asr.errors import ConfigError, ManifestError
from asr.training import Config, OptimConfig, loop, selection
from asr.training.launch import run_training
from asr.training.objective import StepOutput, compute_loss
from asr.training.options import TrainingOptions
from asr.training.run import Run
from asr.training.state import load_state
from tests.training_support import (
    CPU,
    Killed,
    after_step,
    assert_resumes,
    edited,
    kill,
    optim,
    same,
)

pytest_plugins = ["tests.training_fixtures"]


@pytest.fixture
def coarse(micro: Config, quick: None) -> Config:
    """One epoch in frames of 40 ms, then two in frames of 20."""
    fine = dataclasses.replace(micro, encoder=dataclasses.replace(micro.encoder, subsampling=2))
    return optim(fine, coarse_epochs=1)


def test_each_epoch_takes_its_frames(
    coarse: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios: list[float] = []

    def watched(config: Config, network: torch.nn.Module, batch: Any, teacher: None) -> StepOutput:
        found = compute_loss(config, network, batch, teacher)
        ratios.append(float(batch.feature_lengths.sum() / found.lengths.sum()))
        return found

    monkeypatch.setattr(loop, "compute_loss", watched)
    loop.train(coarse, tmp_path / "run", CPU)
    assert [round(ratio) for ratio in ratios] == [4] * 4 + [2] * 8
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint")
    assert checkpoint.config["encoder"]["subsampling"] == 2


def test_a_coarse_epoch_is_one_of_a_coarse_model(coarse: Config, tmp_path: Path) -> None:
    other = optim(coarse, coarse_epochs=0)
    encoder = dataclasses.replace(other.encoder, subsampling=4)
    other = dataclasses.replace(other, encoder=encoder)
    states = []
    for name, config in (("coarse", coarse), ("other", other)):
        with pytest.MonkeyPatch.context() as patch:
            after_step(patch, 5, kill)
            with pytest.raises(Killed):
                loop.train(config, tmp_path / name, CPU)
        states.append(load_state(tmp_path / name))
    for state in states:  # of the end of the first epoch
        assert (state["progress"]["epoch"], state["progress"]["batch"]) == (1, 0)
        for metrics in state["progress"]["history"]:
            del metrics["train_seconds"], metrics["dev_seconds"]
    for name in ("model", "optimizer", "progress"):
        found, expected = (state[name] for state in states)
        assert found.keys() == expected.keys()
        assert all(same(found[key], expected[key]) for key in found if key != "weights"), name


@pytest.mark.parametrize(
    "step",
    [pytest.param(2, marks=pytest.mark.slow), 4, pytest.param(7, marks=pytest.mark.slow)],
)
def test_a_killed_run_resumes_with_its_frames(coarse: Config, tmp_path: Path, step: int) -> None:
    assert_resumes(coarse, tmp_path, step)


@pytest.mark.parametrize(("patience", "epochs"), [(0, 5), (1, 4)])
def test_weights_of_coarse_epochs_are_not_what_a_run_ends_with(
    coarse: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, epochs: int
) -> None:
    rates = iter([0.1, 0.2, 0.4, 0.5, 0.3])

    def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
        return {"dev_loss": 1.0, "dev_wer": 0.5, "dev_cer": next(rates, 1.0)}

    for module in (loop, selection):
        monkeypatch.setattr(module, "validate", validate)
    config = optim(coarse, epochs=5, coarse_epochs=2, patience=patience, average=1)
    loop.train(config, tmp_path / "run", CPU)
    metrics = load_checkpoint(tmp_path / "run" / "checkpoint").metrics
    assert metrics["epochs"] == epochs
    best = 5 if epochs == 5 else 3
    assert metrics["weights"] in (f"epoch {best}", f"mean of epochs [{best}]")
    assert len(list((tmp_path / "run" / "weights").iterdir())) == 1


def test_transcripts_must_fit_the_coarse_frames(coarse: Config, tmp_path: Path) -> None:
    def lengthen(entries: list[dict[str, Any]]) -> None:
        frames = int(entries[2]["duration"] / max(coarse.augment.speeds) * 100)
        entries[2]["text"] = "AB" * (frames // 6)  # a label for every 30 ms

    changed = edited(coarse, tmp_path, lengthen)
    with pytest.raises(ManifestError, match="too long for their audio"):
        loop.train(changed, tmp_path / "run", CPU)
    loop.train(optim(changed, coarse_epochs=0, epochs=1), tmp_path / "fine", CPU)


@pytest.mark.parametrize("coarse_epochs", [-1, 3, 4])
def test_some_epochs_must_be_fine(coarse_epochs: int) -> None:
    with pytest.raises(ConfigError, match=f"fewer than optim.epochs=3, found {coarse_epochs}"):
        OptimConfig(epochs=3, coarse_epochs=coarse_epochs)


@pytest.mark.parametrize(
    "settings",
    [
        ["encoder.subsampling=3"],
        ["encoder.subsampling=4"],
        ["encoder.convolution_channels=0", "encoder.subsampling=1"],
    ],
)
def test_what_cannot_be_coarser_is_refused(settings: list[str]) -> None:
    config = override(Config(), [*settings, "optim.coarse_epochs=2"])
    with pytest.raises(ConfigError, match="coarse_epochs=2: expected the convolutional front end"):
        config.subsampling_in(2)


def test_a_coarse_checkpoint_can_be_fine_tuned(coarse: Config, whole: Path, tmp_path: Path) -> None:
    """Its own subsampling, taken over first, has no coarser frames; what is said after it has."""
    options = TrainingOptions(
        tmp_path / "run",
        settings=("encoder.subsampling=2", "optim.epochs=2"),
        init_from=whole / "checkpoint",
    )
    run_training(options, coarse)
    learnt = load_checkpoint(tmp_path / "run" / "checkpoint").config
    assert learnt["encoder"]["subsampling"] == 2
