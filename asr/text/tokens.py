"""The table of output tokens: characters, with the CTC blank at index 0.

What one character is, is a choice (`Units`). Unicode has no composed form of many letters with
marks; as code points, the letter and each mark are tokens of their own, and marks come loose where
a model misses the letter. As grapheme clusters, a letter with its marks is one token.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import regex

from asr.errors import ConfigError, TextError

BLANK = 0

Units = Literal["characters", "graphemes"]
"""What one character of a text is: a code point, or an extended grapheme cluster (Unicode Standard
Annex #29, "Unicode Text Segmentation"), such as a letter with its marks."""

_CLUSTER = regex.compile(r"\s|\X")
"""White space is a character alone, whatever marks come after it."""


def split_text(text: str, units: Units) -> list[str]:
    """The characters of a text in Unicode NFC; joined they are that text."""
    if text.isascii():
        return list(text)
    text = unicodedata.normalize("NFC", text)
    return list(text) if units == "characters" else _CLUSTER.findall(text)


@dataclass(frozen=True)
class TokenTable:
    """Characters in sorted order; token i is `characters[i - 1]`, token 0 is the blank.

    The space between words is an ordinary character. Grapheme clusters that begin with a loose mark
    are refused, so that no text of the table's tokens has any. Whether each of them is one cluster
    is left to the version of Unicode that they were split by: a later one may split text otherwise,
    and the tokens of a model stay what they are.
    """

    characters: tuple[str, ...]
    units: Units = "characters"
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.units not in get_args(Units):
            raise ConfigError(
                f"tokens: expected the units {' or '.join(get_args(Units))}, found {self.units!r}"
            )
        index = {character: i for i, character in enumerate(self.characters, start=1)}
        kind = "single characters" if self.units == "characters" else "grapheme clusters"
        if list(self.characters) != sorted(index) or not all(map(self._is_one, self.characters)):
            raise ConfigError(
                f"tokens: expected distinct {kind} in sorted order, found {list(self.characters)!r}"
            )
        object.__setattr__(self, "_index", index)

    def _is_one(self, character: str) -> bool:
        if self.units == "characters":
            return len(character) == 1
        has_space = len(character) > 1 and any(map(str.isspace, character))
        return character != "" and not has_space and not is_loose(character)

    @classmethod
    def from_texts(cls, texts: Iterable[str], units: Units = "characters") -> "TokenTable":
        """The table of all characters of the transcripts, loose marks among graphemes excepted.

        Raises TextError if there are none.
        """
        characters = {character for text in texts for character in split_text(text, units)}
        if units == "graphemes":
            characters = {character for character in characters if not is_loose(character)}
        if not characters:
            raise TextError("tokens: every transcript is empty; expected at least one with text")
        return cls(tuple(sorted(characters)), units)

    def __len__(self) -> int:
        """C: the number of characters, and the blank."""
        return len(self.characters) + 1

    @property
    def space(self) -> int:
        """The token of the space between words; -1 in a table without one."""
        return self._index.get(" ", -1)

    def split(self, text: str) -> list[str]:
        """The characters of a text as the table counts them, whether it has them or not."""
        return split_text(text, self.units)

    def encode(self, text: str) -> list[int]:
        """Token indices of a transcript. Raises TextError naming characters outside the table."""
        characters = self.split(text)
        unknown = self._lacking(characters)
        if unknown:
            raise TextError(
                f"the transcript {''.join(characters)[:60]!r} has {_names(unknown)}, not among the "
                f"model's {len(self.characters)} characters {''.join(self.characters)!r}"
            )
        return [self._index[character] for character in characters]

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a transcript that are not in the table, sorted."""
        return self._lacking(self.split(text))

    def _lacking(self, characters: Iterable[str]) -> list[str]:
        return sorted(set(characters) - self._index.keys())

    def is_loose(self, character: str) -> bool:
        """Whether a character cannot be in the table, as a mark that follows no letter."""
        return self.units == "graphemes" and is_loose(character)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a label sequence (no blanks), words separated by single spaces.

        Some clusters side by side are one cluster of the text, as two halves of a conjunct or of a
        flag: encoded again, it may have fewer tokens, and one that the table lacks.
        """
        assert BLANK not in tokens
        return " ".join("".join(self.characters[token - 1] for token in tokens).split())


def is_loose(character: str) -> bool:
    """Whether behind a letter a character would be part of that letter's cluster."""
    return _CLUSTER.fullmatch(f"a{character}") is not None


def code_points(character: str) -> str:
    """The code points of a character, such as `U+1EB9 U+0301`."""
    return " ".join(f"U+{ord(point):04X}" for point in character)


def _names(characters: Sequence[str]) -> str:
    return ", ".join(f"{c!r} ({code_points(c)})" for c in characters[:5]) + (
        f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    )
