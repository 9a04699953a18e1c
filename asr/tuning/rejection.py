"""When to reject what was said as none of the sentences that a grammar or word list allows.

The threshold is on `asr.decode.decoder.Decoder.log_ratio`: how much less likely, a frame, the best
allowed sentence is than the likeliest path. It is where fewest answers of the dev set are wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.decode.fusion import Fusion
from asr.tuning.dev_set import ConstrainedResult
from asr.tuning.plateau import smoothed

_STEP = 0.05
_LOWEST = -10.0
"""The thresholds that are tried go from the step down to here."""
_SMOOTHINGS = 3
"""How often errors are averaged over neighbouring thresholds: each utterance counts on either side
of its own value, so that one of them moves the choice little."""


@dataclass(frozen=True)
class Rejection:
    """What a threshold does to a dev set, in utterances."""

    reject_below: float | None
    """None: nothing is rejected, for there was nothing to reject in the dev set."""
    inside: int
    """Whose transcript is allowed."""
    misrecognised: int
    """Of these, those for which another text was found, or none, whatever the threshold."""
    false_rejects: int
    """Of these, those that are rejected although their text is right."""
    outside: int
    """Other words, or none at all."""
    false_accepts: int
    """Of these, those that are accepted with a text."""

    @property
    def wrong(self) -> int:
        """Utterances with a wrong answer."""
        return self.misrecognised + self.false_rejects + self.false_accepts


def allowed_utterances(references: Sequence[str], fusion: Fusion) -> list[bool]:
    """Whether each transcript is a sentence that the automaton allows.

    Where nothing was said nothing should be answered, which counts as not allowed.
    """

    def is_allowed(reference: str) -> bool:
        text = " ".join(reference.split())
        if not text or fusion.table.unknown(text):
            return False
        return fusion.score(fusion.table.encode(text)) > -np.inf

    return [is_allowed(reference) for reference in references]


def choose_rejection(
    references: Sequence[str], allowed: Sequence[bool], results: Sequence[ConstrainedResult]
) -> Rejection:
    """The threshold with the fewest wrong answers, smoothed against luck.

    `allowed` is that of `allowed_utterances`; the results have nothing rejected. Without any
    utterance outside, there is no threshold.
    """
    if all(allowed):
        return _count(references, allowed, results, None)
    thresholds = np.arange(-_STEP, _LOWEST - _STEP / 2, -_STEP)
    wrong = [
        _count(references, allowed, results, float(threshold)).wrong for threshold in thresholds
    ]
    threshold = float(thresholds[_middle_of_fewest(np.array(wrong, np.float64))])
    return _count(references, allowed, results, round(threshold, 4))


def _middle_of_fewest(wrong: NDArray[np.float64]) -> int:
    """The middle of the longest run of thresholds with the fewest smoothed errors."""
    for _ in range(_SMOOTHINGS):
        wrong = smoothed(wrong)
    fewest = np.flatnonzero(wrong <= wrong.min() + 1e-9)
    runs = np.split(fewest, np.flatnonzero(np.diff(fewest) > 1) + 1)
    longest = max(runs, key=len)
    return int(longest[(len(longest) - 1) // 2])


def _count(
    references: Sequence[str],
    allowed: Sequence[bool],
    results: Sequence[ConstrainedResult],
    threshold: float | None,
) -> Rejection:
    misrecognised = false_rejects = false_accepts = 0
    for reference, is_allowed, result in zip(references, allowed, results, strict=True):
        rejected = result.text is None or (threshold is not None and result.log_ratio < threshold)
        if not is_allowed:
            false_accepts += bool(result.text) and not rejected
        elif result.text != " ".join(reference.split()):
            misrecognised += 1  # a rejected one, too, is no right answer
        elif rejected:
            false_rejects += 1
    inside = sum(allowed)
    return Rejection(
        threshold,
        inside,
        misrecognised,
        false_rejects,
        len(allowed) - inside,
        false_accepts,
    )
