"""What a search is given and what it gives back: checked emissions in, hypotheses out.

Shapes: T frames, C tokens with the blank.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.errors import ConfigError

_TOLERANCE = 1e-3
"""How far from 0 the logarithm of a frame's total probability may lie."""


@dataclass(frozen=True)
class Hypothesis:
    """A token sequence, without blanks, that a search proposes."""

    tokens: tuple[int, ...]
    log_score: float
    """Natural logarithm; of which probability, the search that made it says."""
    frames: tuple[int, ...] | None = None
    """For each token the frame where it peaks; None where the search sums over alignments."""
    log_language: float = 0.0
    """The part of `log_score` that language models and other external scores add, weighted."""

    @property
    def log_acoustic(self) -> float:
        """The part of `log_score` that comes from the emissions."""
        return self.log_score - self.log_language


def checked_emissions(log_probs: Tensor) -> NDArray[np.float64]:
    """The emissions `(T, C)` as a float64 array on the CPU, once they are known to be log_probs.

    -inf (an impossible token) is allowed. Half-precision types are allowed the rounding error that
    they bring. Raises ConfigError on another shape or type, on NaN, and where the probabilities of
    a frame do not sum to 1: what a search was given is never guessed.
    """
    if log_probs.dim() != 2 or log_probs.shape[1] == 0:
        raise ConfigError(
            f"log_probs: expected the shape (frames, tokens), found {tuple(log_probs.shape)}"
        )
    if not log_probs.is_floating_point():
        raise ConfigError(f"log_probs: expected floating point numbers, found {log_probs.dtype}")
    # Rounding each log p by eps/2 of itself moves the sum by at most eps/2 × entropy.
    rounding = torch.finfo(log_probs.dtype).eps * math.log(log_probs.shape[1])
    log_probs = log_probs.detach().to("cpu", torch.float64)
    log_totals = log_probs.logsumexp(dim=1)
    is_total = log_totals.abs() <= _TOLERANCE + rounding  # false for NaN
    if not is_total.all():
        if log_probs.isnan().any():
            raise ConfigError("log_probs: found NaN; check the model's weights and the features")
        unnormalised = log_totals[~is_total]
        raise ConfigError(
            "log_probs: expected log-probabilities, but in "
            f"{len(unnormalised)} of {len(log_totals)} frames they do not sum to 1 (first: "
            f"exp({float(unnormalised[0]):.4g})); if these are logits or probabilities, apply "
            "log_softmax to the model's outputs first"
        )
    # Compiled code is made for each layout anew.
    emissions: NDArray[np.float64] = log_probs.contiguous().numpy()
    return emissions
