"""The compiled part of the ARPA parser: the lines of one section.

It only finds out that a line is wrong; `asr.language.ngram.arpa` then looks at it again to say why.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from asr.compiled import READ_ONLY, compiled, helper, inlined
from asr.language.hashing import scatter

Text = Annotated[NDArray[np.uint8], READ_ONLY]
Spans = Annotated[NDArray[np.int64], 2]

# Numbers: numba would compile every `ord` that stands in a function.
_NEWLINE, _BACKSLASH = ord("\n"), ord("\\")
_BLANK, _TAB, _RETURN = ord(" "), ord("\t"), ord("\r")
_MINUS, _PLUS, _POINT, _ZERO, _NINE = map(ord, "-+.09")
_E, _F, _I, _N = map(ord, "efin")


@dataclass(frozen=True)
class Vocabulary:
    """The words of the 1-grams, as positions in the text."""

    slots: NDArray[np.int32]
    """A hash table of word numbers with open addressing; -1 where empty."""
    spans: NDArray[np.int64]
    """(words, 2) where each word begins and ends in the text."""

    @classmethod
    def for_words(cls, count: int) -> "Vocabulary":
        """An empty vocabulary with room for `count` words."""
        slots = np.full(1 << (2 * count).bit_length(), -1, dtype=np.int32)
        return cls(slots, np.empty((count, 2), dtype=np.int64))


@compiled
def parse_section(
    text: Text,
    position: int,
    backs_off: bool,
    slots: NDArray[np.int32],
    spans: Spans,
    grams: Annotated[NDArray[np.int32], 2],
    scores: Annotated[NDArray[np.float64], 2],
) -> tuple[int, int, bool]:
    """Fill `grams (rows, k)` and `scores (rows, 2)` from the lines up to the next heading.

    `slots` and `spans` are those of a `Vocabulary`, which the 1-grams fill. `backs_off` says
    whether the n-grams may have back-offs other than 0. Returns the rows filled, the position
    reached, and False if the line at that position is not a valid n-gram.
    """
    rows, order = grams.shape
    row = 0
    while position < len(text):
        end = position
        while end < len(text) and text[end] != _NEWLINE:
            end += 1
        first, past = _next_field(text, position, end)
        if first < end:
            if text[first] == _BACKSLASH or row == rows:
                break
            scores[row, 0] = _number(text, first, past)
            if not scores[row, 0] <= 0:  # NaN, for a field that is no number, included
                return row, position, False
            for place in range(order):
                first, past = _next_field(text, past, end)
                slot = _word_slot(text, first, past, slots, spans)
                # 1-grams must be new words, the words of longer n-grams must be known ones.
                if first == end or (slots[slot] >= 0) == (order == 1):
                    return row, position, False
                if order == 1:
                    slots[slot] = row
                    spans[row, 0], spans[row, 1] = first, past
                grams[row, place] = slots[slot]
            first, past = _next_field(text, past, end)
            if first < end:
                scores[row, 1] = _number(text, first, past)
                if not (backs_off or scores[row, 1] == 0):
                    return row, position, False
                first, past = _next_field(text, past, end)
            if first < end or not scores[row, 1] < np.inf:
                return row, position, False
            row += 1
        position = end + 1
    return row, position if position < len(text) else len(text), True


@helper
def _next_field(text: Text, position: int, end: int) -> tuple[int, int]:
    """Where the next field of a line begins and ends; `(end, end)` if none is left."""
    while position < end and _is_blank(text[position]):
        position += 1
    past = position
    while past < end and not _is_blank(text[past]):
        past += 1
    return position, past


@helper
def _word_slot(
    text: Text,
    first: int,
    past: int,
    slots: NDArray[np.int32],
    spans: Spans,
) -> int:
    """The slot of a word in the vocabulary, or the empty slot where it would go."""
    code = past - first
    for position in range(first, past):
        code = scatter(code ^ text[position])
    slot = code & (len(slots) - 1)
    while slots[slot] >= 0:
        start = spans[slots[slot], 0]
        if spans[slots[slot], 1] - start == past - first:
            same = True
            for offset in range(past - first):
                same = same and text[start + offset] == text[first + offset]
            if same:
                break
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@helper
def _number(text: Text, first: int, past: int) -> float:
    """Parse a decimal number or an infinity; NaN if the field is neither.

    Digits are accumulated in a float64 and scaled once: precise enough for ARPA files, which have
    seven digits or so.
    """
    sign = -1.0 if text[first] == _MINUS else 1.0
    if text[first] == _MINUS or text[first] == _PLUS:
        first += 1
    if past - first == 3 and (text[first] | 32) == _I:
        rest = (text[first + 1] | 32) == _N and (text[first + 2] | 32) == _F
        return sign * np.inf if rest else np.nan
    mantissa, digits, scale, behind_point = 0.0, 0, 0, False
    while first < past and (text[first] == _POINT or _is_digit(text[first])):
        if _is_digit(text[first]):
            mantissa = mantissa * 10.0 + (text[first] - _ZERO)
            digits += 1
            scale -= behind_point
        elif behind_point:
            return np.nan
        else:
            behind_point = True
        first += 1
    if not 0 < digits <= 200:
        return np.nan
    if first < past and (text[first] | 32) == _E:
        first += 1
        minus = first < past and text[first] == _MINUS
        if first < past and (minus or text[first] == _PLUS):
            first += 1
        exponent = 0
        if first == past:
            return np.nan
        while first < past and _is_digit(text[first]):
            if exponent < 1000:  # far beyond float64 already
                exponent = exponent * 10 + (text[first] - _ZERO)
            first += 1
        scale += -exponent if minus else exponent
    if first < past:
        return np.nan
    if mantissa > 0:
        mantissa = mantissa / 10.0**-scale if scale < 0 else mantissa * 10.0**scale
    return sign * mantissa


@inlined
def _is_digit(byte: int) -> bool:
    return _ZERO <= byte <= _NINE


@inlined
def _is_blank(byte: int) -> bool:
    """Whether `bytes.split` separates fields here."""
    return byte == _BLANK or _TAB <= byte <= _RETURN
