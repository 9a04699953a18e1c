"""The curve of errors against minutes of recordings: its settings, table and picture."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from recipes.mboshi import curve
from recipes.mboshi.train import CONFIG
from recipes.recurrent.experiments import Results


def test_fewer_minutes_have_more_epochs() -> None:
    runs = [curve.configuration(minutes) for minutes in curve.EPOCHS]
    assert runs[0].data.train == ("data/mboshi/trimmed/train-15.jsonl",)
    assert runs[-1].data.train == CONFIG.data.train
    epochs = [run.optim.epochs for run in runs]
    assert epochs == sorted(epochs, reverse=True)
    assert not any(run.init_from for run in runs)
    tuned = curve.configuration(60, "english")
    assert tuned.init_from == "english"
    assert tuned.optim.epochs == runs[2].optim.epochs
    assert curve.configuration(228, CONFIG.init_from).optim.warmup_epochs == 0.5


def test_finished_runs_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int, str]] = []

    def train(folder: Path, minutes: int, init_from: str, threads: int) -> dict[str, Any]:
        trained.append((folder.name, minutes, init_from))
        return {
            "minutes": minutes,
            "core_minutes": 1.0,
            "cer": 100 / minutes,
            "wer": 400 / minutes,
            "wer_interval": [300 / minutes, 500 / minutes],
        }

    monkeypatch.setattr(curve, "train_and_score", train)
    app = typer.Typer()
    app.command()(curve.curve)
    common = ["--results", str(tmp_path / "results"), "--picture", str(tmp_path / "curve.png")]
    printed = CliRunner().invoke(app, [*common, "--only", "120", "--only", "15"]).output
    assert "| nothing | 15 | 1 | 6.67 | 26.67 (20.00 to 33.33) |" in printed
    CliRunner().invoke(app, [*common, "--only", "15", "--init_from", "x/english"])
    CliRunner().invoke(app, [*common, "--only", "15"])
    assert trained == [
        ("nothing-120", 120, ""),
        ("nothing-15", 15, ""),
        ("english-15", 15, "x/english"),
    ]
    found = curve.curves(Results(tmp_path / "results"))
    assert {name: [one["minutes"] for one in own] for name, own in found.items()} == {
        "english": [15],
        "nothing": [15, 120],
    }
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    refused = CliRunner().invoke(app, [*common, "--only", "7"])
    assert refused.exit_code == 1
    assert "--only: expected 15, 30, 60, 120, 228, found {7}" in refused.output
