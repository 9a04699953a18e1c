"""Words that a token table cannot spell, and lists of them in messages."""

import pytest

from asr.language.spelling import abbreviate, in_model_case, spelling_error
from asr.text.tokens import TokenTable


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("AB", ""),
        ("", "'' is not one word"),
        ("A B", "'A B' is not one word"),
        ("A\u00a0B", "'A\\xa0B' is not one word"),
        ("AX", "'AX' has 'X'"),
        ("Ab", ""),
        ("e\u0301", ""),
        ("a b", "'A B' is not one word"),
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


def test_a_text_takes_the_case_of_the_model_where_that_is_all_it_lacks() -> None:
    upper, both = TokenTable(tuple(" ABÉ")), TokenTable(tuple("ABab"))
    assert in_model_case("Ab e\u0301", upper) == "AB É"
    assert in_model_case("AB", TokenTable(tuple("ab"))) == "ab"
    assert [in_model_case(text, both) for text in ("aB", "AB")] == ["aB", "AB"]
    assert in_model_case("ab!", upper) == "ab!"


def test_long_lists_are_abbreviated() -> None:
    assert abbreviate(["a", "b"]) == "a; b"
    assert abbreviate(list("abcde")) == "a; b; c; d; e"
    assert abbreviate(list("abcdefg")) == "a; b; c; d; e; and 2 more"
