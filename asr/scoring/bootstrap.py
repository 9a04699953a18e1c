"""Bootstrap confidence intervals of word error rates (Bisani and Ney 2004).

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance
evaluation", ICASSP 2004. Utterances are drawn with replacement, as many as the test set has, and
the rate of each resample is Σ errors / Σ words. Utterances of one speaker are not independent:
where speakers are known, resample whole speakers (`groups`), which gives a wider interval.

Legend: N utterances, B resamples, K counts per utterance.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
_DRAWS_PER_STEP = 1 << 20
"""Integers drawn in one step: a limit on memory that does not change the result."""


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same utterances. Rates are fractions."""

    difference: float
    """WER of the system minus WER of the baseline: negative where the system is better."""
    interval: tuple[float, float]
    """Percentile bootstrap interval of the difference."""
    probability_of_improvement: float
    """Share of the resamples in which the system makes fewer errors; ties count one half."""


def interval(
    errors: ArrayLike,
    words: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ errors / Σ words, as fractions.

    errors: (N,) and words: (N,) counts per utterance; groups: N labels (speakers), each resampled
    as a whole. The same input and seed give the same interval, whatever the order of utterances.
    A resample without any words has no rate and is left out. A single utterance or group gives an
    interval of zero width, which says nothing about the uncertainty.
    """
    totals = _resampled_totals(_columns(errors, words), groups, resamples, seed)
    return _percentiles(totals[:, 0] / totals[:, 1], confidence)


def paired_comparison(
    baseline_errors: ArrayLike,
    errors: ArrayLike,
    words: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same resamples (section 3 of the paper), all inputs (N,).

    Pairing removes the variance that both systems share, how hard the drawn utterances are, and
    thereby detects differences that two separate intervals hide.
    """
    columns = _columns(baseline_errors, errors, words)
    errors_saved, total_words = columns[:, 0] - columns[:, 1], columns[:, 2].sum()
    totals = _resampled_totals(columns, groups, resamples, seed)
    saved = totals[:, 0] - totals[:, 1]
    return Comparison(
        difference=float(-errors_saved.sum() / total_words),
        interval=_percentiles(-saved / totals[:, 2], confidence),
        probability_of_improvement=float(np.mean((np.sign(saved) + 1) / 2)),
    )


def _columns(*columns: ArrayLike) -> NDArray[np.int64]:
    """Stack K lists of N counts into (N, K); the last column holds the words."""
    stacked = np.stack([np.asarray(column, dtype=np.int64) for column in columns], axis=1)
    assert stacked[:, -1].sum() > 0, "a rate needs at least one reference word"
    return stacked


def _resampled_totals(
    columns: NDArray[np.int64], groups: Sequence[Hashable] | None, resamples: int, seed: int
) -> NDArray[np.int64]:
    """Column sums (B, K) of B resamples of the rows (N, K), leaving out those without words.

    Equal rows are interchangeable, so it suffices to draw how often each *distinct* row occurs,
    from a multinomial: the same distribution as drawing N indices, at the cost of distinct rows.
    """
    if groups is not None:
        columns = _sum_by_group(columns, groups)
    rows, counts = np.unique(columns, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    totals = np.empty((resamples, columns.shape[1]), dtype=np.int64)
    step = max(1, _DRAWS_PER_STEP // len(rows))
    for start in range(0, resamples, step):
        part = totals[start : start + step]
        draws = generator.multinomial(len(columns), counts / len(columns), size=len(part))
        part[:] = draws @ rows
    return totals[totals[:, -1] > 0]


def _sum_by_group(columns: NDArray[np.int64], groups: Sequence[Hashable]) -> NDArray[np.int64]:
    assert len(groups) == len(columns), "one group label per utterance"
    positions = {group: position for position, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(positions), columns.shape[1]), dtype=np.int64)
    np.add.at(sums, [positions[group] for group in groups], columns)
    return sums


def _percentiles(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
