"""The token table: characters to indices and back."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError, TextError
from asr.text.tokens import BLANK, TokenTable

LETTERS = TokenTable(tuple(" ABC"))

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)


def test_blank_is_0_and_characters_follow_in_order() -> None:
    assert BLANK == 0
    assert len(LETTERS) == 5
    assert LETTERS.encode("AB C") == [2, 3, 1, 4]
    assert LETTERS.decode([2, 3, 1, 4]) == "AB C"


def test_space_is_a_token_where_the_table_has_it() -> None:
    assert LETTERS.space == 1
    assert TokenTable(tuple("\t ABC")).space == 2
    assert TokenTable(tuple("ABC")).space == -1


@given(texts)
def test_table_spells_the_texts_it_was_made_from(texts: list[str]) -> None:
    if not any(texts):
        return
    table = TokenTable.from_texts(texts)

    assert list(table.characters) == sorted(set(table.characters))
    for text in texts:
        tokens = table.encode(text)
        assert all(0 < token < len(table) for token in tokens)
        spelled = "".join(table.characters[token - 1] for token in tokens)
        assert spelled == unicodedata.normalize("NFC", text)
        assert table.decode(tokens) == " ".join(spelled.split())


def test_order_of_the_texts_does_not_matter() -> None:
    assert TokenTable.from_texts(["AB", "C A"]) == TokenTable.from_texts(["C A", "AB"]) == LETTERS


def test_decomposed_letters_are_the_composed_ones() -> None:
    composed, decomposed = "\u00c9T\u00c9", "E\u0301TE\u0301"
    table = TokenTable.from_texts([decomposed])

    assert table.characters == ("T", "\u00c9")
    assert table.encode(decomposed) == table.encode(composed) == [2, 1, 2]
    assert table.unknown(decomposed) == []


def test_letter_without_a_composed_form_is_two_tokens() -> None:
    table = TokenTable.from_texts(["X\u0301"])

    assert table.characters == ("X", "\u0301")
    assert table.decode(table.encode("X\u0301")) == "X\u0301"


def test_unknown_characters_are_named() -> None:
    with pytest.raises(TextError) as error:
        LETTERS.encode("AB-CÉ a-")

    message = str(error.value)
    assert "'AB-CÉ a-'" in message
    assert "'-' (U+002D), 'a' (U+0061), 'É' (U+00C9)" in message
    assert "4 characters ' ABC'" in message
    assert LETTERS.unknown("AB-CÉ a-") == ["-", "a", "É"]


def test_many_unknown_characters_are_counted() -> None:
    with pytest.raises(TextError, match=r"\(U\+0034\) and 2 more, not among") as error:
        LETTERS.encode("0123456" * 1000)

    assert len(str(error.value)) < 300


@pytest.mark.parametrize("character", ["\ufeff", "\r", "\n", "\t", "\u00a0"])
def test_invisible_characters_are_not_mistaken_for_spaces(character: str) -> None:
    with pytest.raises(TextError, match=f"U\\+{ord(character):04X}"):
        LETTERS.encode(f"A{character}B")


@pytest.mark.parametrize("tokens", [[1, 2, 1, 1, 3, 1], [2, 1, 3], [1, 1, 2, 1, 1, 1, 3]])
def test_words_are_parted_by_single_spaces(tokens: list[int]) -> None:
    assert LETTERS.decode(tokens) == "A B"


def test_nothing_decodes_to_nothing() -> None:
    assert LETTERS.decode([]) == ""
    assert LETTERS.decode([1, 1]) == ""
    assert LETTERS.encode("") == []


@pytest.mark.parametrize(
    "characters",
    [("B", "A"), ("A", "A"), ("AB",), ("",), ("A", "BC")],
    ids=["unsorted", "repeated", "two in one", "empty", "one good"],
)
def test_malformed_tables_are_refused(characters: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="distinct single characters in sorted order, found"):
        TokenTable(characters)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_table_needs_a_text(texts: list[str]) -> None:
    with pytest.raises(TextError, match="every transcript is empty"):
        TokenTable.from_texts(texts)
