"""Grapheme clusters as tokens: how text is split into them, and what their table refuses."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError, TextError
from asr.text.tokens import TokenTable, is_loose, split_text
from asr.text.unwritable import find_unwritable

BY_HAND = {
    "Yoruba": ("ẹ́kọ́", ["ẹ\u0301", "k", "ọ\u0301"]),
    "Lithuanian": ("krė\u0303sti", ["k", "r", "ė\u0303", "s", "t", "i"]),
    "Devanagari": ("किताब", ["कि", "ता", "ब"]),
    "Devanagari conjunct": ("हिन्दी", ["हि", "न्दी"]),
    "Tamil": ("தமிழ்", ["த", "மி", "ழ்"]),
    "Thai": ("น้ำ ก็", ["น้ำ", " ", "ก็"]),
    "Arabic with vowels": ("كِتَاب", ["كِ", "تَ", "ا", "ب"]),
    "Hangul": ("한글 ㅋ", ["한", "글", " ", "ㅋ"]),
    "emoji": ("👩\u200d💻👍🏽🇩🇪🇫🇷", ["👩\u200d💻", "👍🏽", "🇩🇪", "🇫🇷"]),
    "composed": ("e\u0301te\u0301", ["é", "t", "é"]),
    "space before a mark": ("a \u0301b", ["a", " ", "\u0301", "b"]),
    "other white space": ("a\u3000\u0301\r\n", ["a", "\u3000", "\u0301", "\r", "\n"]),
    "loose mark": ("\u0301a", ["\u0301", "a"]),
    "nothing": ("", []),
}

marks = st.sampled_from("\u0301\u0323\u0303\u0304\u093f\u094d\u0e33\u200d\u0fb7")
"""Combining marks, vowel signs, a virama, a joiner."""
texts = st.lists(
    st.text(st.sampled_from(" aeẹėकषก가👩\u00a0\n") | marks)
    | st.text(st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("case", BY_HAND)
def test_splits_by_hand(case: str) -> None:
    text, expected = BY_HAND[case]
    assert split_text(text, "graphemes") == expected
    assert split_text(text, "characters") == list(unicodedata.normalize("NFC", text))


@given(texts)
def test_characters_are_the_text_and_each_stays_whole(texts: list[str]) -> None:
    for text in texts:
        found = split_text(text, "graphemes")
        assert "".join(found) == unicodedata.normalize("NFC", text)
        for character in found:
            assert split_text(character, "graphemes") == [character]
            assert len(character) == 1 or not any(map(str.isspace, character))


@given(texts)
def test_table_spells_the_texts_it_was_made_from(texts: list[str]) -> None:
    characters = {c for text in texts for c in split_text(text, "graphemes")}
    if all(map(is_loose, characters)):
        with pytest.raises(TextError, match="every transcript is empty"):
            TokenTable.from_texts(texts, "graphemes")
        return
    table = TokenTable.from_texts(texts, "graphemes")
    assert set(table.characters) == {c for c in characters if not is_loose(c)}
    for text in texts:
        loose = [c for c in table.split(text) if is_loose(c)]
        assert table.unknown(text) == sorted(set(loose))
        if not loose:
            tokens = table.encode(text)
            spelled = "".join(table.characters[token - 1] for token in tokens)
            assert spelled == unicodedata.normalize("NFC", text)


@given(texts, st.data())
def test_no_sequence_of_tokens_has_a_loose_mark(texts: list[str], data: st.DataObject) -> None:
    table = TokenTable.from_texts([*texts, "a"], "graphemes")
    tokens = data.draw(st.lists(st.integers(1, len(table) - 1), max_size=8))
    assert not any(map(is_loose, split_text(table.decode(tokens), "graphemes")))
    raw = "".join(table.characters[token - 1] for token in tokens)
    assert not any(map(is_loose, split_text(raw, "graphemes")))


@pytest.mark.parametrize("character", ["a", " ", "ẹ\u0301", "한", "ก", "👩", "\u0915\u094d"])
def test_what_stands_alone_is_not_loose(character: str) -> None:
    assert not is_loose(character)


@pytest.mark.parametrize("character", ["\u0301", "\u0301\u0323", "\u093f", "\u0e33", "\u200d"])
def test_what_needs_a_letter_before_it_is_loose(character: str) -> None:
    assert is_loose(character)


def test_a_cluster_is_known_whole_or_not_at_all() -> None:
    table = TokenTable((" ", "e", "ẹ"), "graphemes")
    assert table.encode("e ẹ") == [2, 1, 3]
    assert table.unknown("e ẹ\u0301 e\u0304") == ["ē", "ẹ\u0301"]
    with pytest.raises(TextError, match=r"has 'ẹ\u0301' \(U\+1EB9 U\+0301\), not among"):
        table.encode("ẹ\u0301")
    with pytest.raises(TextError, match=r"U\+0301"):
        table.encode("e \u0301")
    assert table.space == 1
    assert table != TokenTable((" ", "e", "ẹ"))


@pytest.mark.parametrize(
    "characters",
    [("b", "a"), ("a", "a"), ("",), ("a", "\u0301"), (" \u0301",), ("a", "\u0e33"), ("a b",)],
    ids=["unsorted", "repeated", "empty", "loose", "space", "loose vowel", "words"],
)
def test_malformed_tables_are_refused(characters: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="distinct grapheme clusters in sorted order, found"):
        TokenTable(characters, "graphemes")


def test_units_are_one_of_two() -> None:
    with pytest.raises(ConfigError, match="units characters or graphemes, found 'words'"):
        TokenTable(("a",), "words")  # type: ignore[arg-type]


def test_what_a_model_of_clusters_cannot_write_is_named() -> None:
    table = TokenTable.from_texts(["Ẹ\u0301 a"], "graphemes")
    message = str(find_unwritable(["ẹ\u0301", "a \u0301"], table))
    assert message.startswith("2 of 2 references have characters that the model does not write")
    assert "'ẹ\u0301' in lower case where the model writes upper case" in message
    assert "remove marks that no letter stands before (U+0301)" in message
    assert "spell out" not in message
