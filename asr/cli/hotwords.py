"""Hot words on a command line: `WORD:BOOST,PHRASE OF WORDS,@FILE`."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.errors import AsrError, ConfigError, TextError

HOTWORD_BOOST = 5.0
"""Of a hot word that is given without one; as in `asr.inference.options`, which imports torch."""


def parse_hotwords(entries: Sequence[str]) -> dict[str, float]:
    """Phrases and boosts of `WORD:BOOST,PHRASE OF WORDS,@FILE` entries.

    Raises ConfigError, naming the entry, on a part without a word, a boost that is not a finite
    number and a phrase that comes twice; TextError, naming the line, where they are in a file, or
    it has none; AsrError if a file cannot be read.
    """
    boosts: dict[str, float] = {}
    for entry in entries:
        error = TextError if entry.startswith("@") else ConfigError
        for where, part in _parts(entry):
            try:
                phrase, boost = _parse_part(part)
            except ValueError as problem:
                raise error(f"{where}: {problem}") from None
            if phrase in boosts:
                raise error(f"{where}: the hot word {phrase!r} comes twice; keep one of them")
            boosts[phrase] = boost
    return boosts


def _parts(entry: str) -> Iterator[tuple[str, str]]:
    """The parts of an entry, each with the place to name in messages."""
    if not entry.startswith("@"):
        yield from ((f"--hotwords {entry!r}", part) for part in entry.split(","))
        return
    path = Path(entry[1:])
    parts = [
        (f"{path}, line {number}", line)
        for number, line in enumerate(_lines(path), start=1)
        if line.strip()
    ]
    if not parts:
        raise TextError(
            f"{path}: expected at least one hot word, one WORD:BOOST a line, found none"
        )
    yield from parts


def _parse_part(text: str) -> tuple[str, float]:
    phrase, colon, number = text.rpartition(":")
    if not colon:
        phrase, number = text, str(HOTWORD_BOOST)
    phrase = " ".join(phrase.split())
    try:
        boost = float(number)
    except ValueError:
        boost = math.nan
    if not phrase or not math.isfinite(boost):
        raise ValueError(
            f"expected a hot word as WORD or WORD:BOOST, such as {'HELLO:4.5'!r}, found {text!r}"
        )
    return phrase, boost


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AsrError(
            f"{path}: cannot read the hot words ({error}); expected a UTF-8 text file with one "
            "WORD:BOOST a line"
        ) from error
