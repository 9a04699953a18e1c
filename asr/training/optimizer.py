"""The optimizer, and the one update of the weights that training and `--find_batch` share."""

import math

import torch
from torch import Tensor, nn

from asr.training.config import Config, OptimConfig
from asr.training.objective import autocast_dtype


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); the schedule sets its learning rate at each step."""
    return torch.optim.AdamW(
        model.parameters(),
        config.optim.peak_rate,
        (0.9, 0.98),
        weight_decay=config.optim.weight_decay,
        fused=True,
    )


def make_scaler(config: Config, device: torch.device) -> torch.amp.GradScaler:
    """Loss scaling, which only float16 needs; for other precisions it does nothing."""
    enabled = autocast_dtype(config, device) is torch.float16
    return torch.amp.GradScaler(device.type, enabled=enabled)


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loss: Tensor,
    optim: OptimConfig,
) -> float:
    """Backpropagate a loss and take one optimizer step; the gradient's norm before clipping.

    If the norm is not finite the weights stay as they are.
    """
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.unscale_(optimizer)
    limit = optim.clip_norm or math.inf
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), limit))
    if optim.clip_value:
        torch.nn.utils.clip_grad_value_(model.parameters(), optim.clip_value)
    if math.isfinite(norm) or scaler.is_enabled():  # the scaler skips the step by itself
        scaler.step(optimizer)
        scaler.update()
    return norm
