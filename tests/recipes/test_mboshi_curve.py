"""The curve of errors against minutes of recordings: its settings, table and picture."""

from pathlib import Path
from typing import Any

import pytest

from recipes.mboshi import curve
from recipes.mboshi.train import CONFIG
from recipes.recurrent.experiments import Results
from tests.support import run_recipe


def test_what_is_learnt_soon_is_made_harder() -> None:
    runs = [curve.configuration(minutes) for minutes in curve.EPOCHS]
    assert runs[0].data.train == ("data/mboshi/trimmed/train-15.jsonl",)
    assert runs[-1].data.train == CONFIG.data.train
    little = [run for run, minutes in zip(runs, curve.EPOCHS, strict=True) if minutes <= 60]
    assert len(little) == 3
    for run in little:
        assert run.optim.consistency > 0
        assert run.optim.batch_seconds < CONFIG.optim.batch_seconds
        assert run.augment.time_masks > CONFIG.augment.time_masks
    epochs = [run.optim.epochs for run in runs[:-1]]
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
    common = ["--results", tmp_path / "results", "--picture", tmp_path / "curve.png"]
    printed = run_recipe(curve.curve, *common, "--only", "120", "--only", "15").stdout
    assert "| nothing | 15 | 1 | 6.67 | 26.67 (20.00 to 33.33) |" in printed
    run_recipe(curve.curve, *common, "--only", "15", "--init_from", "x/english")
    run_recipe(curve.curve, *common, "--only", "15")
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
    refused = run_recipe(curve.curve, *common, "--only", "7").error
    assert "--only: expected 15, 30, 60, 120, 228, found {7}" in refused
