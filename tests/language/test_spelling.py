"""Words that a token table cannot spell, and lists of them in messages."""

import pytest

from asr.language.spelling import abbreviate, spelling_error
from asr.text.tokens import TokenTable


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("AB", ""),
        ("", "'' is not one word"),
        ("A B", "'A B' is not one word"),
        ("A\u00a0B", "'A\\xa0B' is not one word"),
        ("AX", "'AX' has 'X'"),
        ("ab", "'ab' has 'a', 'b' (the model writes 'AB')"),
        ("e\u0301", "'e\u0301' has 'é' (the model writes 'É')"),
        ("bà!", "'bà!' has '!', 'b', 'à' (the model writes 'BA')"),
        ("A-B", "'A-B' has '-' (the model writes 'AB')"),
        ("--", "'--' has '-'"),
        ("B7", "'B7' has '7' (write numbers as they are said, in words)"),
        ("GFEDC", "'GFEDC' has 'C', 'D', 'E', 'F', 'G'"),
        ("HGFEDC", "'HGFEDC' has 'C', 'D', 'E', 'F', 'G'"),
    ],
)
def test_spelling_error(word: str, error: str) -> None:
    assert spelling_error(word, TokenTable(tuple(" ABÉ"))) == error


def test_long_lists_are_abbreviated() -> None:
    assert abbreviate(["a", "b"]) == "a; b"
    assert abbreviate(list("abcde")) == "a; b; c; d; e"
    assert abbreviate(list("abcdefg")) == "a; b; c; d; e; and 2 more"
