"""Word lists: what they allow, and which of them are refused."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import TextError
from asr.language.word_list import parse_word_list, read_word_list
from asr.text.tokens import TokenTable
from tests.oracles_automata import (
    TABLE,
    accepts,
    assert_same_language,
    assert_well_formed,
    sentences,
    strings,
    word_list,
)

LETTERS = TokenTable(tuple(" ABCDEFGHIJKLMNOPQRSTUVWXYZ"))

word_lists = st.lists(st.text("AB", min_size=1, max_size=4), min_size=1, max_size=8)


@given(word_lists)
def test_sentences_are_words_separated_by_single_spaces(words: list[str]) -> None:
    automaton = word_list(words, TABLE)

    word = "|".join(words)
    expected = re.compile(f"(?:(?:{word})(?: (?:{word}))*)?")
    for text in strings(6):
        assert accepts(automaton, TABLE.encode(text)) == bool(expected.fullmatch(text)), text
    assert_well_formed(automaton)


@given(word_lists, st.randoms(use_true_random=False))
def test_order_and_repetition_of_words_change_nothing(
    words: list[str], generator: random.Random
) -> None:
    shuffled = words + words[:2]
    generator.shuffle(shuffled)

    assert_same_language(word_list(words, TABLE), word_list(shuffled, TABLE))


@given(word_lists)
def test_without_a_space_a_sentence_is_one_word(words: list[str]) -> None:
    table = TokenTable(("A", "B"))
    automaton = word_list(words, table)

    found = {table.decode(tokens) for tokens in sentences(automaton, 100)}
    assert found == {"", *words}
    assert_well_formed(automaton)


def test_many_words() -> None:
    generator = random.Random(0)
    words = {"".join(generator.choices("AEINORST", k=generator.randint(2, 9))) for _ in range(3000)}
    automaton = word_list(sorted(words, reverse=True), LETTERS)

    for _ in range(300):
        text = " ".join(generator.sample(sorted(words), 3))
        assert accepts(automaton, LETTERS.encode(text))
        wrong = "".join(generator.choices("AEINORST", k=generator.randint(2, 9)))
        assert accepts(automaton, LETTERS.encode(wrong)) == (wrong in words)
    prefixes = {word[:length] for word in words for length in range(len(word) + 1)}
    assert len(automaton.accepting) == len(prefixes) + 1


def test_accents_are_compared_as_one_character() -> None:
    table = TokenTable(("é",))

    assert accepts(word_list(["e\u0301"], table), table.encode("é"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["CAB", "A"], r"found 1 of 2 .*: line 1: 'CAB' has 'C'"),
        (["A", "ab-"], r"found 1 of 2 .*: line 2: 'ab-' has '-', 'a', 'b' \(the model writes 'AB'"),
        (["A B"], r"'A B' is not one word"),
        (list("CDEFGHI"), r"found 7 of 7 .*'G' has 'G'; and 2 more; spell them as"),
        ([], r"word list: expected at least one word, found none"),
    ],
)
def test_word_list_is_refused(words: list[str], error: str) -> None:
    with pytest.raises(TextError, match=error):
        parse_word_list("\n".join(words), TABLE)


def test_word_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xef\xbb\xbfAB\r\n\r\n b \nAb\n")

    assert_same_language(read_word_list(path, TABLE), word_list(["B", "AB"], TABLE))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"A\n\nCAB\n", r"words\.txt: .*found 1 of 2 .*: line 3: 'CAB' has 'C'"),
        (b"A  EY\n", r"line 1: 'A  EY' is not one word"),
        (b"\n \n", r"words\.txt: expected at least one word, found none"),
        (
            b"A\xff\n",
            r"words\.txt: cannot read .*expected a UTF-8 text file with one word per line",
        ),
    ],
)
def test_word_list_file_is_refused(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)

    with pytest.raises(TextError, match=error):
        read_word_list(path, TABLE)


def test_missing_word_list_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"none\.txt: cannot read the word list"):
        read_word_list(tmp_path / "none.txt", TABLE)
