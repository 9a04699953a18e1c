"""What a recogniser returns."""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr.text.readable import Readable
from asr.text.timed import TimedWord


@dataclass(frozen=True)
class Alternative:
    """One of the best hypotheses."""

    text: str
    log_score: float
    log_language: float


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording."""

    text: str
    duration_seconds: float
    log_score: float
    """Natural log-probability of the best path (greedy) or of the token sequence (beam), plus the
    weighted scores of language models and hot words; -inf where no hypothesis was possible."""
    processing_seconds: float
    log_language: float = 0.0
    """The part of `log_score` that language models, hot words and bonuses add."""
    nbest: tuple[Alternative, ...] = ()
    """The best hypotheses with distinct texts, best first: as many as were asked for, if the beam
    holds them."""
    words: tuple[TimedWord, ...] = ()
    """The words of `text` with times and confidences, if asked for; they do not overlap."""
    log_ratio: float | None = None
    """With a lexicon or grammar: how much less likely, per frame, the best sentence it allows is
    than the likeliest path (`Decoder.log_ratio`), 0 or less."""
    rejected: bool = False
    """Nothing that the lexicon or grammar allows was said, as far as the search or `log_ratio` can
    tell: the text is empty, and `nbest` still begins with the best that was found."""
    damage: tuple[str, ...] = ()
    """What is wrong with a damaged recording, of which this is what was left."""
    channel: int | None = None
    """The channel that was transcribed, if one was chosen; 1 is the first."""
    readable_text: str | None = None
    """`text` for people, if it was made readable: `make_readable`."""
    readable_words: tuple[TimedWord, ...] = ()
    """`words` in the same form; some may be several of them."""


NOTHING = Transcript("", 0.0, 0.0, 0.0)
"""Of a recording in which nothing was said."""


def make_readable(transcript: Transcript, form: Readable) -> Transcript:
    """The transcript with its text in a form for people beside what was spoken, if they differ."""
    if form.changes_nothing:
        return transcript
    return replace(
        transcript,
        readable_text=form.of_text(transcript.text),
        readable_words=tuple(form.of_words(transcript.words)),
    )


def join_transcripts(parts: Sequence[Transcript], nbest: int) -> Transcript:
    """The transcript of a recording whose parts were decoded one after the other.

    Its alternatives are the likeliest combinations of those of the parts. A single part is all.
    """
    if len(parts) == 1:
        return parts[0]
    if nbest == 1:  # an hour has a thousand parts, and copying all texts for each takes long
        best = [part.nbest[0] for part in parts if part.nbest]
        combined = [Alternative(*_together(best))]
    else:
        combined = [Alternative("", 0.0, 0.0)]
        for part in parts:
            pairs = itertools.product(combined, part.nbest)
            # Only the texts of those that are kept are put together: they grow with the recording.
            chosen = heapq.nlargest(
                nbest, pairs, key=lambda pair: pair[0].log_score + pair[1].log_score
            )
            combined = [Alternative(*_together(pair)) for pair in chosen]
    return Transcript(
        text=" ".join(part.text for part in parts if part.text),
        duration_seconds=sum(part.duration_seconds for part in parts),
        log_score=sum(part.log_score for part in parts),
        processing_seconds=sum(part.processing_seconds for part in parts),
        log_language=sum(part.log_language for part in parts),
        nbest=tuple(combined),
        words=tuple(word for part in parts for word in part.words),
    )


def _together(parts: Sequence[Alternative]) -> tuple[str, float, float]:
    """Text and scores of parts that follow each other."""
    return (
        " ".join(part.text for part in parts if part.text),
        sum(part.log_score for part in parts),
        sum(part.log_language for part in parts),
    )
