"""Text from outside as it may be shown: on a terminal, in a log, in a transcript's file.

Names, ids, tokens and transcripts come from files that anybody may have written. Control characters
in them could move a terminal's cursor or change its title, hide or reorder what stands around them,
or begin a new record where a format has one a line.
"""

import logging
import re
import sys

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
"""C0 but for tab and newline, DEL, and C1."""
_MARKS = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
"""Marks of the direction of writing, separators of lines and paragraphs, the byte-order mark."""
_MOST_SHOWN = 80
_UNPRINTABLE = re.compile(f"[{_CONTROLS}{_MARKS}\ud800-\udfff]")
_UNPRINTABLE_IN_JSON = re.compile(f"[{_CONTROLS}{_MARKS}]")


def printable(text: str) -> str:
    """A text with such characters, and lone surrogates, as escapes: `\\x1b`, `\\u202e`.

    Newlines and tabs stay, as they are the form of what is printed; so do joiners and combining
    marks, which words of many languages need.
    """
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def printable_json(text: str) -> str:
    """The same for a text that is JSON, in JSON's own escapes: its values do not change."""
    return _UNPRINTABLE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def visible(text: str) -> str:
    """A word with everything as an escape that would not be seen, such as a no-break space."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def shown(value: object) -> str:
    """A value as messages show it: its first 80 characters, however long or deep it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of levels
        return f"a very large {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


class PrintableFormatter(logging.Formatter):
    """Formats log records so that they can be shown."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text, printable."""
        return printable(super().format(record))


def log_to_stderr() -> None:
    """Show the messages of a program on stderr, unless a log has been set up already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
