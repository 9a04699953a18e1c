"""False transcripts of non-speech: of silence, noise, music and speech to be ignored.

An utterance with an empty reference has no error rate of its own. What is measured is how often
there are words in its transcript, and how many per minute of audio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asr.scoring.wer import AlignedUtterance


@dataclass(frozen=True)
class NonSpeech:
    """The words in the transcripts of utterances without speech."""

    utterances: int
    seconds: float
    """Of audio."""
    with_words: int
    """Utterances with words in their transcripts."""
    words: int
    """In all of their transcripts; each is an insertion."""

    @property
    def words_per_minute(self) -> float:
        """Words in the transcripts per minute of audio."""
        return 60 * self.words / self.seconds


def nonspeech(
    aligned: Sequence[AlignedUtterance], seconds: Mapping[str, float]
) -> NonSpeech | None:
    """Count the words where the reference is empty; None if there is no such utterance.

    `seconds` maps the id of each utterance that was transcribed to its length, above 0. Utterances
    that failed are left out: an empty transcript is no achievement there.
    """
    empty = [u for u in aligned if u.words.words == 0 and u.id in seconds]
    if not empty:
        return None
    return NonSpeech(
        utterances=len(empty),
        seconds=sum(seconds[utterance.id] for utterance in empty),
        with_words=sum(utterance.words.insertions > 0 for utterance in empty),
        words=sum(utterance.words.insertions for utterance in empty),
    )
