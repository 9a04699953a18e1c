"""Automata over tokens: word lists, and minimal automata of any."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import TextError
from asr.language.automata.automaton import (
    Automaton,
    accepts,
    minimal_automaton,
    read_word_list,
    sentences,
    spelling_trie,
    step,
    word_list,
)
from asr.language.automata.minimise import Edges
from asr.text.tokens import TokenTable
from tests.oracles_automata import (
    TABLE,
    assert_canonical,
    assert_equal,
    edges_of,
    naive_minimum,
    strings,
)

LETTERS = TokenTable(tuple(" ABCDEFGHIJKLMNOPQRSTUVWXYZ"))

word_lists = st.lists(st.text("AB", min_size=1, max_size=4), min_size=1, max_size=8)


@given(word_lists)
def test_word_list_is_words_parted_by_single_spaces(words: list[str]) -> None:
    automaton = word_list(words, TABLE)

    word = "|".join(words)
    expected = re.compile(f"(?:(?:{word})(?: (?:{word}))*)?")
    for text in strings(6):
        assert accepts(automaton, TABLE.encode(text)) == bool(expected.fullmatch(text)), text
    assert_canonical(automaton)


@given(word_lists, st.randoms(use_true_random=False))
def test_order_and_repetition_of_words_change_nothing(
    words: list[str], generator: random.Random
) -> None:
    shuffled = words + words[:2]
    generator.shuffle(shuffled)

    assert_equal(word_list(words, TABLE), word_list(shuffled, TABLE))


@given(word_lists)
def test_without_a_space_a_sentence_is_one_word(words: list[str]) -> None:
    table = TokenTable(("A", "B"))
    automaton = word_list(words, table)

    found = {table.decode(tokens) for tokens in sentences(automaton, 100)}
    assert found == {"", *words}
    assert_canonical(automaton)


def test_many_words() -> None:
    generator = random.Random(0)
    words = {"".join(generator.choices("AEINORST", k=generator.randint(2, 9))) for _ in range(3000)}
    automaton = word_list(sorted(words, reverse=True), LETTERS)

    for _ in range(300):
        text = " ".join(generator.sample(sorted(words), 3))
        assert accepts(automaton, LETTERS.encode(text))
        wrong = "".join(generator.choices("AEINORST", k=generator.randint(2, 9)))
        assert accepts(automaton, LETTERS.encode(wrong)) == (wrong in words)
    trie, _ = spelling_trie([LETTERS.encode(word) for word in sorted(words)])
    assert len(automaton.accepting) < 0.6 * len(trie.accepting)


def test_accents_are_compared_as_one_character() -> None:
    table = TokenTable(("é",))

    assert accepts(word_list(["e\u0301"], table), table.encode("é"))


@st.composite
def automata(draw: st.DrawFn) -> tuple[Edges, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Deterministic, else as they come: dead ends, unreachable states, any language."""
    states = draw(st.integers(1, 7))
    state = st.integers(0, states - 1)
    moves = draw(st.dictionaries(st.tuples(state, st.integers(1, 3)), state, max_size=16))
    columns = [[s for s, _ in moves], [t for _, t in moves], list(moves.values())]
    accepting = draw(st.lists(st.booleans(), min_size=states, max_size=states))
    edges = Edges(*(np.array(column, dtype=np.int32) for column in columns))
    return edges, np.array(accepting, dtype=np.bool_)


@given(automata())
def test_minimal_automaton_keeps_the_language(
    drawn: tuple[Edges, "np.ndarray[tuple[int], np.dtype[np.bool_]]"],
) -> None:
    edges, accepting = drawn
    minimal = minimal_automaton(edges, accepting)

    moves = {(s, t): u for s, t, u in zip(*(a.tolist() for a in edges), strict=True)}
    found = False
    for text in strings(6):
        tokens = TABLE.encode(text)
        state: int | None = 0
        for token in tokens:
            state = None if state is None else moves.get((state, token))
        expected = state is not None and bool(accepting[state])
        assert accepts(minimal, tokens) == expected, tokens
        found |= expected
    if found:
        assert_canonical(minimal)
    else:
        assert [array.tolist() for array in minimal] == [[0, 0], [], [], [False]]


