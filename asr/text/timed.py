"""Words with times, and their values in JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
