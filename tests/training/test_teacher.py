"""Learning from the outputs of a teacher: the loss, the start, what is recorded, resuming."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import from_dict
from asr.errors import ConfigError
from asr.model.acoustic import EncoderConfig
from asr.model.loss import ctc_loss, divergence
from asr.training import Config, batch_trial, loop, setup
from asr.training.batch_trial import Request, Shape
from asr.training.distributed import Group
from asr.training.objective import compute_loss
from asr.training.run import Run
from tests.training_support import (
    CPU,
    Killed,
    after_step,
    assert_same_run,
    early,
    edited,
    kill,
    optim,
    without_dropout,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def teacher(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of twice the size, with predictions of its own after its first layer."""
    config = optim(early(without_dropout(micro)), epochs=2)
    hidden = 2 * micro.encoder.hidden
    config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, hidden=hidden))
    return loop.train(config, tmp_path_factory.mktemp("teacher") / "run", CPU)


@pytest.fixture
def taught(micro: Config, teacher: Path) -> Config:
    return dataclasses.replace(without_dropout(micro), teacher=str(teacher))


def prepared(config: Config, folder: Path) -> Run:
    return setup.prepare(config, folder, CPU, Group(), resume=False)[0]


def test_divergence_is_summed_over_real_frames() -> None:
    student = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    target = torch.tensor([[[0.25, 0.75], [0.1, 0.9]]]).log()
    first = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    second = 0.1 * math.log(0.1 / 0.9) + 0.9 * math.log(0.9 / 0.1)
    assert divergence(student, target, torch.tensor([1])).item() == pytest.approx(first)
    assert divergence(student, target, torch.tensor([2])).item() == pytest.approx(first + second)
    assert divergence(target, target, torch.tensor([2])).item() == 0


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_transcripts_and_teacher_share_the_loss(
    taught: Config, tmp_path: Path, weight: float
) -> None:
    run = prepared(optim(taught, teacher_weight=weight), tmp_path / "run")
    assert run.teacher
    batch = next(iter(run.train_loader))
    inputs = (batch.features, batch.feature_lengths, batch.beginnings)
    (log_probs,), lengths = run.network(*inputs)
    target = run.teacher.network(*inputs)[0][-1]
    ctc = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths).mean()
    expected = (1 - weight) * ctc + weight * divergence(log_probs, target, lengths).mean()
    found = compute_loss(run.config, run.network, batch, run.teacher.network)
    torch.testing.assert_close(found.loss, expected)


def test_a_model_like_its_teacher_learns_nothing_from_it(
    taught: Config, teacher: Path, tmp_path: Path
) -> None:
    encoder = from_dict(EncoderConfig, load_checkpoint(teacher).config["encoder"])
    alike = dataclasses.replace(taught, init_from=str(teacher), encoder=encoder)

    def largest_gradient(weight: float) -> float:
        run = prepared(optim(alike, teacher_weight=weight, early_weight=0.0), tmp_path / "run")
        assert run.teacher
        batch = next(iter(run.train_loader))
        loss = compute_loss(run.config, run.network, batch, run.teacher.network).loss
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
        return max(float(gradient.abs().max()) for gradient in gradients)

    assert largest_gradient(1.0) < 1e-4 * largest_gradient(0.0)


def test_a_smaller_model_comes_to_resemble_its_teacher(taught: Config, tmp_path: Path) -> None:
    config = optim(taught, epochs=3, teacher_weight=1.0, peak_rate=1e-2, warmup_epochs=0.5)
    run = prepared(config, tmp_path / "before")
    batch = next(iter(run.train_loader))

    def distance(run: Run) -> float:
        assert run.teacher
        with torch.no_grad():
            loss = compute_loss(run.config, run.network, batch, run.teacher.network).loss
        return float(loss)

    before = distance(run)
    checkpoint = loop.train(config, tmp_path / "run", CPU)
    run.model.load_state_dict(load_checkpoint(checkpoint).weights)
    assert distance(run) < 0.8 * before


def test_tokens_are_those_of_the_teacher(taught: Config, teacher: Path, tmp_path: Path) -> None:
    def fewer(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            entry["text"] = entry["text"].replace("A", "B")

    run = prepared(edited(taught, tmp_path, fewer), tmp_path / "run")
    assert run.tokens == load_checkpoint(teacher).tokens


def test_the_checkpoint_names_its_teacher(taught: Config, teacher: Path, tmp_path: Path) -> None:
    checkpoint = loop.train(optim(taught, epochs=1), tmp_path / "run", CPU)
    training = load_checkpoint(checkpoint).config["training"]
    sha256 = load_checkpoint(teacher).config["files"]["model.safetensors"]["sha256"]
    assert training["teacher"] == teacher.name
    assert training["teacher_sha256"] == sha256
    assert training["ancestors"] == {teacher.name: sha256}
    assert "init_from_sha256" not in training


def test_a_resumed_run_goes_on_with_its_teacher(taught: Config, tmp_path: Path) -> None:
    config = optim(taught, epochs=2, save_minutes=0.0)
    loop.train(config, tmp_path / "whole", CPU)
    with pytest.MonkeyPatch.context() as patch:
        after_step(patch, 4, kill)
        with pytest.raises(Killed):
            loop.train(config, tmp_path / "run", CPU)
    loop.train(config, tmp_path / "run", CPU, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_another_model_is_refused(taught: Config, tmp_path: Path) -> None:
    features = dataclasses.replace(taught.features, num_mels=taught.features.num_mels + 1)
    assert taught.encoder.subsampling != 2
    encoder = dataclasses.replace(taught.encoder, subsampling=2)
    other = dataclasses.replace(taught, features=features, encoder=encoder)
    with pytest.raises(ConfigError, match=r"features\.num_mels, encoder\.subsampling; use its"):
        prepared(other, tmp_path / "run")


def test_letters_that_the_teacher_lacks_are_named(taught: Config, tmp_path: Path) -> None:
    def another(entries: list[dict[str, Any]]) -> None:
        entries[0]["text"] += "~"

    with pytest.raises(ConfigError, match="found others, without '~'; fine-tune the teacher"):
        prepared(edited(taught, tmp_path, another), tmp_path / "run")


def test_coarse_epochs_are_refused(taught: Config) -> None:
    with pytest.raises(ConfigError, match="coarse_epochs=1: expected 0 with a teacher"):
        optim(taught, epochs=2, coarse_epochs=1)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_that_is_no_share_is_refused(taught: Config, weight: float) -> None:
    with pytest.raises(ConfigError, match="teacher_weight: expected 0 to 1"):
        optim(taught, teacher_weight=weight)


def test_a_trial_of_a_batch_has_the_teacher(
    taught: Config, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = []

    def watched(config: Config, network: Any, batch: Any, teacher: Any) -> Any:
        networks.append(teacher)
        return compute_loss(config, network, batch, teacher)

    monkeypatch.setattr(batch_trial, "compute_loss", watched)
    shape = Shape((50, 50), (5, 5))
    batch_trial.measure(Request(taught, 4, "cpu", 1, shape, shape, Shape((), ())), CPU)
    tokens = len(load_checkpoint(teacher).tokens)
    assert {network.model.output.out_features for network in networks} == {tokens}
