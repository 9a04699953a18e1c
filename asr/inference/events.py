"""What a stream says while it listens."""

from dataclasses import dataclass

from asr.inference.transcript import Transcript
from asr.text.timed import TimedWord


@dataclass(frozen=True)
class Partial:
    """What has been said in the current phrase and is not final: it replaces the `Partial` before.

    An empty text takes it back.
    """

    text: str
    start_seconds: float
    """Where the phrase, or what is not final of it, starts in the stream."""
    end_seconds: float
    """How much of the stream it is of."""


@dataclass(frozen=True)
class Final:
    """What was said from one time to another, which does not change any more.

    It takes the place of the `Partial` before. Where a phrase becomes final in parts, neighbours
    share the pause between them.
    """

    transcript: Transcript
    """Times of its words are those of the stream."""
    start_seconds: float
    end_seconds: float
    continues_word: bool = False
    """Whether the text goes on from that of the `Final` before without a space."""

    @property
    def text(self) -> str:
        """What was said; never empty."""
        return self.transcript.text

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """The words with times and confidences, if asked for."""
        return self.transcript.words


StreamEvent = Partial | Final
