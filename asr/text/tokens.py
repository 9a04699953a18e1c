"""The table of output tokens: characters, with the CTC blank at index 0."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from asr.errors import ConfigError, TextError

BLANK = 0


@dataclass(frozen=True)
class TokenTable:
    """Characters in sorted order; token i is `characters[i - 1]`, token 0 is the blank.

    The space between words is an ordinary character.
    """

    characters: tuple[str, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {character: i for i, character in enumerate(self.characters, start=1)}
        if list(self.characters) != sorted(index) or any(len(c) != 1 for c in self.characters):
            raise ConfigError(
                "tokens: expected distinct single characters in sorted order, found "
                f"{list(self.characters)!r}"
            )
        object.__setattr__(self, "_index", index)

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "TokenTable":
        """The table of all characters of the transcripts. Raises TextError if there are none."""
        characters = sorted({c for text in texts for c in unicodedata.normalize("NFC", text)})
        if not characters:
            raise TextError("tokens: every transcript is empty; expected at least one with text")
        return cls(tuple(characters))

    def __len__(self) -> int:
        """C: the number of characters, and the blank."""
        return len(self.characters) + 1

    @property
    def space(self) -> int:
        """The token of the space between words; -1 in a table without one."""
        return self._index.get(" ", -1)

    def encode(self, text: str) -> list[int]:
        """Token indices of a transcript. Raises TextError naming characters outside the table."""
        text = unicodedata.normalize("NFC", text)
        unknown = self.unknown(text)
        if unknown:
            raise TextError(
                f"the transcript {text[:60]!r} has {_names(unknown)}, not among the model's "
                f"{len(self.characters)} characters {''.join(self.characters)!r}"
            )
        return [self._index[character] for character in text]

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a transcript that are not in the table, sorted."""
        return sorted(set(unicodedata.normalize("NFC", text)) - self._index.keys())

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a label sequence (no blanks), words separated by single spaces."""
        assert BLANK not in tokens
        return " ".join("".join(self.characters[token - 1] for token in tokens).split())


def _names(characters: Sequence[str]) -> str:
    return ", ".join(f"{c!r} (U+{ord(c):04X})" for c in characters[:5]) + (
        f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    )
