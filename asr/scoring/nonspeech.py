"""What is written where nothing is said: silence, noise, music, speech that is not to be heard.

An utterance with an empty reference has no error rate of its own. What counts is how often
something is written there, and how much for each minute of audio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asr.scoring.wer import AlignedUtterance


@dataclass(frozen=True)
class NonSpeech:
    """What was written for the utterances that say nothing."""

    utterances: int
    seconds: float
    """Of audio."""
    with_words: int
    """Utterances for which something was written."""
    words: int
    """Written in all; each of them is an insertion."""

    @property
    def words_per_minute(self) -> float:
        """Words written for each minute of audio."""
        return 60 * self.words / self.seconds


def nonspeech(
    aligned: Sequence[AlignedUtterance], seconds: Mapping[str, float]
) -> NonSpeech | None:
    """Count what was written where the reference is empty; None where there is no such utterance.

    `seconds` gives the length, above 0, of each utterance that was transcribed, by its id. The
    others do not count: where nothing was heard, to write nothing is no merit.
    """
    silent = [u for u in aligned if u.words.words == 0 and u.id in seconds]
    if not silent:
        return None
    return NonSpeech(
        utterances=len(silent),
        seconds=sum(seconds[utterance.id] for utterance in silent),
        with_words=sum(utterance.words.insertions > 0 for utterance in silent),
        words=sum(utterance.words.insertions for utterance in silent),
    )
