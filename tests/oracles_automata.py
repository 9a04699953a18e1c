"""Slow and simple functions on automata, to check the fast code against."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from asr.language.automata.automaton import Automaton
from asr.language.word_list import parse_word_list
from asr.text.tokens import TokenTable

TABLE = TokenTable((" ", "A", "B"))


def strings(length: int, table: TokenTable = TABLE) -> Iterator[str]:
    """Every string of a table's characters up to a length."""
    for size in range(length + 1):
        for characters in itertools.product(table.characters, repeat=size):
            yield "".join(characters)


def word_list(words: Iterable[str], table: TokenTable) -> Automaton:
    """The automaton of a word list."""
    return parse_word_list("\n".join(words), table)


def edges_of(automaton: Automaton, state: int) -> dict[int, int]:
    """Token to target, in the order of the arrays."""
    edges = range(automaton.first_edge[state], automaton.first_edge[state + 1])
    return {int(automaton.edge_token[e]): int(automaton.edge_target[e]) for e in edges}


def accepts(automaton: Automaton, tokens: Iterable[int]) -> bool:
    """Whether a token sequence (no blanks) is a sentence of the automaton."""
    state: int | None = 0
    for token in tokens:
        state = None if state is None else edges_of(automaton, state).get(token)
    return state is not None and bool(automaton.accepting[state])


def sentences(automaton: Automaton, limit: int) -> list[tuple[int, ...]]:
    """The first `limit` sentences of a trimmed automaton, shortest first, then by their tokens."""
    found: list[tuple[int, ...]] = []
    level: list[tuple[tuple[int, ...], int]] = [((), 0)]
    while level and len(found) < limit:
        found += [tokens for tokens, state in level if automaton.accepting[state]]
        level = [
            ((*tokens, token), target)
            for tokens, state in level
            for token, target in edges_of(automaton, state).items()
        ]
    return found[:limit]


def distances(automaton: Automaton, ends: Callable[[int], bool]) -> list[int | None]:
    """The tokens on the shortest path from each state to one of `ends`; None without a path."""
    states = range(len(automaton.accepting))
    found: list[int | None] = [0 if ends(s) else None for s in states]
    for length in states:
        for s in states:
            if found[s] is None and length in map(
                found.__getitem__, edges_of(automaton, s).values()
            ):
                found[s] = length + 1
    return found


def assert_well_formed(automaton: Automaton) -> None:
    """Arrays as documented, deterministic, and trimmed."""
    first_edge, edge_token, edge_target, accepting = automaton
    assert [a.dtype for a in automaton] == [np.int32, np.int32, np.int32, np.bool_]
    assert all(a.flags.c_contiguous and a.flags.writeable for a in automaton)
    assert first_edge[0] == 0
    assert first_edge[-1] == len(edge_token) == len(edge_target)
    assert len(first_edge) == len(accepting) + 1
    reached = [0]
    for state in reached:
        tokens = list(edges_of(automaton, state))
        assert tokens == sorted(set(tokens))
        reached += [
            t for t in dict.fromkeys(edges_of(automaton, state).values()) if t not in reached
        ]
    assert sorted(reached) == list(range(len(accepting)))
    assert None not in distances(automaton, lambda s: bool(accepting[s]))


def assert_same_language(first: Automaton, second: Automaton) -> None:
    """That two trimmed automata allow the same sentences.

    Since every edge leads to some sentence, they do if and only if following the same tokens in
    both, wherever they lead, always finds states with the same tokens that both accept or neither.
    """
    pairs = [(0, 0)]
    seen = set(pairs)
    for one, other in pairs:
        assert first.accepting[one] == second.accepting[other]
        edges, other_edges = edges_of(first, one), edges_of(second, other)
        assert edges.keys() == other_edges.keys()
        reached = {(edges[token], other_edges[token]) for token in edges} - seen
        seen |= reached
        pairs += reached
