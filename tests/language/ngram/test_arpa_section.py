"""The compiled parser of ARPA sections: numbers as Python reads them."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language.ngram.arpa_section import Vocabulary, parse_section

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.IGNORECASE)


def parsed(lines: str, order: int = 1, rows: int = 3, backs_off: bool = True):  # type: ignore[no-untyped-def]
    """Rows, position and soundness, and the scores, of some lines."""
    vocabulary = Vocabulary.for_words(rows)
    grams, scores = np.empty((rows, order), np.int32), np.zeros((rows, 2))
    text = np.frombuffer(lines.encode(), np.uint8)
    found = parse_section(text, 0, backs_off, vocabulary.slots, vocabulary.spans, grams, scores)
    return (*found, scores, vocabulary)


@given(st.floats(-1e100, 0), st.sampled_from(["{:.7g}", "{:.3f}", "{:e}", "{}"]))
def test_numbers(number: float, form: str) -> None:
    written = form.format(number)
    rows, _, sound, scores, _ = parsed(f"{written}\tyes\t{written}\n")

    assert (rows, sound) == (1, True)
    assert scores[0].tolist() == pytest.approx([float(written)] * 2, rel=1e-12, abs=1e-280)


@given(st.text("0123456789+-.eEinfx", min_size=1, max_size=8))
def test_a_field_is_a_number_if_python_says_so(field: str) -> None:
    _, _, sound, scores, _ = parsed(f"-1\tyes\t{field}\n")
    valid = NUMBER.fullmatch(field) is not None and float(field) < math.inf

    assert sound == valid
    if valid:
        assert scores[0, 1] == pytest.approx(float(field), rel=1e-12, abs=1e-280)


def test_rows_end_at_the_next_heading() -> None:
    text = "-1 yes\n\n-2\tno\t-0.5\n\\2-grams:\n-3 yes no\n"
    rows, position, sound, scores, vocabulary = parsed(text)

    assert (rows, sound) == (2, True)
    assert text[position:].startswith("\\2-grams:")
    assert scores[:2].tolist() == [[-1, 0], [-2, -0.5]]
    assert [text[a:b] for a, b in vocabulary.spans[:2].tolist()] == ["yes", "no"]


@pytest.mark.parametrize("line", ["1 yes", "x yes", "-1", "-1 yes -1 no", "-1 yes inf", "-1 a"])
def test_the_position_of_a_wrong_line(line: str) -> None:
    rows, position, sound, _, _ = parsed(f"-1 a\n{line}\n-1 b\n")

    assert (rows, position, sound) == (1, 5, False)
