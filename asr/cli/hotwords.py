"""Hot words as a command line, or a file that it names, says them."""

import math
from pathlib import Path

from asr.errors import AsrError, ConfigError, TextError
from asr.text.tokens import TokenTable

HOTWORD_BOOST = 5.0
"""Of a hot word that is given without one."""


def parse_hotwords(entries: list[str], table: TokenTable) -> dict[str, float]:
    """Phrases and boosts of `WORD:BOOST,PHRASE OF WORDS,@FILE` entries.

    Raises ConfigError, naming the entry or the line of a file, on a part without a word, a boost
    that is no number or too large, a phrase that comes twice and a file without words, TextError
    on a phrase that the table cannot spell, and AsrError if a file cannot be read.
    """
    from asr.language.hotwords import spell_hotword

    boosts: dict[str, float] = {}
    for entry in entries:
        for where, part in _parts(entry):
            phrase, boost = _hotword(part, where)
            if phrase in boosts:
                raise ConfigError(f"{where}: the hot word {phrase!r} comes twice; keep one of them")
            try:
                spell_hotword(phrase, boost, table)
            except (ConfigError, TextError) as error:
                raise type(error)(f"{where}: {error}") from error
            boosts[phrase] = boost
    return boosts


def _parts(entry: str) -> list[tuple[str, str]]:
    """What an entry lists, each with where it stands."""
    if not entry.startswith("@"):
        return [(f"--hotwords {entry!r}", part) for part in entry.split(",")]
    path = Path(entry[1:])
    lines = enumerate(_lines(path), start=1)
    parts = [(f"{path}, line {number}", line) for number, line in lines if line.strip()]
    if not parts:
        raise ConfigError(
            f"{path}: expected at least one hot word, one WORD:BOOST a line, found none"
        )
    return parts


def _hotword(text: str, where: str) -> tuple[str, float]:
    phrase, colon, number = text.rpartition(":")
    if not colon:
        phrase, number = text, str(HOTWORD_BOOST)
    phrase = " ".join(phrase.split())
    try:
        boost = float(number)
    except ValueError:
        boost = math.nan
    if not phrase or not math.isfinite(boost):
        raise ConfigError(
            f"{where}: expected a hot word as WORD or WORD:BOOST, such as {'HELLO:4.5'!r}, found "
            f"{text!r}"
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
