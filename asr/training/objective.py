"""What is minimised: the forward pass in the chosen precision, and what its output costs."""

import torch
from torch import Tensor, nn

from asr.corpus.batches import Batch
from asr.model.loss import consistency_loss
from asr.training.config import Config


def forward(config: Config, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """log_probs `(N, T', C)` in float32 and lengths `(N,)`."""
    device = batch.features.device
    dtype = autocast_type(config, device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        return network(batch.features, batch.feature_lengths)  # type: ignore[no-any-return]


def objective(config: Config, losses: Tensor, log_probs: Tensor, lengths: Tensor) -> Tensor:
    """The mean of the utterances' CTC losses `(N,)`, and what the two views of each disagree by."""
    total = losses.mean()
    if config.optim.consistency:
        agreement = consistency_loss(log_probs, lengths)
        total = total + config.optim.consistency * agreement.mean()
    return total


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
