"""Words in a model's characters: whether it can spell them, how to say where not, their trie."""

from collections.abc import Sequence

import numpy as np

from asr.language.automata.automaton import Automaton, Ints, sorted_trie
from asr.text.normal import normal_form
from asr.text.tokens import TokenTable

NAMED = 5
"""Items that a message names before it only counts the rest."""


def spelling_error(word: str, table: TokenTable) -> str:
    """Why a token table cannot spell a word; empty if it can."""
    if not word or any(character.isspace() for character in word):
        return f"{word!r} is not one word"
    unknown = table.unknown(word)
    if not unknown:
        return ""
    error = f"{word!r} has {', '.join(map(repr, unknown[:NAMED]))}"
    for other in (word.upper(), word.lower()):
        if not table.unknown(other):
            error += f" (the model writes {normal_form(other)!r})"
    return error


def abbreviate(items: Sequence[str], count: int | None = None) -> str:
    """Items as one line of a message: the first few, and how many more there are.

    `count` is how many there are where only the first few are given.
    """
    count = len(items) if count is None else count
    more = f"; and {count - NAMED} more" if count > NAMED else ""
    return "; ".join(items[:NAMED]) + more


def letters(table: TokenTable) -> frozenset[str]:
    """The characters that words can have."""
    return frozenset(character for character in table.characters if not character.isspace())


def word_trie(words: Sequence[str], table: TokenTable) -> tuple[Automaton, Ints]:
    """The trie of words, in NFC, that the table can spell, and the state in which each ends.

    Tokens are in the order of their characters, so that words and their spellings are sorted alike;
    all words are spelt at once, by their code points.
    """
    order = sorted(range(len(words)), key=words.__getitem__)
    codes = np.frombuffer("".join(words[i] for i in order).encode("utf-32-le"), np.uint32)
    token_of = np.zeros(int(codes.max(initial=0)) + 1, np.int32)
    for token, character in enumerate(table.characters, start=1):
        if ord(character) < len(token_of):
            token_of[ord(character)] = token
    lengths = np.fromiter((len(words[i]) for i in order), np.int64, len(order))
    trie, ends = sorted_trie(token_of[codes], lengths)
    end_of = np.zeros(len(words), np.int32)
    end_of[order] = ends
    return trie, end_of
