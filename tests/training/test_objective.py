"""The loss of a batch: early predictions, two views, precision."""

import math
from pathlib import Path

import pytest
import torch

import asr
from asr.checkpoint.checkpoint import load_checkpoint
from asr.model.loss import consistency_loss, ctc_loss
from asr.training import Config, loop, setup
from asr.training.distributed import Group
from asr.training.objective import compute_loss
from tests.training_support import CPU, early, optim, state_of, without_dropout

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_every_precision_learns(micro: Config, tmp_path: Path, precision: str) -> None:
    checkpoint = loop.train(optim(micro, precision=precision, epochs=1), tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).metrics["dev"]["loss"] < math.inf


def test_consistency_of_two_views_is_learnt(micro: Config, tmp_path: Path) -> None:
    loop.train(optim(micro, consistency=0.2, epochs=1), tmp_path / "run", CPU)
    history = state_of(tmp_path / "run")["progress"]["history"]
    assert math.isfinite(history[0]["train_loss"])


def test_early_predictions_have_their_share_of_the_cost(micro: Config, tmp_path: Path) -> None:
    config = optim(early(without_dropout(micro)), consistency=0.2, early_weight=0.25)
    run, _ = setup.prepare(config, tmp_path / "run", CPU, Group(), resume=False)
    batch = next(iter(run.train_loader))

    def price(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
        return losses.mean() + 0.2 * consistency_loss(log_probs, lengths).mean()

    assert batch.beginnings is not None
    (first, last), lengths = run.network(batch.features, batch.feature_lengths, batch.beginnings)
    found = compute_loss(config, run.network, batch)
    expected = 0.25 * price(first, lengths) + 0.75 * price(last, lengths)
    torch.testing.assert_close(found.loss, expected)
    torch.testing.assert_close(found.log_probs, last)
    assert len(found.ctc_losses) == len(batch.ids) == len(found.lengths)


def test_early_predictions_are_learnt_and_kept(micro: Config, tmp_path: Path) -> None:
    checkpoint = loop.train(optim(early(micro), epochs=1), tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).config["encoder"]["early_predictions"] == [1]
    samples = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()
    assert isinstance(asr.load(checkpoint).transcribe(samples, sample_rate=8000).text, str)


def test_identical_views_agree() -> None:
    logits = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat([logits, logits]).requires_grad_()
    lengths = torch.tensor([7, 4, 7, 4])
    loss = consistency_loss(doubled.log_softmax(dim=2), lengths)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert doubled.grad is not None
    assert doubled.grad.abs().max() < 1e-6


def test_views_disagree_by_the_divergence_of_real_frames() -> None:
    first = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    second = torch.tensor([[[0.25, 0.75], [0.1, 0.9]]]).log()
    one_frame = consistency_loss(torch.cat([first, second]), torch.tensor([1, 1]))
    forth = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    back = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert one_frame.item() == pytest.approx((forth + back) / 2)
    assert consistency_loss(torch.cat([second, first]), torch.tensor([1, 1])) == one_frame
