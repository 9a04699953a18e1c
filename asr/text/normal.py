"""The one form of text that every door of the program brings texts to, and what is no text.

Unicode has several spellings of one letter and dozens of kinds of white space; a model would learn
each as a token of its own.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable

_JOINERS = "\u200c\u200d"
"""They say how letters join in scripts from Arabic to Mongolian, and are part of the spelling."""
_JOINING_SCRIPTS = range(0x0600, 0x18B0)
_REPLACEMENT = "\ufffd"


def normal_form(text: str) -> str:
    """Unicode NFC, with a single space for any run of white space and none at the ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def stray_characters(characters: Iterable[str]) -> list[str]:
    """Of the characters of some texts those that belong to none, in order.

    Controls, marks without width, marks of direction, the sign for what could not be decoded, and
    what Unicode has not assigned. The joiners are letters where the texts have a script that needs
    them.
    """
    found = set(characters)
    is_joining = any(
        ord(c) in _JOINING_SCRIPTS and unicodedata.category(c)[0] in "LM" for c in found
    )
    joiners = _JOINERS if is_joining else ""
    return sorted(c for c in found if _is_stray(c) and c not in joiners)


def _is_stray(character: str) -> bool:
    if character.isspace():
        return False
    return character == _REPLACEMENT or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn")


def describe_characters(counts: Counter[str]) -> str:
    """Characters by code point and name, with how often each occurs."""
    return ", ".join(
        f"U+{ord(c):04X} {unicodedata.name(c, 'CONTROL CHARACTER')} ({count} times)"
        for c, count in sorted(counts.items())
    )
