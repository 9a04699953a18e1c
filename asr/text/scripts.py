"""Scripts that are written without spaces between words, and the width of characters."""

import re
import unicodedata

_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u109f"  # Tibetan, Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "]"
)
_ATTACHED = frozenset("\u0e33\u0eb3\uff9e\uff9f")
"""Vowels of Thai and Lao, and voicing marks of narrow kana: no marks, but part of a cluster."""
_LONG_WORD = 5.5
"""Characters that words of unspaced scripts do not have on average, if they are words."""


def count_unspaced(text: str) -> int:
    """How many characters are of scripts without spaces between words."""
    return len(_UNSPACED.findall(text))


def is_unspaced(texts: list[str]) -> bool:
    """Whether most of some texts are sentences without spaces, of which "words" are meaningless."""
    found = [text for text in texts if count_unspaced(text) > 1]
    words = [word for text in found for word in text.split()]
    if 2 * len(found) <= sum(map(bool, texts)):
        return False
    single = sum(len(text.split()) == 1 for text in found)
    return 2 * single > len(found) or sum(map(len, words)) > _LONG_WORD * len(words)


def continues(character: str) -> bool:
    """Whether a character stays with the one before it, as combining marks and full stops do."""
    category = unicodedata.category(character)
    return category[0] == "M" or category in ("Pe", "Pf", "Po") or character in _ATTACHED


def columns(text: str) -> int:
    """The columns that a text takes in a terminal or caption: two for wide characters."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
