"""Captions: what is shown at once while it is spoken, as SubRip (srt), WebVTT (vtt) and tsv.

A caption ends at a pause or with a sentence, and where it would get too long for two lines of 42
columns or seven seconds. It stays on until it can have been read, if nothing is said meanwhile.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asr.text.phrases import Piece, joined, pause_seconds, phrases
from asr.text.scripts import columns
from asr.text.timed import TimedWord

CAPTION_SECONDS = 7.0
SHORTEST_SECONDS = 1.0
"""That a caption is shown, if nothing else is said; a sentence that is over sooner ends none."""
LINE_COLUMNS = 42
"""Wide characters, as those of Chinese, take two."""
COLUMNS_A_SECOND = 20.0
"""How fast captions can be read: 20 Latin letters, or 10 Chinese characters."""
_LINES = 2
_CLAUSE_SECONDS = 0.3
"""The pause that a comma is worth, where a caption has to end within a sentence."""
_CLOSED = r"""["'”’»)\]）」』]*$"""
_SENTENCE = re.compile(f"[.?!…。．｡？！।॥۔؟։።။]{_CLOSED}")
_CLAUSE = re.compile(f"[,;:،؛、，；：]{_CLOSED}")


@dataclass(frozen=True)
class Caption:
    """What is shown at once, and when, in milliseconds; captions do not overlap."""

    text: str
    """In lines."""
    start: int
    end: int
    in_one_line: str


class _Run(NamedTuple):
    """Pieces of a sentence that may be shown at once: from the first up to, without it, the end."""

    first: int
    end: int
    lines: tuple[str, ...]
    width: int
    """Columns, all lines together."""


def captions(words: Sequence[TimedWord], duration_seconds: float) -> list[Caption]:
    """The words of a recording in captions.

    In scripts without spaces, where a word may be a whole sentence, a caption ends after any
    character. Words that begin and end in one millisecond take one each.
    """
    until = max([duration_seconds, *(word.end_seconds for word in words[-1:])])
    sentences = [sentence for phrase in phrases(words) for sentence in _sentences(phrase)]
    starts = [sentence[0].word.start_seconds for sentence in sentences] + [until]
    runs = [
        (sentence[run.first : run.end], run)
        for sentence, following in zip(sentences, starts[1:], strict=True)
        for run in _cut(sentence, following)
    ]
    shown: list[Caption] = []
    starts = [pieces[0].word.start_seconds for pieces, _ in runs] + [until]
    for (pieces, run), following in zip(runs, starts[1:], strict=True):
        start = max(_milliseconds(pieces[0].word.start_seconds), shown[-1].end if shown else 0)
        spoken = _milliseconds(pieces[-1].word.end_seconds)
        read = start + _milliseconds(_reading_seconds(run.width))
        end = max(min(max(spoken, read), _milliseconds(following)), start + 1)
        shown.append(Caption("\n".join(run.lines), start, end, joined(pieces)))
    return shown


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _reading_seconds(width: int) -> float:
    """How long a text of some columns has to be shown."""
    return max(SHORTEST_SECONDS, width / COLUMNS_A_SECOND)


def _sentences(phrase: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """A phrase in the sentences that its punctuation shows, if it has any."""
    start = 0
    for end, piece in enumerate(phrase, start=1):
        seconds = piece.word.end_seconds - phrase[start].word.start_seconds
        is_over = _SENTENCE.search(piece.word.text) and seconds >= SHORTEST_SECONDS
        if is_over or end == len(phrase):
            yield phrase[start:end]
            start = end


def _cut(sentence: Sequence[Piece], until_seconds: float) -> list[_Run]:
    """A sentence, after which nothing is said until some time, in the runs of least total cost.

    A run costs 1, and 1 for each second that it would have to be shown longer to be read. A pause
    after it takes off half its seconds, which is less. Fuller runs cost more, so that all are of
    about one length. (Dynamic programming over the ends of runs, as in Knuth and Plass, 1981.)
    """
    starts = [piece.word.start_seconds for piece in sentence] + [until_seconds]
    least = [0.0] + [math.inf] * len(sentence)
    best: dict[int, _Run] = {}
    for first in range(len(sentence)):
        for run in _possible(sentence, first):
            unread_seconds = _reading_seconds(run.width) - (starts[run.end] - starts[first])
            cost = least[first] + 1 + max(0.0, unread_seconds)
            cost += (run.width / (_LINES * LINE_COLUMNS)) ** 2 / 2
            if run.end < len(sentence):
                cost -= _rest_seconds(sentence[run.end - 1], sentence[run.end]) / 2
            if cost < least[run.end]:
                least[run.end], best[run.end] = cost, run
    chosen = []
    end = len(sentence)
    while end:
        chosen.append(best[end])
        end = best[end].first
    return chosen[::-1]


def _possible(sentence: Sequence[Piece], first: int) -> Iterator[_Run]:
    """The runs from a piece on that fit, in lines as long as they can be; a piece stays whole."""
    word = sentence[first].word
    start_seconds, line, width = word.start_seconds, word.text, columns(word.text)
    total = width
    lines: tuple[str, ...] = ()
    yield _Run(first, first + 1, (line,), total)
    for end in range(first + 2, len(sentence) + 1):
        word, space = sentence[end - 1]
        added = columns(word.text)
        total += len(space) + added
        if width + len(space) + added <= LINE_COLUMNS:
            line, width = line + space + word.text, width + len(space) + added
        else:
            lines, line, width = (*lines, line), word.text, added
        if len(lines) == _LINES or word.end_seconds - start_seconds > CAPTION_SECONDS:
            return
        yield _Run(first, end, (*lines, line), total)


def _rest_seconds(piece: Piece, following: Piece) -> float:
    """The pause between two pieces of one sentence, below that between phrases."""
    clause = _CLAUSE_SECONDS if _CLAUSE.search(piece.word.text) else 0.0
    return max(0.0, pause_seconds(piece, following), clause)


def render_srt(shown: Sequence[Caption]) -> str:
    """Captions as SubRip."""
    return "".join(
        f"{number}\n{_clock(caption.start, ',')} --> {_clock(caption.end, ',')}\n{caption.text}\n\n"
        for number, caption in enumerate(shown, start=1)
    )


def render_vtt(shown: Sequence[Caption]) -> str:
    """Captions as WebVTT."""
    cues = (
        f"{_clock(caption.start, '.')} --> {_clock(caption.end, '.')}\n"
        f"{caption.text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n\n"
        for caption in shown
    )
    return "WEBVTT\n\n" + "".join(cues)


def render_tsv(shown: Sequence[Caption]) -> str:
    """Captions as a table with a heading."""
    rows = (f"{c.start}\t{c.end}\t{c.in_one_line}\n" for c in shown)
    return "start\tend\ttext\n" + "".join(rows)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
