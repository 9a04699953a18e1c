"""Words with times, and formats for them: JSON, CTM and TextGrid.

CTM is NIST's format, with lines of `recording channel start duration word confidence`; TextGrid is
Praat's, here with one tier of words and one of characters.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asr.errors import TextError
from asr.printing import printable
from asr.text.scripts import continues, count_unspaced


@dataclass(frozen=True)
class Timed:
    """A piece of text and when it is spoken; its duration is above 0."""

    text: str
    start_seconds: float
    end_seconds: float

    def __post_init__(self) -> None:
        assert 0 <= self.start_seconds < self.end_seconds, self


@dataclass(frozen=True)
class TimedWord(Timed):
    """A word, when it is spoken, and its confidence."""

    confidence: float | None = None
    """From 0 to 1; its meaning depends on where the word comes from."""
    characters: tuple[Timed, ...] = ()
    """Without gaps from the start of the word to its end."""


def split_unspaced(word: TimedWord) -> list[TimedWord]:
    """The characters of a word in a script without spaces, which may be a whole sentence.

    Combining marks and punctuation stay with their characters, and runs of other scripts whole, as
    `GPS` in a Chinese sentence. Any other word, and one without times of its characters, stays as
    it is.
    """
    if not (word.characters and count_unspaced(word.text)):
        return [word]
    groups: list[list[Timed]] = []
    for character in word.characters:
        before = groups[-1][-1].text if groups else ""
        whole = before and not count_unspaced(before) and not count_unspaced(character.text)
        if groups and (whole or continues(character.text[0])):
            groups[-1].append(character)
        else:
            groups.append([character])
    return [
        TimedWord(
            "".join(character.text for character in group),
            group[0].start_seconds,
            group[-1].end_seconds,
            word.confidence,
            tuple(group),
        )
        for group in groups
    ]


def words_json(words: Sequence[TimedWord]) -> list[dict[str, Any]]:
    """The words as plain JSON values; times in seconds, to the microsecond."""
    items = []
    for word in words:
        item: dict[str, Any] = {"word": word.text, **_times_json(word)}
        if word.confidence is not None:
            item["confidence"] = round(word.confidence, 6)
        if word.characters:
            item["characters"] = [
                {"character": character.text, **_times_json(character)}
                for character in word.characters
            ]
        items.append(item)
    return items


def _times_json(span: Timed) -> dict[str, float]:
    return {"start": round(span.start_seconds, 6), "end": round(span.end_seconds, 6)}


def check_ctm_name(recording: str) -> None:
    """Raises TextError on a recording name that is not possible in CTM."""
    if not recording or recording.split() != [recording] or recording.startswith(";;"):
        raise TextError(
            f"{recording!r} cannot be the name of a recording in CTM: expected one without spaces "
            "that does not begin with the comment sign ;;; rename it, or choose another format"
        )


def render_ctm(recording: str, words: Sequence[TimedWord]) -> str:
    """One line per word, to the millisecond, or per character in scripts without spaces.

    Raises as `check_ctm_name` does.
    """
    check_ctm_name(recording)
    lines = []
    for word in itertools.chain.from_iterable(map(split_unspaced, words)):
        start, end = round(word.start_seconds, 3), round(word.end_seconds, 3)
        confidence = "" if word.confidence is None else f" {word.confidence:.4f}"
        lines.append(f"{recording} 1 {start:.3f} {end - start:.3f} {word.text}{confidence}\n")
    return printable("".join(lines))


def render_textgrid(words: Sequence[TimedWord], duration_seconds: float) -> str:
    """The tiers `words` and `characters`, with empty intervals between them."""
    characters = [character for word in words for character in word.characters]
    extent = ["xmin = 0", f"xmax = {_exact(duration_seconds)}"]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *extent]
    lines += ["tiers? <exists>", "size = 2", "item []:"]
    for number, (name, spans) in enumerate([("words", words), ("characters", characters)], 1):
        intervals = list(_fill_gaps(spans, duration_seconds))
        header = ['class = "IntervalTier"', f'name = "{name}"', *extent]
        header += [f"intervals: size = {len(intervals)}"]
        lines += [f"    item [{number}]:", *(f"        {line}" for line in header)]
        for position, span in enumerate(intervals, 1):
            text = span.text.replace('"', '""')
            lines += [
                f"        intervals [{position}]:",
                f"            xmin = {_exact(span.start_seconds)}",
                f"            xmax = {_exact(span.end_seconds)}",
                f'            text = "{text}"',
            ]
    return printable("\n".join(lines) + "\n")


def _fill_gaps(spans: Sequence[Timed], duration_seconds: float) -> Iterator[Timed]:
    """The spans, with empty ones in all gaps from 0 to the end."""
    reached = 0.0
    for span in spans:
        if span.start_seconds > reached:
            yield Timed("", reached, span.start_seconds)
        yield span
        reached = span.end_seconds
    if reached < duration_seconds:
        yield Timed("", reached, duration_seconds)


def _exact(seconds: float) -> str:
    """All digits: where one interval ends the next must begin exactly."""
    return format(seconds, ".17g")