def test_language_without_sentences() -> None:
    edge = np.zeros(1, dtype=np.int32)
    minimal = minimal_automaton(Edges(edge, edge + np.int32(1), edge), np.zeros(1, dtype=np.bool_))

    assert len(minimal.edge_token) == 0
    assert sentences(minimal, 3) == []
    assert not accepts(minimal, [])


def test_long_chain_is_minimised() -> None:
    """Where parting states round by round would take as many rounds as there are states."""
    source = np.arange(100_000, dtype=np.int32)
    accepting = np.zeros(100_001, dtype=np.bool_)
    accepting[-1] = True
    chain = minimal_automaton(Edges(source, np.ones_like(source), source + np.int32(1)), accepting)

    assert len(chain.accepting) == 100_001


@given(word_lists)
def test_step_finds_every_edge_and_no_other(words: list[str]) -> None:
    automaton = word_list(words, TABLE)

    for state in range(len(automaton.accepting)):
        edges = edges_of(automaton, state)
        for token in range(-1, len(TABLE) + 1):
            assert step(automaton, state, token) == edges.get(token, -1)


@given(word_lists, st.integers(0, 30))
def test_sentences_come_shortest_first(words: list[str], limit: int) -> None:
    automaton = word_list(words, TABLE)

    texts = (text for text in strings(5) if accepts(automaton, TABLE.encode(text)))
    expected = [tuple(TABLE.encode(text)) for text in texts][:limit]
    assert sentences(automaton, limit)[: len(expected)] == expected


def test_sentences_of_a_vast_language() -> None:
    table = TokenTable(tuple("0123456789"))
    trie = word_list(["0" * 40], table)
    digits = Automaton(  # any 40 digits
        np.arange(42, dtype=np.int32).clip(max=40) * np.int32(10),
        np.tile(np.arange(1, 11, dtype=np.int32), 40),
        np.repeat(np.arange(1, 41, dtype=np.int32), 10),
        np.arange(41) == 40,
    )

    assert len(sentences(trie, 3)) == 2
    assert sentences(digits, 2) == [(1,) * 40, (1,) * 39 + (2,)]


@given(st.lists(st.lists(st.integers(1, 3), max_size=4).map(tuple), max_size=8))
def test_spelling_trie_ends_where_its_sequences_do(spellings: list[tuple[int, ...]]) -> None:
    trie, ends = spelling_trie(spellings)

    for spelling, end in zip(spellings, ends, strict=True):
        state = 0
        for token in spelling:
            state, before = step(trie, state, token), state
            assert state > before
        assert state == end
    prefixes = {spelling[:i] for spelling in spellings for i in range(len(spelling) + 1)} | {()}
    assert len(trie.accepting) == len(prefixes)
    assert set(np.flatnonzero(trie.accepting)) == set(ends)


def test_naive_minimum_knows_equivalent_states() -> None:
    trie, _ = spelling_trie([(1, 3), (2, 3)])

    assert (len(trie.accepting), naive_minimum(trie)) == (5, 3)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["CAB", "A"], r"found 1 of 2 .*: 'CAB' has 'C'"),
        (["ab"], r"'ab' has 'a', 'b' \(the model writes 'AB'\)"),
        (["A B"], r"'A B' is not one word"),
        ([""], r"'' is not one word"),
        (list("CDEFGHI"), r"found 7 of 7 .*'G' has 'G'; and 2 more; write them as"),
        ([], r"word list: expected at least one word, found none"),
    ],
)
def test_word_list_is_refused(words: list[str], fault: str) -> None:
    with pytest.raises(TextError, match=fault):
        word_list(words, TABLE)


def test_word_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xef\xbb\xbfAB\r\n\r\n B \nAB\n")

    assert_equal(read_word_list(path, TABLE), word_list(["B", "AB"], TABLE))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"A\n\nCAB\n", r"words\.txt: .*found 1 of 2 .*: line 3: 'CAB' has 'C'"),
        (b"A  EY\n", r"line 1: 'A  EY' is not one word"),
        (b"\n \n", r"words\.txt: expected at least one word, found none"),
        (b"A\xff\n", r"words\.txt: cannot read .*expected a UTF-8 text file with one word a line"),
    ],
)
def test_word_list_file_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)

    with pytest.raises(TextError, match=fault):
        read_word_list(path, TABLE)


def test_missing_word_list_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"none\.txt: cannot read the word list"):
        read_word_list(tmp_path / "none.txt", TABLE)
