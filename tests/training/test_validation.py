"""Validation after an epoch: figures, transcripts and samples."""

import json
from pathlib import Path

import pytest
import torch

from asr.decode.greedy import greedy_search_batch
from asr.scoring.wer import score
from asr.training import Config
from asr.training.distributed import Group
from asr.training.setup import prepare
from asr.training.validation import measure_priors, validate
from tests.training_support import CPU

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_figures_are_those_of_the_transcripts_that_are_written(
    micro: Config, tmp_path: Path
) -> None:
    run, _ = prepare(micro, tmp_path, CPU, Group(), resume=False)
    metrics = validate(run, epoch=4)
    assert not run.model.training
    hypotheses: dict[str, str] = {}
    with torch.no_grad():
        for batch in run.dev_loader:
            found = greedy_search_batch(*run.model(batch.features, batch.feature_lengths))
            texts = [run.tokens.decode(hypothesis.tokens) for hypothesis in found]
            hypotheses |= dict(zip(batch.ids, texts, strict=True))
    expected = score(run.references, hypotheses)
    assert (metrics["dev_wer"], metrics["dev_cer"]) == (expected.wer, expected.cer)
    assert metrics["dev_loss"] > 0
    written = (tmp_path / "dev_transcripts.txt").read_text()
    assert all(f"hypothesis {text}" in written for text in hypotheses.values())
    samples = [json.loads(s) for s in (tmp_path / "dev_samples.jsonl").read_text().splitlines()]
    assert {s["id"]: s["hypothesis"] for s in samples} == hypotheses
    assert {s["epoch"] for s in samples} == {4}


def test_the_final_validation_adds_no_samples(micro: Config, tmp_path: Path) -> None:
    run, _ = prepare(micro, tmp_path, CPU, Group(), resume=False)
    validate(run)
    assert (tmp_path / "dev_transcripts.txt").exists()
    assert not (tmp_path / "dev_samples.jsonl").exists()


def test_priors_are_mean_probabilities_of_the_validation_set(micro: Config, tmp_path: Path) -> None:
    run, _ = prepare(micro, tmp_path, CPU, Group(), resume=False)
    total, frames = torch.zeros(len(run.tokens), dtype=torch.float64), 0
    run.model.eval()
    with torch.no_grad():
        for batch in run.dev_loader:
            log_probs, lengths = run.model(batch.features, batch.feature_lengths)
            for one, length in zip(log_probs, lengths, strict=True):
                total += one[:length].exp().double().sum(dim=0)
                frames += int(length)
    expected = ((total + 1) / (frames + len(run.tokens))).log()
    run.model.train()
    assert measure_priors(run) == pytest.approx(expected.tolist(), abs=0.006)
    assert not run.model.training
