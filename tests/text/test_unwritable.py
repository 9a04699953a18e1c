"""Transcripts that a model cannot write: counted, their characters named, with a remedy."""

import pytest

from asr.text.tokens import TokenTable
from asr.text.unwritable import find_unwritable

UPPER = TokenTable.from_texts(["ABCDEFGHIJKLMNOPQRSTUVWXYZ '"])
CASES = {
    "lower case": (["yes", "NO"], "1 of 2 references", "'e', 's', 'y'", "to upper case"),
    "punctuation": (["YES.", "NO?"], "2 of 2 references", "'.', '?'", "spell out '.', '?'"),
    "both": (["Yes."], "1 of 1 references", "'.', 'e', 's'", "spell out '.', or use"),
    "other letters": (["日本", "ÉTÉ"], "2 of 2 references", "'É', '日', '本'", "use a model"),
    "many": (["abcdefgh"], "1 of 1 references", "'f' and 2 more", "to upper case"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_written_is_named(case: str) -> None:
    texts, *expected = CASES[case]
    message = str(find_unwritable(texts, UPPER))
    assert [part for part in expected if part not in message] == []
    assert ("case" in message) == (case in ("lower case", "both", "many"))


def test_what_can_be_written_passes() -> None:
    assert find_unwritable(["IT'S  ME", "", "\tA\n"], UPPER) is None  # blanks only separate words
    assert find_unwritable(["E\u0301"], TokenTable.from_texts(["É"])) is None


def test_the_other_way_round_and_a_model_of_single_words() -> None:
    lower = TokenTable.from_texts(["abc"])
    assert "'A' in upper case where the model writes lower case" in str(
        find_unwritable(["A"], lower)
    )
    assert "remove or spell out ' '" in str(find_unwritable(["a b"], lower))
