"""Words in a model's characters: whether it can spell them, how to say where not, their trie."""

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

from asr.language.automata.automaton import Automaton, Ints, sorted_trie
from asr.text.normal import normal_form
from asr.text.tokens import TokenTable

NAMED = 5
"""Items that a message names before it only counts the rest."""


def in_model_case(text: str, table: TokenTable) -> str:
    """A text in upper or lower case where only that makes it one that a table can spell; in NFC.

    Most models write one case alone, and who lists what may be said need not know which.
    """
    return in_known_case(text, lambda form: not table.unknown(form))


def in_known_case(text: str, is_known: Callable[[str], bool]) -> str:
    """A text as it is, in upper or in lower case, whichever is known, in NFC; if none, as it is."""
    known = filter(is_known, (text, text.upper(), text.lower()))
    return next(map(normal_form, known), text)


def spelling_error(word: str, table: TokenTable) -> str:
    """Why a token table cannot spell a word in any case; empty if it can."""
    word = in_model_case(word, table)
    if not word or any(character.isspace() for character in word):
        return f"{word!r} is not one word"
    unknown = table.unknown(word)
    if not unknown:
        return ""
    error = f"{word!r} has {', '.join(map(repr, unknown[:NAMED]))}"
    if written := _as_written(word, table):
        return f"{error} (the model writes {written!r})"
    if any(character.isnumeric() for character in unknown):
        return f"{error} (write numbers as they are said, in words)"
    return error


def _as_written(word: str, table: TokenTable) -> str:
    """A word in the model's case without marks and signs that it lacks; empty if it lacks more."""
    parts = unicodedata.normalize("NFD", word.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    bare = "".join(character for character in parts if not unicodedata.combining(character))
    plain = "".join(character for character in bare if character.isalnum())
    for form in (in_model_case(bare, table), in_model_case(plain, table)):
        if form and not table.unknown(form):
            return form
    return ""


def abbreviate(items: Sequence[str], count: int | None = None) -> str:
    """Items as one line of a message: the first few, and how many more there are.

    `count` is how many there are where only the first few are given.
    """
    count = len(items) if count is None else count
    more = f"; and {count - NAMED} more" if count > NAMED else ""
    return "; ".join(items[:NAMED]) + more


def speller(table: TokenTable) -> Callable[[str], bool]:
    """A function that says whether a text, in NFC, has only characters that words can have."""
    known = frozenset(character for character in table.characters if not character.isspace())
    if table.units == "characters":
        return known.issuperset
    return lambda text: known.issuperset(table.split(text))


def word_trie(words: Sequence[str], table: TokenTable) -> tuple[Automaton, Ints]:
    """The trie of words, in NFC, that the table can spell, and the state in which each ends.

    Tokens are in the order of their characters, so that words and their spellings are sorted alike;
    all words are spelt at once, by their code points. Where characters are grapheme clusters, each
    word is first written with one code point for each, the number of its token.
    """
    letters = table.characters
    if table.units == "graphemes":
        letters = tuple(map(chr, range(1, len(table))))
        letter_of = dict(zip(table.characters, letters, strict=True))
        words = ["".join(map(letter_of.__getitem__, table.split(word))) for word in words]
    order = sorted(range(len(words)), key=words.__getitem__)
    joined = "".join(words[i] for i in order).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(joined, np.uint32)
    token_of = np.zeros(int(codes.max(initial=0)) + 1, np.int32)
    for token, letter in enumerate(letters, start=1):
        if ord(letter) < len(token_of):
            token_of[ord(letter)] = token
    lengths = np.fromiter((len(words[i]) for i in order), np.int64, len(order))
    trie, ends = sorted_trie(token_of[codes], lengths)
    end_of = np.zeros(len(words), np.int32)
    end_of[order] = ends
    return trie, end_of
