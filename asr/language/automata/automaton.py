"""Deterministic finite automata over tokens: the token sequences that a search may return.

Every automaton made here is trimmed: each of its states lies on a path from the start to an
accepting state, so that a search never spends its beam on a dead end. They are not minimised: over
the 130 recordings of AN4's test set, minimal automata gave the same transcripts in the same time.
Shapes: S states, E edges.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled, helper

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


class Edges(NamedTuple):
    """The transitions of an automaton, in any order; each array is (E,)."""

    source: Ints
    token: Ints
    target: Ints


class Automaton(NamedTuple):
    """Flat arrays for compiled code; state 0 is the start."""

    first_edge: Ints
    """(S + 1,) the edges of state s are `first_edge[s]` to `first_edge[s + 1]`."""
    edge_token: Ints
    """(E,) distinct and increasing within a state."""
    edge_target: Ints
    """(E,)"""
    accepting: Bools
    """(S,) whether a sentence may end here."""


@helper
def step(automaton: Automaton, state: int, token: int) -> int:
    """The state that `token` leads to from `state`; -1 where it is not allowed."""
    # A binary search: the start state of a large word list has an edge for every letter.
    low, end = automaton.first_edge[state], automaton.first_edge[state + 1]
    high = end
    while low < high:
        middle = (low + high) >> 1
        if automaton.edge_token[middle] < token:
            low = middle + 1
        else:
            high = middle
    if low < end and automaton.edge_token[low] == token:
        target: int = automaton.edge_target[low]
        return target
    return -1


def trimmed_automaton(edges: Edges, accepting: Bools) -> Automaton:
    """The automaton of deterministic edges, without states that no sentence goes through.

    The start, state 0, always stays: a language without sentences gives one state that has no edges
    and does not accept. `accepting` is (S,).
    """
    states = len(accepting)
    starts = np.zeros(states, dtype=np.bool_)
    starts[0] = True
    useful = _reachable(starts, *_adjacency(edges.source, edges.target, states))
    useful &= _reachable(accepting, *_adjacency(edges.target, edges.source, states))
    kept = np.flatnonzero(useful[edges.source] & useful[edges.target])
    kept = kept[np.lexsort((edges.token[kept], edges.source[kept]))]
    useful[0] = True
    new_number = useful.cumsum(dtype=np.int32) - np.int32(1)
    return Automaton(
        first_edge=_offsets(new_number[edges.source[kept]], int(useful.sum())),
        edge_token=edges.token[kept],
        edge_target=new_number[edges.target[kept]],
        accepting=accepting[useful],
    )


def _offsets(keys: Ints, count: int) -> Ints:
    """(count + 1,) where the run of each key begins once `keys` are sorted."""
    first = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.bincount(keys, minlength=count), out=first[1:])
    return first


def _adjacency(source: Ints, target: Ints, states: int) -> tuple[Ints, Ints]:
    """The neighbours of state s as `neighbours[first[s] : first[s + 1]]`."""
    return _offsets(source, states), target[np.argsort(source, kind="stable")]


def _reachable(seeds: Bools, first: Ints, neighbours: Ints) -> Bools:
    """(S,) whether a state is a seed or can be reached from one."""
    reached = seeds.copy()
    # A state enters the stack once at most, when it is first reached: S places are enough.
    _reach(reached, first, neighbours, np.empty(len(seeds), dtype=np.int32))
    return reached


@compiled
def _reach(reached: Bools, first: Ints, neighbours: Ints, stack: Ints) -> None:
    """Mark the states that can be reached from those marked already."""
    size = 0
    for state in range(len(reached)):
        if reached[state]:
            stack[size] = state
            size += 1
    while size > 0:
        size -= 1
        state = stack[size]
        for edge in range(first[state], first[state + 1]):
            if not reached[neighbours[edge]]:
                reached[neighbours[edge]] = True
                stack[size] = neighbours[edge]
                size += 1


def spelling_trie(spellings: Sequence[Sequence[int]]) -> tuple[Automaton, Ints]:
    """The trie of token sequences and the state `(len(spellings),)` in which each of them ends.

    Each state has a higher number than its parent; state 0 is the root.
    """
    order = sorted(range(len(spellings)), key=lambda i: tuple(spellings[i]))
    lengths = np.array([len(spellings[i]) for i in order], dtype=np.int64)
    flat = np.array([token for i in order for token in spellings[i]], dtype=np.int32)
    trie, ends = sorted_trie(flat, lengths)
    end_of = np.zeros(len(spellings), dtype=np.int32)
    end_of[order] = ends
    return trie, end_of


def sorted_trie(flat: Ints, lengths: NDArray[np.int64]) -> tuple[Automaton, Ints]:
    """The same of sequences that are sorted: their tokens one after the other, and their lengths.

    No Python object is made for a sequence, of which there may be millions.
    """
    starts = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
    parent, token = np.empty((2, len(flat) + 1), dtype=np.int32)
    ends = np.empty(len(lengths), dtype=np.int32)
    path = np.zeros(int(lengths.max(initial=0)) + 1, dtype=np.int32)
    states = _insert_sorted(flat, starts, parent, token, ends, path)
    parent, token = parent[:states], token[:states]
    by_parent = np.argsort(parent[1:], kind="stable").astype(np.int32)
    first_edge = _offsets(parent[1:], len(parent))
    accepting = np.zeros(len(parent), dtype=np.bool_)
    accepting[ends] = True
    return Automaton(first_edge, token[1:][by_parent], by_parent + np.int32(1), accepting), ends


@compiled
def _insert_sorted(
    flat: Ints, starts: NDArray[np.int64], parent: Ints, token: Ints, ends: Ints, path: Ints
) -> int:
    """Set parent and token of each state, and the end state of each of the sorted sequences.

    Sequence i is `flat[starts[i] : starts[i + 1]]`. Returns how many states there are; `path` is
    room for the states of the longest sequence.
    """
    parent[0], token[0] = -1, 0
    path[0] = 0  # the states of the previous sequence, from the root
    states = 1
    for i in range(len(ends)):
        length = starts[i + 1] - starts[i]
        # In sorted order a sequence shares its longest known prefix with the one just before it:
        # no lookup in the trie is needed to find where the two part.
        shared = 0
        if i > 0:
            previous = starts[i] - starts[i - 1]
            while (
                shared < length
                and shared < previous
                and flat[starts[i] + shared] == flat[starts[i - 1] + shared]
            ):
                shared += 1
        for depth in range(shared, length):
            parent[states] = path[depth]
            token[states] = flat[starts[i] + depth]
            path[depth + 1] = states
            states += 1
        ends[i] = path[length]
    return states
