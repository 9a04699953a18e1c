"""Slow and plain statements about automata, to hold the fast code against."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from asr.language.automata.automaton import Automaton
from asr.text.tokens import TokenTable

TABLE = TokenTable((" ", "A", "B"))


def strings(length: int, table: TokenTable = TABLE) -> Iterator[str]:
    """Every string of a table's characters up to a length."""
    for size in range(length + 1):
        for characters in itertools.product(table.characters, repeat=size):
            yield "".join(characters)


def edges_of(automaton: Automaton, state: int) -> dict[int, int]:
    """Token to target, in the order of the arrays."""
    edges = range(automaton.first_edge[state], automaton.first_edge[state + 1])
    return {int(automaton.edge_token[e]): int(automaton.edge_target[e]) for e in edges}


def naive_minimum(automaton: Automaton) -> int:
    """How many states the smallest automaton has, by parting them until nothing changes (Moore).

    Only for automata from whose every state a sentence can be completed.
    """
    states = range(len(automaton.accepting))
    kind = [int(automaton.accepting[state]) for state in states]
    for _ in states:
        views = [
            (
                kind[state],
                *((token, kind[target]) for token, target in edges_of(automaton, state).items()),
            )
            for state in states
        ]
        numbers = {view: number for number, view in enumerate(dict.fromkeys(views))}
        kind = [numbers[view] for view in views]
    return len(set(kind))


def distances(automaton: Automaton, ends: Callable[[int], bool]) -> list[int | None]:
    """The tokens on the shortest way from each state to one of `ends`; None without a way."""
    states = range(len(automaton.accepting))
    found: list[int | None] = [0 if ends(s) else None for s in states]
    for length in states:
        for s in states:
            if found[s] is None and length in map(
                found.__getitem__, edges_of(automaton, s).values()
            ):
                found[s] = length + 1
    return found


def assert_canonical(automaton: Automaton) -> None:
    """Well-formed, deterministic, trimmed, minimal, and numbered breadth first by token."""
    first_edge, edge_token, edge_target, accepting = automaton
    assert [a.dtype for a in automaton] == [np.int32, np.int32, np.int32, np.bool_]
    assert all(a.flags.c_contiguous and a.flags.writeable for a in automaton)
    assert first_edge[0] == 0
    assert first_edge[-1] == len(edge_token) == len(edge_target)
    assert len(first_edge) == len(accepting) + 1
    order = [0]
    for state in order:
        tokens = list(edges_of(automaton, state))
        assert tokens == sorted(set(tokens))
        order += [t for t in dict.fromkeys(edges_of(automaton, state).values()) if t not in order]
    assert order == list(range(len(accepting)))
    assert None not in distances(automaton, lambda s: bool(accepting[s]))
    assert naive_minimum(automaton) == len(accepting)


def assert_equal(first: Automaton, second: Automaton) -> None:
    """The same arrays, which is to say the same language."""
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
