"""The learning rate over a run."""

import math


def learning_rate(
    step: int, total_steps: int, warmup_steps: int, peak: float, final_share: float = 0.01
) -> float:
    """Linear warm-up to `peak`, then a half cosine down to `final_share` of it.

    (Loshchilov & Hutter 2017, without restarts.) `step` counts from 0; the rate is never 0.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress)))
