"""Nondeterministic automata: the subset construction and its limit on size."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.language.automata.automaton import trimmed_automaton
from asr.language.automata.nondeterministic import (
    END,
    AutomatonSizeError,
    NondeterministicAutomaton,
)
from tests.oracles_automata import accepts, assert_well_formed

SEPARATOR, A, B = 1, 2, 3

sequences = st.lists(st.sampled_from([A, B]), max_size=4).map(tuple)


def chain(automaton: NondeterministicAutomaton, tokens: tuple[int, ...], after: int) -> int:
    """The state that reads some tokens, then continues in `after`."""
    for token in reversed(tokens):
        after = automaton.token_state(token, after)
    return after


@given(st.sets(sequences, min_size=1, max_size=6))
def test_choice_of_sequences(alternatives: set[tuple[int, ...]]) -> None:
    states = NondeterministicAutomaton(1000)
    end = states.token_state(SEPARATOR, END)
    start = states.epsilon_state(chain(states, tokens, end) for tokens in alternatives)

    automaton = trimmed_automaton(*states.determinise(start, SEPARATOR))

    assert_well_formed(automaton)
    for size in range(5):
        for tokens in product([A, B], repeat=size):
            assert accepts(automaton, tokens) == (tokens in alternatives)


@given(sequences.filter(bool))
def test_loop(tokens: tuple[int, ...]) -> None:
    states = NondeterministicAutomaton(1000)
    again = states.epsilon_state([states.token_state(SEPARATOR, END)])
    states.add_epsilon(again, chain(states, tokens, again))

    automaton = trimmed_automaton(*states.determinise(again, SEPARATOR))

    for times in range(4):
        assert accepts(automaton, tokens * times)
    assert not accepts(automaton, (*tokens, A, B, A, B, B))


def test_separator_is_dropped_at_the_end_alone() -> None:
    states = NondeterministicAutomaton(1000)
    start = chain(states, (A, SEPARATOR, B, SEPARATOR), END)

    automaton = trimmed_automaton(*states.determinise(start, SEPARATOR))

    assert accepts(automaton, (A, SEPARATOR, B))
    assert not accepts(automaton, (A, SEPARATOR, B, SEPARATOR))
    assert not accepts(automaton, (A,))


def test_common_endings_are_built_once() -> None:
    states = NondeterministicAutomaton(1000)

    assert states.token_state(A, END) == states.token_state(A, END)
    assert states.token_state(A, END) != states.token_state(B, END)
    assert states.epsilon_state([END]) != states.epsilon_state([END])


def test_empty_sentence_is_accepted() -> None:
    states = NondeterministicAutomaton(10)
    start = states.epsilon_state([END, states.token_state(SEPARATOR, END)])

    _, accepting = states.determinise(start, SEPARATOR)

    assert accepting[0]


def test_size_is_limited() -> None:
    states = NondeterministicAutomaton(3)
    chain(states, (A, B, A), END)

    with pytest.raises(AutomatonSizeError):
        states.token_state(B, END)


def test_subsets_count_towards_the_size() -> None:
    """(A | B)* A (A | B) … needs a subset for each of the last tokens' combinations."""
    states = NondeterministicAutomaton(2000)
    after = states.token_state(SEPARATOR, END)
    for _ in range(20):
        after = states.epsilon_state([states.token_state(t, after) for t in (A, B)])
    start = states.epsilon_state([states.token_state(A, after)])
    for token in (A, B):
        states.add_epsilon(start, states.token_state(token, start))

    with pytest.raises(AutomatonSizeError):
        states.determinise(start, SEPARATOR)
