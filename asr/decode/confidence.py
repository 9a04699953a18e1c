"""How far what was recognised can be trusted: each word, and a sentence that a grammar allowed.

The confidence of a word is the geometric mean of two shares, each between 0 and 1: the probability
of its least certain token, in the frame where that token peaks; and, where a beam was searched, the
part of the hypotheses that have the word, each counted by its probability among them (Wessel et
al., "Confidence Measures for Large Vocabulary Continuous Speech Recognition", IEEE Transactions on
Speech and Audio Processing 9, 2001, section IV, with N-best lists). A `Calibration` fitted on a dev
set turns it into a chance of being right. Shapes: T frames, C tokens with the blank, W words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from asr.decode.align import Alignment
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.text.tokens import BLANK, TokenTable

Floats = NDArray[np.float64]

VOTERS = 16
"""Hypotheses that a confidence asks for; more change it little."""
_SMALLEST = 1e-6
"""Confidences are kept so far from 0 and from 1."""


@dataclass(frozen=True)
class Calibration:
    """A map from raw confidences to chances of being right; it keeps their order.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, over log-odds.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.slope < math.inf and math.isfinite(self.offset)):
            raise ConfigError(
                "calibration: expected a finite slope, 0 or more, and a finite offset, found "
                f"{self.slope} and {self.offset}"
            )

    @property
    def is_identity(self) -> bool:
        """Whether raw confidences stay as they are."""
        return self == Calibration()

    def apply(self, raw: ArrayLike) -> Floats:
        """The calibrated confidences of raw ones in [0, 1]."""
        if self.is_identity:
            return np.asarray(raw, np.float64)
        chances: Floats = 1 / (1 + np.exp(-(self.slope * log_odds(raw) + self.offset)))
        return chances


def log_odds(confidences: ArrayLike) -> Floats:
    """log(p / (1 - p)), finite at 0 and 1 too."""
    inside = np.clip(np.asarray(confidences, np.float64), _SMALLEST, 1 - _SMALLEST)
    odds: Floats = np.log(inside / (1 - inside))
    return odds


def word_confidences(
    log_probs: Tensor, alignment: Alignment, hypotheses: Sequence[Hypothesis], table: TokenTable
) -> Floats:
    """(W,) the raw confidence of each word of an alignment with the emissions `(T, C)`.

    What is aligned is the first of the hypotheses, or a transcript that is known otherwise.
    """
    text = table.decode(alignment.tokens)
    if not text:
        return np.zeros(0)
    emissions = log_probs.double().numpy()
    peaks = [
        emissions[first : last + 1, token].max()
        for token, first, last in zip(
            alignment.tokens, alignment.first_frames, alignment.last_frames, strict=True
        )
    ]
    weakest = [min(peaks[i] for i in word) for word in word_spans(alignment.tokens, table)]
    confidences: Floats = np.sqrt(np.exp(weakest) * _agreement(text, hypotheses, table))
    return np.clip(confidences, 0.0, 1.0)


def word_spans(tokens: Sequence[int], table: TokenTable) -> list[range]:
    """Of each word of `table.decode(tokens)` the positions of its tokens."""
    spaces = [i for i, token in enumerate(tokens) if table.characters[token - 1].isspace()]
    bounds = zip([-1, *spaces], [*spaces, len(tokens)], strict=True)
    return [range(before + 1, end) for before, end in bounds if end - before > 1]


def _agreement(text: str, hypotheses: Sequence[Hypothesis], table: TokenTable) -> Floats:
    """(W,) the share of the hypotheses, weighted by their probability, that have each word of text.

    Where there is no hypothesis none has it.
    """
    agreed = np.zeros(len(text.split()))
    if not hypotheses:
        return agreed
    scores = np.array([hypothesis.log_score for hypothesis in hypotheses])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    for hypothesis, share in zip(hypotheses, shares, strict=True):
        for chunk in jiwer.process_words(text, table.decode(hypothesis.tokens)).alignments[0]:
            if chunk.type == "equal":
                agreed[chunk.ref_start_idx : chunk.ref_end_idx] += share
    return agreed


def mean_log_ratio(log_probs: Tensor, alignment: Alignment) -> float:
    """How much less likely the aligned path is than the likeliest one, a frame: 0 or less.

    Natural logarithm, averaged over the frames in which either of them holds a token: silence
    around what was said does not dilute it. 0 where neither holds any. On AN4, where a list of
    digits or of letters is all that is allowed, -0.5 turns away 2 % of what is on the list and lets
    pass 3 % of what is not.
    """
    speech = log_probs.argmax(dim=1).numpy() != BLANK
    for first, last in zip(alignment.first_frames, alignment.last_frames, strict=True):
        speech[first : last + 1] = True
    return float(alignment.log_ratios[speech].mean()) if speech.any() else 0.0
