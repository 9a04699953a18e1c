"""Whether a model's characters can spell the words that a user gives, and how to say where not."""

from collections.abc import Sequence

from asr.text.normal import normal_form
from asr.text.tokens import TokenTable

_NAMED = 5
"""Items that a message names before it only counts the rest."""


def spelling_error(word: str, table: TokenTable) -> str:
    """Why a token table cannot spell a word; empty if it can."""
    if not word or any(character.isspace() for character in word):
        return f"{word!r} is not one word"
    unknown = table.unknown(word)
    if not unknown:
        return ""
    error = f"{word!r} has {', '.join(map(repr, unknown[:_NAMED]))}"
    for other in (word.upper(), word.lower()):
        if not table.unknown(other):
            error += f" (the model writes {normal_form(other)!r})"
    return error


def abbreviate(items: Sequence[str]) -> str:
    """Items as one line of a message: the first few, and how many more there are."""
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more
