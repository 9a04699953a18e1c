"""Ways in which text files are damaged or forged, for `tests.benchmarks.text`."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

CONTROLS = (
    "\x00", "\x07", "\x08", "\x1b[2J", "\x1b]0;owned\x07", "\x7f", "\x85", "\x9b31m", "\xad",
    "\u200b", "\u200e", "\u061c", "\u202e", "\u2066", "\u2028", "\u2029", "\ufeff", "\ufffd", "\r",
)  # fmt: skip
"""Characters that move a terminal's cursor, end lines, or turn the direction of writing."""
NUMBERS = (
    "1" * 400, "-" + "9" * 5000, "1e999", "-1e308", "1e308", "NaN", "Infinity", "-1", "0", "-0.0",
    "9223372036854775808", "18446744073709551616", "4294967296", "1e6", "1000000", "1e-320", "0.5",
    "007", "1_000", "0x10", "\u0664",
)  # fmt: skip
WORDS = (
    "<s>", "</s>", "<unk>", "<UNK>", "<space>", "null", "true", "[]", "{}", '""', "../../x",
    "/dev/zero", "file:///etc/passwd", "reference://x::file:///etc/passwd", "memory://x", ";;", "(",
    ")", "{ a / b }", "%s%n", "{0}", "\\", '"', "\t", "=", "|", "*", "+", ";", ",", "e\u0301",
    "\U0001f469\u200d\U0001f680", "a" * 100_000, " " * 20_000, "(" * 2000, "[" * 5000,
    '{"a":' * 3000, "<a>", "/0.5/", "\\data\\", "\\end\\", "#JSGF",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, "", "\x1b[31m", "\u202e", "\ud800", 0, -1, 0.5, 1e308, -1e308, 10**6, 2**31, 2**63,
    2**64, 10**399, [], {}, [[]], "a" * 10_000, ["a", 1, None], {"a": {"b": []}}, "NaN", 1e-320,
    "../../x", "/dev/zero", "x" * 300,
)  # fmt: skip

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_WORD = re.compile(rb"[^\s\"':,<>=;|()\[\]{}]+")

Mutation = Callable[[bytes, random.Random], bytes]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content changed in one to three ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(MUTATIONS)(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def changed_byte(content: bytes, rng: random.Random) -> bytes:
    """One byte is another."""
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]


def cut_short(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: _place(content, rng)]


def stretch_removed(content: bytes, rng: random.Random) -> bytes:
    """Something is missing in the middle."""
    place = _place(content, rng)
    return content[:place] + content[place + rng.randrange(1, 40) :]


def stretch_repeated(content: bytes, rng: random.Random) -> bytes:
    """Something comes again, up to a thousand times."""
    place = _place(content, rng)
    stretch = content[place : place + rng.randrange(1, 40)]
    return content[:place] + stretch * rng.choice((2, 2, 3, 1000)) + content[place:]


def control_inserted(content: bytes, rng: random.Random) -> bytes:
    """A control character, as itself or as JSON writes it."""
    place, control = _place(content, rng), rng.choice(CONTROLS)
    text = json.dumps(control)[1:-1] if rng.random() < 0.4 else control
    return content[:place] + text.encode() + content[place:]


def word_inserted(content: bytes, rng: random.Random) -> bytes:
    """A word that means something to some format."""
    place = _place(content, rng)
    return content[:place] + rng.choice(WORDS).encode() + content[place:]


def _one_replaced(
    pattern: "re.Pattern[bytes]", content: bytes, new: bytes, rng: random.Random
) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + new + content[match.end() :]


def number_replaced(content: bytes, rng: random.Random) -> bytes:
    """A number is one that is hard to hold."""
    return _one_replaced(_NUMBER, content, rng.choice(NUMBERS).encode(), rng)


def word_replaced(content: bytes, rng: random.Random) -> bytes:
    """A word is another one."""
    return _one_replaced(_WORD, content, rng.choice(WORDS + CONTROLS).encode(), rng)


def lines_moved(content: bytes, rng: random.Random) -> bytes:
    """The lines are in another order."""
    lines = content.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def line_repeated(content: bytes, rng: random.Random) -> bytes:
    """A line comes again, up to 2000 times."""
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    return b"\n".join(lines[:place] + [lines[place]] * rng.choice((2, 2000)) + lines[place:])


def other_encoding(content: bytes, rng: random.Random) -> bytes:
    """Another encoding, a byte-order mark, or other ends of lines."""
    text = content.decode("utf-8", errors="replace")
    return rng.choice(
        (
            text.encode("utf-16"),
            text.encode("utf-8-sig"),
            text.encode("latin-1", errors="replace") + b"\xe9\xff",
            content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            b"",
            b"\n" * 1000,
        )
    )


def json_value_replaced(content: bytes, rng: random.Random) -> bytes:
    """A value of a JSON line or file is of another type or size, missing, or of a new name."""
    lines = content.split(b"\n")
    whole = len([line for line in lines if line.strip()]) > 1 and not _is_json(lines[0])
    place = 0 if whole else rng.randrange(len(lines))
    try:
        value = json.loads(content if whole else lines[place])
    except (ValueError, RecursionError):
        return word_replaced(content, rng)
    new = json.dumps(_replaced(value, rng), indent=2 if whole else None).encode()
    return new + b"\n" if whole else b"\n".join([*lines[:place], new, *lines[place + 1 :]])


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _replaced(value: Any, rng: random.Random) -> Any:
    """A JSON value in which a random part is replaced; the deeper ones are likelier."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(sorted(value))
        if rng.random() < 0.08:
            return {name: item for name, item in value.items() if name != key}
        if rng.random() < 0.05:
            return value | {rng.choice(("\x1b[2J", "x", "a" * 5000)): rng.choice(VALUES)}
        return value | {key: _replaced(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _replaced(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


MUTATIONS: tuple[Mutation, ...] = (
    changed_byte,
    cut_short,
    stretch_removed,
    stretch_repeated,
    control_inserted,
    control_inserted,
    word_inserted,
    number_replaced,
    word_replaced,
    lines_moved,
    line_repeated,
    other_encoding,
    json_value_replaced,
    json_value_replaced,
)
