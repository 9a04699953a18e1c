"""Calibration of word confidences: its error, and fitting the map that improves it.

Of the words with a confidence of 0.8, eight in ten should be correct. Sources: Platt,
"Probabilistic Outputs for Support Vector Machines", 1999 (the map and its fit), here of log-odds;
Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015 (the
error).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr.decode.confidence import Calibration, log_odds
from asr.errors import ConfigError
from asr.scoring.wer import AlignedUtterance

Floats = NDArray[np.float64]

_STEPS = 100


def correct_words(aligned: AlignedUtterance) -> list[bool]:
    """Whether each word of the hypothesis is correct, by its alignment with the reference."""
    return [reference == word for reference, word in aligned.pairs if word is not None]


def expected_calibration_error(
    confidences: ArrayLike, correct: Sequence[bool], bins: int = 10
) -> float:
    """The mean gap between confidence and share of correct words, over equal bins of [0, 1].

    Bins are weighted by their number of words. Raises ConfigError as `fit_calibration` does.
    """
    values, truth = _checked(confidences, correct)
    bin_of = np.minimum((values * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=values - truth, minlength=bins)
    return float(np.abs(gaps).sum() / len(values))


def fit_calibration(raw: ArrayLike, correct: Sequence[bool]) -> Calibration:
    """The map of raw confidences under which `correct` has the maximum likelihood.

    Targets are smoothed by one word of each kind (Platt 1999), so that a set without errors does
    not lead to certainty. A map that would reverse the order of confidences becomes a constant.
    Raises ConfigError without words, on different numbers of values, and outside [0, 1].
    """
    values, truth = _checked(raw, correct)
    right = truth.sum()
    high, low = (right + 1) / (right + 2), 1 / (len(truth) - right + 2)
    targets = np.where(truth > 0, high, low)
    slope, offset = _logistic_regression(log_odds(values), targets)
    if slope < 0:
        mean = float(targets.mean())
        slope, offset = 0.0, math.log(mean / (1 - mean))
    return Calibration(slope, offset)


def _logistic_regression(inputs: Floats, targets: Floats) -> tuple[float, float]:
    """Slope and offset of minimum cross-entropy, by Newton's method with step halving."""
    design = np.stack([inputs, np.ones_like(inputs)], axis=1)
    weights = np.zeros(2)  # the curvature is greatest here, so the first steps are short

    def loss(weights: Floats) -> float:
        logits = design @ weights
        return float((np.logaddexp(0, logits) - targets * logits).sum())

    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chances - targets)
        curvature = (design.T * (chances * (1 - chances))) @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-9:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def _checked(confidences: ArrayLike, correct: Sequence[bool]) -> tuple[Floats, Floats]:
    values, truth = np.asarray(confidences, np.float64), np.asarray(correct, np.float64)
    if values.ndim != 1 or values.shape != truth.shape or not len(values):
        raise ConfigError(
            "confidences: expected one for each word, and at least one word; found "
            f"{values.size} for {truth.size} words"
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ConfigError("confidences: expected values from 0 to 1")
    return values, truth
