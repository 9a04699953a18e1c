"""Label priors: how probable each token is in a frame of which nothing is known.

The outputs of a CTC model are posteriors: they contain how frequent each token, above all the
blank, is in what the model was trained on. A language model, a grammar or a list says better what
is likely to be said. Divided by the priors, to the power of a weight, the outputs leave that to
them (Miao et al. 2015, arXiv 1507.08240, with a weight of 1). Shapes: T frames, C tokens with the
blank.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.errors import ConfigError
from asr.text.tokens import TokenTable

LOG_PRIORS = "log_priors"
"""The key of the priors in a checkpoint's metrics."""
PRIOR_WEIGHT = 0.5
"""With a language model, a grammar or a word list that was not tuned, where priors are known."""


def measure_log_priors(emissions: Iterable[Tensor], num_tokens: int) -> tuple[float, ...]:
    """The logarithms of the mean probabilities of the tokens in all frames of emissions `(T, C)`.

    Each token counts as heard in one frame more than it was: of one that hardly occurs little is
    known.
    """
    return log_priors_of(total_probabilities(emissions, num_tokens))


def total_probabilities(emissions: Iterable[Tensor], num_tokens: int) -> Tensor:
    """`(C,)` sums of the probabilities in all frames."""
    total = torch.zeros(num_tokens, dtype=torch.float64)
    for log_probs in emissions:
        total += log_probs.cpu().double().exp().sum(dim=0)
    return total


def log_priors_of(total: Tensor) -> tuple[float, ...]:
    """The priors, as by `measure_log_priors`, of the sum of all `total_probabilities`."""
    return tuple(((total + 1) / (total + 1).sum()).log().numpy().round(2).tolist())


def log_priors_of_mean(log_priors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The logarithms of the mean of several models' priors."""
    mean = torch.tensor(log_priors, dtype=torch.float64).exp().mean(dim=0)
    return tuple(mean.log().numpy().round(2).tolist())


def log_priors(metrics: Mapping[str, Any], table: TokenTable) -> tuple[float, ...] | None:
    """The priors that a checkpoint's metrics hold; None if there are none.

    Raises ConfigError on a record that is malformed.
    """
    record = metrics.get(LOG_PRIORS)
    if record is None:
        return None
    is_list = isinstance(record, Sequence) and len(record) == len(table)
    if not (is_list and all(isinstance(one, int | float) and -100 <= one <= 0 for one in record)):
        raise ConfigError(
            f"metrics: {LOG_PRIORS}: expected {len(table)} numbers of -100 to 0, found "
            f"{str(record)[:60]}; run `asr tune` again"
        )
    return tuple(map(float, record))


def divided_by_priors(
    emissions: NDArray[np.float64], log_priors: Sequence[float] | None, weight: float
) -> NDArray[np.float64]:
    """Emissions `(T, C)` divided by the priors to the power of a weight; each frame sums to 1.

    Among all sequences over the same frames the order is that without this last step. Raises
    ConfigError where a weight above 0 has no priors, or those of another number of tokens.
    """
    if not weight:
        return emissions
    if log_priors is None or len(log_priors) != emissions.shape[1]:
        found = "none" if log_priors is None else f"those of {len(log_priors)}"
        raise ConfigError(
            f"prior_weight: expected the priors of {emissions.shape[1]} tokens, found {found}"
        )
    divided: NDArray[np.float64] = emissions - weight * np.asarray(log_priors)
    divided -= divided.max(axis=1, keepdims=True)
    divided -= np.log(np.exp(divided).sum(axis=1, keepdims=True))
    return divided
