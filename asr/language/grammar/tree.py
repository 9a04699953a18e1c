"""The syntax tree of a grammar: rules, their expansions, and their positions in the source."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias


@dataclass(frozen=True)
class Source:
    """The text of a grammar and the name of its file."""

    path: str
    text: str

    def location(self, offset: int) -> str:
        """File, line and column of a character, for messages."""
        return f"{self.path}, {self.line_and_column(offset)}"

    def line_and_column(self, offset: int) -> str:
        """Line and column of a character, both from 1."""
        line = bisect_right(self._line_starts, offset)
        return f"line {line}, column {offset - self._line_starts[line - 1] + 1}"

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def text_before(self, offset: int) -> str:
        """The text before a character on its line; if there is none, the nearest line above."""
        lines = self.text[max(0, offset - 1000) : offset].split("\n")
        shown = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return shown if len(shown) <= 40 else f"...{shown[-40:]}"


@dataclass(frozen=True)
class Word:
    """A word to be said; `offset` is its position in the source."""

    text: str
    offset: int


@dataclass(frozen=True)
class Reference:
    """The name of a rule, standing for the rule's expansion."""

    rule: str
    offset: int


@dataclass(frozen=True)
class Sequence:
    """One part after the other; without parts it is `<NULL>`, the empty sentence."""

    parts: "tuple[Expansion, ...]"


@dataclass(frozen=True)
class Choice:
    """One of the alternatives; without any it is `<VOID>`, which cannot be said."""

    alternatives: "tuple[Expansion, ...]"


@dataclass(frozen=True)
class Repeat:
    """A part any number of times: at least once if `required` (`+`), else maybe never (`*`)."""

    part: "Expansion"
    required: bool


Expansion: TypeAlias = Word | Reference | Sequence | Choice | Repeat

NULL, VOID = Sequence(()), Choice(())


@dataclass(frozen=True)
class Rule:
    """`<name> = expansion;`; `offset` is the position of the name in the source."""

    name: str
    expansion: Expansion
    public: bool
    offset: int


@dataclass(frozen=True)
class Grammar:
    """Rules by name, in the order of the source."""

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
