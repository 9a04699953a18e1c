"""Automata over tokens: steps, trimming, tries."""

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asr.language.automata.automaton import Edges, spelling_trie, step, trimmed_automaton
from tests.oracles_automata import (
    TABLE,
    accepts,
    assert_same_language,
    assert_well_formed,
    edges_of,
    sentences,
    strings,
    word_list,
)

Drawn: TypeAlias = tuple[Edges, NDArray[np.bool_]]


@st.composite
def automata(draw: st.DrawFn) -> Drawn:
    """Deterministic edges, dead ends and unreachable states among them, of any language."""
    states = draw(st.integers(1, 7))
    state = st.integers(0, states - 1)
    moves = draw(st.dictionaries(st.tuples(state, st.integers(1, 3)), state, max_size=16))
    columns = [[s for s, _ in moves], [t for _, t in moves], list(moves.values())]
    accepting = draw(st.lists(st.booleans(), min_size=states, max_size=states))
    edges = Edges(*(np.array(column, dtype=np.int32) for column in columns))
    return edges, np.array(accepting, dtype=np.bool_)


@given(automata())
def test_trimming_keeps_the_language(drawn: Drawn) -> None:
    edges, accepting = drawn
    trimmed = trimmed_automaton(edges, accepting)

    moves = {(s, t): u for s, t, u in zip(*(a.tolist() for a in edges), strict=True)}
    found = False
    for text in strings(6):
        tokens = TABLE.encode(text)
        state: int | None = 0
        for token in tokens:
            state = None if state is None else moves.get((state, token))
        expected = state is not None and bool(accepting[state])
        assert accepts(trimmed, tokens) == expected, tokens
        found |= expected
    if found:
        assert_well_formed(trimmed)
    else:
        assert [array.tolist() for array in trimmed] == [[0, 0], [], [], [False]]


def test_language_without_sentences() -> None:
    edge = np.zeros(1, dtype=np.int32)
    trimmed = trimmed_automaton(Edges(edge, edge + np.int32(1), edge), np.zeros(1, dtype=np.bool_))

    assert len(trimmed.edge_token) == 0
    assert sentences(trimmed, 3) == []
    assert not accepts(trimmed, [])


def test_long_chain_stays_whole() -> None:
    """Where looking for useful states round by round would take a round for each state."""
    source = np.arange(100_000, dtype=np.int32)
    accepting = np.zeros(100_001, dtype=np.bool_)
    accepting[-1] = True
    chain = trimmed_automaton(Edges(source, np.ones_like(source), source + np.int32(1)), accepting)

    assert len(chain.accepting) == 100_001


def test_edges_are_sorted() -> None:
    columns = ([1, 0, 0], [1, 2, 1], [1, 1, 1])
    edges = Edges(*(np.array(column, dtype=np.int32) for column in columns))

    trimmed = trimmed_automaton(edges, np.array([False, True]))

    assert trimmed.first_edge.tolist() == [0, 2, 3]
    assert trimmed.edge_token.tolist() == [1, 2, 1]


@given(st.lists(st.text("AB", min_size=1, max_size=4), min_size=1, max_size=8))
def test_step_finds_every_edge_and_no_other(words: list[str]) -> None:
    automaton = word_list(words, TABLE)

    for state in range(len(automaton.accepting)):
        edges = edges_of(automaton, state)
        for token in range(-1, len(TABLE) + 1):
            assert step(automaton, state, token) == edges.get(token, -1)


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


def test_oracle_compares_languages_not_arrays() -> None:
    trie, _ = spelling_trie([(1, 3), (2, 3)])
    columns = ([0, 0, 1], [1, 2, 3], [1, 1, 2])
    edges = Edges(*(np.array(column, dtype=np.int32) for column in columns))
    shared = trimmed_automaton(edges, np.array([False, False, True]))

    assert (len(trie.accepting), len(shared.accepting)) == (5, 3)
    assert_same_language(trie, shared)
    with pytest.raises(AssertionError):
        assert_same_language(trie, spelling_trie([(1, 3), (2, 3), (2,)])[0])
    with pytest.raises(AssertionError):
        assert_same_language(trie, spelling_trie([(1, 3), (2, 2)])[0])
