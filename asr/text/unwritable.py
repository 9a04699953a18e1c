"""Transcripts that a model cannot write, because its tokens lack some of their characters."""

from collections.abc import Collection
from dataclasses import dataclass

from asr.text.tokens import TokenTable, code_points

_NAMED = 6
"""Characters that a message names before it only counts the rest."""


@dataclass(frozen=True)
class Unwritable:
    """How many of some transcripts a model cannot write, and why."""

    characters: tuple[str, ...]
    """What its tokens lack, sorted."""
    transcripts: int
    total: int
    remedy: str

    def __str__(self) -> str:
        verb = "has" if self.transcripts == 1 else "have"
        return (
            f"{self.transcripts} of {self.total} references {verb} characters that the model does "
            f"not write: {_names(self.characters)}; {self.remedy}"
        )


def find_unwritable(texts: Collection[str], tokens: TokenTable) -> Unwritable | None:
    """What a model cannot write of some transcripts; None if it can write them all."""
    lacking = [unknown for text in texts if (unknown := tokens.unknown(" ".join(text.split())))]
    if not lacking:
        return None
    characters = tuple(sorted(set().union(*lacking)))
    return Unwritable(characters, len(lacking), len(texts), remedy(characters, tokens))


def remedy(characters: Collection[str], tokens: TokenTable) -> str:
    """What to do about characters that the tokens lack."""
    advice = _case_advice(characters, tokens)
    loose = [c for c in characters if tokens.is_loose(c)]
    if loose:
        named = ", ".join(map(code_points, loose[:_NAMED]))
        advice.append(f"remove marks that no letter stands before ({named})")
    others = [
        c for c in characters if c not in loose and all(map(tokens.unknown, (c.upper(), c.lower())))
    ]
    if others:
        advice.append(f"remove or spell out {_names(others)}, or use a model that has them")
    return "; ".join(advice)


def _case_advice(characters: Collection[str], tokens: TokenTable) -> list[str]:
    """What to do about those characters that the tokens lack but have in the other case."""
    found = []
    for given, wanted, convert in (("lower", "upper", str.upper), ("upper", "lower", str.lower)):
        letters = [c for c in characters if tokens.unknown(c) and not tokens.unknown(convert(c))]
        if letters:
            found.append(
                f"{_names(letters)} in {given} case where the model writes {wanted} case: convert "
                f"the transcripts to {wanted} case"
            )
    return found


def _names(characters: Collection[str]) -> str:
    named = ", ".join(map(repr, list(characters)[:_NAMED]))
    more = len(characters) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
