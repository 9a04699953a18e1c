"""The training loop: what it learns and what it leaves in the run's folder."""

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import to_dict
from asr.corpus.manifest import read_manifest
from asr.training import Config, loop, selection
from asr.training.run import Progress, Run
from tests.training_support import CPU, STEPS, assert_same_run, optim, same, state_of

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_an_epoch_has_four_steps(whole: Path) -> None:
    assert state_of(whole)["progress"]["step"] == STEPS


def test_the_same_seed_gives_the_same_weights(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(micro, tmp_path / "again", CPU)
    assert_same_run(tmp_path / "again", whole)


def test_another_seed_gives_other_weights(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(dataclasses.replace(micro, seed=1), epochs=1), tmp_path / "other", CPU)
    assert not same(state_of(tmp_path / "other")["model"], state_of(whole)["model"])


def test_background_workers_change_nothing(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(micro, workers=1), tmp_path / "workers", CPU)
    assert_same_run(tmp_path / "workers", whole)


def test_a_run_leaves_scalars_and_the_best_weights(
    micro: Config, whole: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3]
    for metrics in history:
        assert all(math.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["blank_rate"] <= 1
    assert len(list((whole / "weights").glob("epoch-*.safetensors"))) == micro.optim.average
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"step/loss", "step/learning_rate", "epoch/dev_wer", "epoch/blank_rate"} <= {*scalars}
    losses = [event.value for event in events.Scalars("epoch/dev_loss")]
    assert losses == pytest.approx([metrics["dev_loss"] for metrics in history])
    transcripts = (whole / "dev_transcripts.txt").read_text()
    assert all(f"reference  {u.text}" in transcripts for u in read_manifest(micro.data.dev))


def test_the_checkpoint_records_how_it_was_trained(micro: Config, whole: Path) -> None:
    bundle = load_checkpoint(whole / "checkpoint")
    assert (bundle.config["recipe"], bundle.config["seed"]) == ("micro", 0)
    assert bundle.config["encoder"] == to_dict(micro.encoder)
    assert bundle.config["training"]["manifest_sha256"].keys() == {
        *micro.data.train,
        micro.data.dev,
    }
    assert bundle.metrics["epochs"] == 3
    assert bundle.metrics["dev"].keys() == {"loss", "wer", "cer"}


@pytest.mark.parametrize("cell", ["gru", "elman", "ligru"])
def test_every_cell_learns(micro: Config, tmp_path: Path, cell: Any) -> None:
    encoder = dataclasses.replace(micro.encoder, cell=cell, norm="batch")
    smaller = optim(dataclasses.replace(micro, encoder=encoder), epochs=1)
    checkpoint = loop.train(smaller, tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).config["encoder"]["cell"] == cell


def test_blanks_are_counted_on_real_frames() -> None:
    best = torch.tensor([[0, 1, 0, 0], [2, 0, 0, 0]])
    log_probs = torch.nn.functional.one_hot(best, 3).float().log_softmax(dim=2)
    assert loop.count_blanks(log_probs, torch.tensor([4, 2])) == 3 + 1
    assert loop.count_blanks(log_probs, torch.tensor([2, 1])) == 1


def scripted_validation(monkeypatch: pytest.MonkeyPatch, rates: list[float]) -> None:
    remaining = iter(rates)

    def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
        return {"dev_loss": 1.0, "dev_wer": 0.5, "dev_cer": next(remaining, 1.0)}

    monkeypatch.setattr(loop, "validate", validate)
    monkeypatch.setattr(selection, "validate", validate)


def skipped_step(run: Run, progress: Progress, *rest: Any) -> bool:
    progress.step += 1
    progress.batch += 1
    sums = dict.fromkeys(loop.TOTALS, 1.0)
    progress.totals.update(sums)
    return False


def test_a_model_that_writes_only_blanks_is_pointed_out(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted_validation(monkeypatch, [])
    monkeypatch.setattr(loop, "train_step", skipped_step)
    with caplog.at_level(logging.WARNING):
        loop.train(optim(micro, epochs=11), tmp_path / "run", CPU)
    assert caplog.text.count("almost nothing but blanks") == 1
