"""The training objective: the forward pass in the chosen precision, and the loss of its output."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from asr.corpus.dataset import Batch
from asr.model.device import precision_dtype
from asr.model.loss import consistency_loss, ctc_loss, divergence
from asr.training.config import Config


class StepOutput(NamedTuple):
    """The forward pass of a batch of N utterances."""

    loss: Tensor
    """The scalar that is minimised."""
    ctc_losses: Tensor
    """CTC losses of the last prediction `(N,)` in nats."""
    log_probs: Tensor
    """The last prediction `(N, T', C)` in float32."""
    lengths: Tensor
    """Its frames, `(N,)`."""


def compute_loss(
    config: Config, network: nn.Module, batch: Batch, teacher: nn.Module | None = None
) -> StepOutput:
    """Run an `IntermediateOutputs` forward in the chosen precision and compute its loss.

    The loss of early predictions, if the encoder makes any, is averaged and weighted by
    `optim.early_weight`; that of the last prediction has the rest. The last prediction of
    `teacher`, another `IntermediateOutputs`, is what each of them is to resemble.
    """
    device = batch.features.device
    dtype = autocast_dtype(config, device)
    inputs = (batch.features, batch.feature_lengths, batch.beginnings)
    taught = None
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        predictions, lengths = network(*inputs)
        if teacher is not None:
            with torch.no_grad():
                taught = teacher(*inputs)[0][-1]
    pairs = [
        _prediction_loss(config, log_probs, lengths, batch, taught) for log_probs in predictions
    ]
    (*early, (loss, ctc_losses)), weight = pairs, config.optim.early_weight
    if early:
        loss = (1 - weight) * loss + weight * torch.stack([value for value, _ in early]).mean()
    return StepOutput(loss, ctc_losses, predictions[-1], lengths)


def _prediction_loss(
    config: Config, log_probs: Tensor, lengths: Tensor, batch: Batch, taught: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The mean of the weighted losses, and the CTC losses `(N,)`.

    The CTC loss and the divergence from the teacher's log_probs `taught` share a weight of 1; the
    consistency loss has its own.
    """
    ctc_losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
    loss = ctc_losses.mean()
    if taught is not None:
        weight = config.optim.teacher_weight
        loss = (1 - weight) * loss + weight * divergence(log_probs, taught, lengths).mean()
    if batch.views == 2:
        loss = loss + config.optim.consistency * consistency_loss(log_probs, lengths).mean()
    return loss, ctc_losses


def autocast_dtype(config: Config, device: torch.device) -> torch.dtype | None:
    """The type of matrix products; None for float32, which weights, norms and loss always are."""
    precision = config.optim.precision
    dtype = torch.float16 if precision == "float16" else precision_dtype(precision, device)
    return None if dtype is torch.float32 else dtype
