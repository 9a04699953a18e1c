"""Words in the pieces that a line may be broken between, and what is said between two pauses."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from asr.text.timed import Timed, TimedWord, split_unspaced

PAUSE_SECONDS = 1.0


class Piece(NamedTuple):
    """A word, or a part of one where words are not spaced, and what is between it and the last."""

    word: TimedWord
    space: str


def pieces(words: Sequence[TimedWord]) -> Iterator[Piece]:
    """Words, which in scripts without spaces may be whole sentences, in parts that stay whole."""
    for word in words:
        for position, part in enumerate(split_unspaced(word)):
            yield Piece(part, "" if position else " ")


def pause_seconds(piece: Piece, following: Piece) -> float:
    """How long nothing is said between two pieces that follow each other.

    The characters of a word follow each other without gaps: a pause makes one of them long.
    """
    word = piece.word
    silent = word.start_seconds if following.space == "" else word.end_seconds
    return following.word.start_seconds - silent


def phrases(words: Sequence[TimedWord]) -> list[list[Piece]]:
    """The words in runs, with a pause of `PAUSE_SECONDS` or more between any two."""
    runs: list[list[Piece]] = []
    for piece in pieces(words):
        if runs and pause_seconds(runs[-1][-1], piece) < PAUSE_SECONDS:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def joined(run: Sequence[Piece]) -> str:
    """The text of a run."""
    return "".join(piece.space + piece.word.text for piece in run).strip()


def timed_phrases(words: Sequence[TimedWord]) -> list[Timed]:
    """The text of each phrase, from the start of its first word to the end of its last."""
    return [
        Timed(joined(run), run[0].word.start_seconds, run[-1].word.end_seconds)
        for run in phrases(words)
    ]
