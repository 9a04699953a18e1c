"""A grammar as it is in memory: rules, their expansions, and where they were written."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias


@dataclass(frozen=True)
class Source:
    """A grammar as it was written."""

    path: str
    text: str

    def at(self, offset: int) -> str:
        """The file and the place in it of a character, for messages."""
        return f"{self.path}, {self.place(offset)}"

    def place(self, offset: int) -> str:
        """Line and column of a character, from 1."""
        line = bisect_right(self._line_starts, offset)
        return f"line {line}, column {offset - self._line_starts[line - 1] + 1}"

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def before(self, offset: int) -> str:
        """What stands before a character on its line, or failing that on the lines above."""
        lines = self.text[max(0, offset - 1000) : offset].split("\n")
        shown = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return shown if len(shown) <= 40 else f"...{shown[-40:]}"


@dataclass(frozen=True)
class Word:
    """A word as it is said; `offset` is its place in the source."""

    text: str
    offset: int


@dataclass(frozen=True)
class Reference:
    """The name of a rule in the place of its expansion."""

    rule: str
    offset: int


@dataclass(frozen=True)
class Sequence:
    """One part after the other; without parts: `<NULL>`, which is heard as nothing."""

    parts: "tuple[Expansion, ...]"


@dataclass(frozen=True)
class Choice:
    """One of the alternatives; without alternatives: `<VOID>`, which cannot be said."""

    alternatives: "tuple[Expansion, ...]"


@dataclass(frozen=True)
class Repeat:
    """A part again and again, at least once (`+`) or not at all (`*`)."""

    part: "Expansion"
    required: bool


Expansion: TypeAlias = Word | Reference | Sequence | Choice | Repeat

NULL, VOID = Sequence(()), Choice(())


@dataclass(frozen=True)
class Rule:
    """`<name> = expansion;`; `offset` is the place of the name in the source."""

    name: str
    expansion: Expansion
    public: bool
    offset: int


@dataclass(frozen=True)
class Grammar:
    """Rules by name, in the order of their source."""

    source: Source
    rules: dict[str, Rule]


def leaves(expansion: Expansion) -> Iterator[Word | Reference]:
    """The words and references in an expansion, from left to right."""
    match expansion:
        case Word() | Reference():
            yield expansion
        case Sequence(parts) | Choice(parts):
            for part in parts:
                yield from leaves(part)
        case Repeat(part):
            yield from leaves(part)
