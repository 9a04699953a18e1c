"""Rejected utterances: those that a grammar or word list was found not to allow.

They got no text, so that they are neither right nor wrong: error rates are those of the other
utterances, and what the rejections cost and averted is counted by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asr.scoring.wer import AlignedUtterance


@dataclass(frozen=True)
class Rejections:
    """The rejected utterances of a test set, by what they would have been otherwise."""

    utterances: int
    total: int
    """Of all utterances."""
    would_be_right: int
    """Whose words had been found, each one."""
    would_be_wrong: int
    """The others, those without words included."""
    words: int
    """In their references."""
    wer_as_deletions: float | None
    """The word error rate with all of these words as deleted; None if no reference has words."""


def count_rejections(
    accepted: Sequence[AlignedUtterance], rejected: Sequence[AlignedUtterance]
) -> Rejections:
    """Count what was rejected; `rejected` are aligned with the texts that they did not get."""
    right = sum(u.words.words > 0 and u.words.errors == 0 for u in rejected)
    words = sum(u.words.words for u in rejected)
    all_words = words + sum(u.words.words for u in accepted)
    errors = words + sum(u.words.errors for u in accepted)
    return Rejections(
        utterances=len(rejected),
        total=len(accepted) + len(rejected),
        would_be_right=right,
        would_be_wrong=len(rejected) - right,
        words=words,
        wer_as_deletions=errors / all_words if all_words else None,
    )
