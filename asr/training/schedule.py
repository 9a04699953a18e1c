"""The learning rate over a run."""

import math


def learning_rate(
    position: float, epochs: float, warmup_epochs: float, peak: float, final_share: float = 0.01
) -> float:
    """Linear warm-up to `peak`, then a half cosine down to `final_share` of it.

    The schedule is that of Loshchilov & Hutter (2017) without restarts. `position` is in epochs and
    includes the step about to be taken; it is above 0, so that the rate is never 0.
    """
    if position < warmup_epochs:
        return peak * position / warmup_epochs
    progress = 1.0
    if epochs > warmup_epochs:
        progress = min(1.0, (position - warmup_epochs) / (epochs - warmup_epochs))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress)))
