"""What is minimised: the forward pass in the chosen precision, and what its output costs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from asr.corpus.dataset import Batch
from asr.model.loss import consistency_loss, ctc_loss
from asr.training.config import Config


class Outcome(NamedTuple):
    """What a batch of N utterances comes to."""

    cost: Tensor
    """What is minimised, a number."""
    losses: Tensor
    """CTC losses of the last prediction `(N,)` in nats."""
    log_probs: Tensor
    """The last prediction `(N, T', C)` in float32."""
    lengths: Tensor
    """Of it, `(N,)`."""


def outcome(config: Config, network: nn.Module, batch: Batch) -> Outcome:
    """Run an `IntermediateOutputs` forward in the chosen precision, and cost what comes out."""
    device = batch.features.device
    dtype = autocast_type(config, device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        predictions, lengths = network(batch.features, batch.feature_lengths)
    priced = [_price(config, log_probs, lengths, batch) for log_probs in predictions]
    (*early, (cost, losses)), weight = priced, config.optim.early_weight
    if early:
        cost = (1 - weight) * cost + weight * torch.stack([c for c, _ in early]).mean()
    return Outcome(cost, losses, predictions[-1], lengths)


def _price(
    config: Config, log_probs: Tensor, lengths: Tensor, batch: Batch
) -> tuple[Tensor, Tensor]:
    """The mean of the CTC losses and what the two views of each utterance disagree by; and the
    losses `(N,)`.
    """
    losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
    cost = losses.mean()
    if config.optim.consistency:
        cost = cost + config.optim.consistency * consistency_loss(log_probs, lengths).mean()
    return cost, losses


def autocast_type(config: Config, device: torch.device) -> torch.dtype | None:
    """The type of the products; None for float32 (weights, norms and loss are always that)."""
    chosen = config.optim.precision
    if chosen == "float32":
        return None
    if chosen == "float16":
        return torch.float16
    if chosen == "bfloat16" or multiplies_bfloat16(device):
        return torch.bfloat16
    return None


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older torch has none
    return bool(capabilities.get("avx512_bf16"))
