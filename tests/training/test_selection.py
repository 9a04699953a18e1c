"""The weights a run ends with: best epochs, early stopping, damaged files."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import CheckpointError
from asr.training import Config, loop, selection
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from asr.training.run import Progress, Run
from asr.training.selection import warn_if_useless
from tests.training_support import CPU, flipped, optim, state_of

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_the_best_epochs_are_those_of_fewest_errors() -> None:
    figures = [(0.5, 0.3), (0.4, 0.2), (0.3, 0.1), (0.6, 0.4), (0.3, 0.1)]
    history = [
        {"epoch": float(i), "dev_wer": wer, "dev_cer": cer}
        for i, (cer, wer) in enumerate(figures, start=1)
    ]
    progress = Progress(epoch=5, history=history)
    config = Config()
    assert selection.best_epochs(config, progress, 3) == [5, 3, 2]
    assert selection.best_epochs(config, progress, 9) == [5, 3, 2, 1, 4]
    coarse = optim(config, coarse_epochs=3)
    assert selection.best_epochs(coarse, progress, 9) == [5, 4]
    progress.history = history[:3]
    assert selection.best_epochs(coarse, progress, 2) == [3, 2]


def scripted_validation(monkeypatch: pytest.MonkeyPatch, rates: list[float]) -> None:
    remaining = iter(rates)

    def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
        return {"dev_loss": 1.0, "dev_wer": 0.5, "dev_cer": next(remaining, 1.0)}

    monkeypatch.setattr(loop, "validate", validate)
    monkeypatch.setattr(selection, "validate", validate)


@pytest.mark.parametrize(
    ("rates", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.6, 0.6, 0.3], 2, 4),
        ([0.5, 0.4, 0.6, 0.3, 0.6], 2, 6),
        ([0.5, 0.6, 0.6, 0.6, 0.6], 0, 7),
    ],
)
def test_a_run_stops_when_it_gets_no_better(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rates: list[float],
    patience: int,
    epochs: int,
) -> None:
    scripted_validation(monkeypatch, rates)
    monkeypatch.setattr(loop, "train_step", skipped_step)
    folder = tmp_path / "run"
    loop.train(optim(micro, epochs=7, patience=patience, average=1), folder, CPU)
    assert state_of(folder)["progress"]["epoch"] == epochs
    best = 1 + rates.index(min(rates[:epochs]))
    kept = [path.name for path in (folder / "weights").iterdir()]
    assert kept == [f"epoch-{best:04d}.safetensors"]


def skipped_step(run: Run, progress: Progress, *rest: Any) -> bool:
    progress.step += 1
    progress.batch += 1
    sums = dict.fromkeys(loop.TOTALS, 1.0)
    progress.totals.update(sums)
    return False


@pytest.mark.parametrize(("wer", "useless"), [(1.0, True), (2.5, True), (0.5, False)])
def test_a_model_that_recognises_nothing_is_named(
    caplog: pytest.LogCaptureFixture, wer: float, useless: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_if_useless(wer, "")
        warn_if_useless(wer, "an4-blstm")
    assert caplog.text.count("recognises next to nothing") == (2 if useless else 0)
    assert caplog.text.count("--init_from") == (1 if useless else 0)


def test_damaged_weights_are_left_out_of_the_average(
    micro: Config, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    one, other = sorted((folder / "weights").iterdir())
    flipped(one)
    with caplog.at_level(logging.WARNING):
        run_training(TrainingOptions(folder, resume=True))
    epoch = int(one.stem.removeprefix("epoch-"))
    assert f"{one}: truncated or altered: its SHA-256 does not match; " in caplog.text
    assert f"epoch {epoch} is left out of the average" in caplog.text
    assert f"[{epoch}" not in load_checkpoint(folder / "checkpoint").metrics["weights"]
    other.unlink()
    with pytest.raises(CheckpointError, match="no weights of the best epochs are intact"):
        run_training(TrainingOptions(folder, resume=True))
