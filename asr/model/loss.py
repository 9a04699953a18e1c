"""The CTC loss.

Source: Graves et al., "Connectionist temporal classification", ICML 2006, section 4.1.
Shapes: N utterances, T frames, C tokens with the blank, U target length.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from asr.errors import ConfigError
from asr.model.norms import length_mask
from asr.text.tokens import BLANK


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log-likelihood of each target, in nats: `(N,)`, neither averaged nor summed.

    `log_probs` `(N, T, C)`, `lengths` `(N,)`, `targets` `(N, U)`, `target_lengths` `(N,)`; the
    content of the padding of both does not matter. Computed in float32 under autocast and for half
    precision, in float64 for float64. A target that cannot fit its frames (fewer than its tokens
    plus its repeated neighbours) has a loss of inf and a gradient of NaN: such an utterance must be
    refused before training rather than hidden. torch's gradient is that with respect to the logits,
    and is correct only if `log_probs` come from `log_softmax`.

    Raises ConfigError on a length beyond the frames or the targets, and on a target token that is
    the blank or outside the C tokens.
    """
    assert log_probs.dim() == 3, log_probs.shape
    assert log_probs.numel() > 0, log_probs.shape
    assert targets.dim() == 2, targets.shape
    utterances, frames, tokens = log_probs.shape
    assert lengths.shape == target_lengths.shape == (utterances,) == targets.shape[:1]
    _check_range("lengths", lengths, 0, frames)
    _check_range("target_lengths", target_lengths, 0, targets.shape[1])
    position = torch.arange(targets.shape[1], device=targets.device)
    real = position < target_lengths.to(targets.device).unsqueeze(1)
    _check_range("targets (0 is the blank)", targets[real], 1, tokens - 1)

    dtype = torch.promote_types(log_probs.dtype, torch.float32)
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.ctc_loss(
            log_probs.to(dtype).transpose(0, 1),
            targets.masked_fill(~real, BLANK).long(),
            lengths.long(),
            target_lengths.long(),
            blank=BLANK,
            reduction="none",
            zero_infinity=False,
        )


def consistency_loss(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Disagreement between two views of each utterance, in nats: `(N,)`, summed over frames.

    `log_probs` `(2N, T, C)` and `lengths` `(2N,)` hold the first view of every utterance, then the
    second of every one. The loss of a frame is the mean of the two Kullback–Leibler divergences,
    each with the other view detached from the gradient (Yao et al. 2024, CR-CTC, arXiv 2410.05101).
    """
    first, second = log_probs.chunk(2)
    lengths = lengths.chunk(2)[0]
    forth = divergence(first, second.detach(), lengths)
    return 0.5 * (forth + divergence(second, first.detach(), lengths))


def divergence(log_probs: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Kullback–Leibler divergence from a target's distributions, in nats: `(N,)`, summed over
    frames.

    `log_probs` and `target` `(N, T, C)`, `lengths` `(N,)`.
    """
    frames = F.kl_div(log_probs, target, reduction="none", log_target=True).sum(dim=2)
    return (frames * length_mask(lengths, log_probs.shape[1])).sum(dim=1)


def _check_range(name: str, values: Tensor, lowest: int, highest: int) -> None:
    if bool(((values < lowest) | (values > highest)).any()):
        raise ConfigError(
            f"ctc_loss: {name}: expected values from {lowest} to {highest}, found "
            f"{int(values.min())} to {int(values.max())}"
        )
