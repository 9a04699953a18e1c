"""What a recogniser returns."""

from dataclasses import dataclass

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
    than the likeliest path (`mean_log_ratio`), 0 or less."""
    rejected: bool = False
    """Nothing that the lexicon or grammar allows was said, as far as the search or `log_ratio` can
    tell: the text is empty, and `nbest` still begins with the best that was found."""
    damage: tuple[str, ...] = ()
    """What is wrong with a damaged recording, of which this is what was left."""
