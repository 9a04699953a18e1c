"""The update of the weights, which training and `--find_batch` share."""

import math

import pytest
import torch
from torch import Tensor, nn

from asr.training import Config, OptimConfig
from asr.training.optimizer import make_optimizer, make_scaler, update
from tests.training_support import CPU, optim

LIMITED, UNLIMITED = OptimConfig(clip_norm=1.0), OptimConfig(clip_norm=9.0)


def small_model() -> nn.Linear:
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    nn.init.zeros_(model.bias)
    return model


def loss_of(model: nn.Linear, scale: float = 1.0) -> Tensor:
    """Its gradient is 3, -4 times `scale` for the biases, and 0 for the weights."""
    output = model(torch.zeros(1, 3))
    loss: Tensor = scale * (3 * output[0, 0] - 4 * output[0, 1])
    return loss


def test_an_update_returns_the_norm_before_clipping_and_changes_the_weights() -> None:
    config, model = optim(Config(), weight_decay=0.0, peak_rate=0.5), small_model()
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, CPU)
    assert update(model, optimizer, scaler, loss_of(model), LIMITED) == pytest.approx(5.0)
    assert model.bias.grad is not None
    assert model.bias.grad.tolist() == pytest.approx([0.6, -0.8])
    assert model.bias.tolist() == pytest.approx([-0.5, 0.5])  # Adam's first step: the rate itself


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"clip_norm": 0.0}, [3.0, -4.0]),
        ({"clip_norm": 0.0, "clip_value": 3.5}, [3.0, -3.5]),
        ({"clip_norm": 2.5, "clip_value": 1.75}, [1.5, -1.75]),
    ],
)
def test_gradients_are_limited_as_told(limits: dict[str, float], expected: list[float]) -> None:
    config, model = Config(), small_model()
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, CPU)
    update(model, optimizer, scaler, loss_of(model), optim(Config(), **limits).optim)
    assert model.bias.grad is not None
    assert model.bias.grad.tolist() == pytest.approx(expected)


def test_gradients_of_earlier_updates_do_not_add_up() -> None:
    config, model = Config(), small_model()
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, CPU)
    norms = [update(model, optimizer, scaler, loss_of(model), UNLIMITED) for _ in range(3)]
    assert norms == pytest.approx([5.0] * 3)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_gradient_that_is_not_finite_leaves_the_weights_as_they_are(precision: str) -> None:
    config, model = optim(Config(), precision=precision), small_model()
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, CPU)
    scale = scaler.get_scale()
    norm = update(model, optimizer, scaler, loss_of(model, math.inf), LIMITED)
    assert not math.isfinite(norm)
    assert model.bias.tolist() == [0, 0]
    assert scaler.get_scale() == (scale / 2 if precision == "float16" else 1)


@pytest.mark.parametrize(
    ("precision", "scaled"), [("float32", False), ("bfloat16", False), ("float16", True)]
)
def test_the_loss_is_scaled_only_for_float16(precision: str, scaled: bool) -> None:
    assert make_scaler(optim(Config(), precision=precision), CPU).is_enabled() == scaled


def test_loss_scaling_does_not_change_the_norm() -> None:
    config, model = optim(Config(), precision="float16"), small_model()
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, CPU)
    assert update(model, optimizer, scaler, loss_of(model), UNLIMITED) == pytest.approx(5.0)
