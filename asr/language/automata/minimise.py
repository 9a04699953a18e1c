"""The smallest deterministic automaton with the same language, in O(E log E).

Source: Valmari, "Fast brief practical DFA minimization", Information Processing Letters 112, 2012.
Two partitions refine each other: states are parted by the sets of transitions that leave them,
transitions by their token and the set of states that they enter. At the end the states of a set
are equivalent. Shapes: S states, E edges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


class Edges(NamedTuple):
    """The transitions of an automaton, in any order; each array is (E,)."""

    source: Ints
    token: Ints
    target: Ints


def minimised(edges: Edges, accepting: Bools) -> tuple[Edges, Bools]:
    """The minimal automaton of a deterministic one, start and result in state 0.

    States from which no sentence can be completed are gone, except for the start. The others are
    numbered in the order of their discovery, breadth first by token, and edges are sorted by
    source and token, so that equal languages give equal arrays.
    """
    edges, accepting = _trimmed(edges, accepting)
    by_target, first_incoming = _grouped(edges.target, len(accepting))
    states, transitions = _partition(accepting.astype(np.int32)), _partition(edges.token)
    _refine(states, transitions, edges.source, first_incoming, by_target)
    return _numbered(_quotient(edges, states), accepting, states)


def _trimmed(edges: Edges, accepting: Bools) -> tuple[Edges, Bools]:
    """Without the states that are not on a way from the start to an end; the start stays."""
    outwards, first_outgoing = _grouped(edges.source, len(accepting))
    inwards, first_incoming = _grouped(edges.target, len(accepting))
    start = np.zeros(len(accepting), dtype=np.bool_)
    start[0] = True
    useful = _reached(start, first_outgoing, edges.target[outwards])
    useful &= _reached(accepting, first_incoming, edges.source[inwards])
    kept = useful[edges.source] & useful[edges.target]
    useful[0] = True
    number = useful.cumsum(dtype=np.int32) - np.int32(1)
    source, token, target = (array[kept] for array in edges)
    return Edges(number[source], token, number[target]), accepting[useful]


def _grouped(keys: Ints, count: int) -> tuple[Ints, Ints]:
    """Indices by key, and (count + 1,) where those of each key begin."""
    first = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(np.bincount(keys, minlength=count), out=first[1:])
    return np.argsort(keys, kind="stable").astype(np.int32), first


@compiled
def _reached(seeds: Bools, first: Ints, neighbour: Ints) -> Bools:
    """(S,) whether a state is a seed or has a way from one."""
    reached = seeds.copy()
    stack = np.empty(len(seeds), dtype=np.int32)
    waiting = 0
    for state in range(len(seeds)):
        if seeds[state]:
            stack[waiting] = state
            waiting += 1
    while waiting > 0:
        waiting -= 1
        state = stack[waiting]
        for edge in range(first[state], first[state + 1]):
            if not reached[neighbour[edge]]:
                reached[neighbour[edge]] = True
                stack[waiting] = neighbour[edge]
                waiting += 1
    return reached


class _Partition(NamedTuple):
    """Elements in disjoint sets, of which each is a run in `order`; its marked ones stand first."""

    order: Ints
    place: Ints
    """Where an element stands in `order`."""
    set_of: Ints
    first: Ints
    """Where a set begins, and in `end` where the next element of another set stands."""
    end: Ints
    marked: Ints
    """How many elements of a set are marked."""
    touched: Ints
    """The sets with marked elements, a stack."""
    counts: Ints
    """How many sets there are; how many are touched."""


def _partition(labels: Ints) -> _Partition:
    """Sets of equal labels."""
    size = len(labels)
    distinct, set_of = np.unique(labels, return_inverse=True)
    order, bounds = _grouped(set_of.astype(np.int32), len(distinct))
    place = np.empty(size, dtype=np.int32)
    place[order] = np.arange(size, dtype=np.int32)
    first, end = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.int32)
    first[: len(distinct)], end[: len(distinct)] = bounds[:-1], bounds[1:]
    marked, touched = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.int32)
    counts = np.array([len(distinct), 0], dtype=np.int32)
    return _Partition(order, place, set_of.astype(np.int32), first, end, marked, touched, counts)


@compiled
def _mark(partition: _Partition, element: int) -> None:
    """Mark an element that is not marked."""
    its_set, place = partition.set_of[element], partition.place[element]
    border = partition.first[its_set] + partition.marked[its_set]
    other = partition.order[border]
    partition.order[border], partition.order[place] = element, other
    partition.place[element], partition.place[other] = border, place
    if partition.marked[its_set] == 0:
        partition.touched[partition.counts[1]] = its_set
        partition.counts[1] += 1
    partition.marked[its_set] += 1


@compiled
def _split(partition: _Partition) -> None:
    """Part marked from unmarked elements, the smaller half as a new set, and unmark all."""
    while partition.counts[1] > 0:
        partition.counts[1] -= 1
        old, new = partition.touched[partition.counts[1]], partition.counts[0]
        first, end = partition.first[old], partition.end[old]
        border = first + partition.marked[old]
        partition.marked[old] = 0
        if border == end:
            continue
        if border - first <= end - border:
            partition.first[new], partition.end[new] = first, border
            partition.first[old] = border
        else:
            partition.first[new], partition.end[new] = border, end
            partition.end[old] = border
        for place in range(partition.first[new], partition.end[new]):
            partition.set_of[partition.order[place]] = new
        partition.counts[0] += 1


@compiled
def _refine(
    states: _Partition, edges: _Partition, source: Ints, first_incoming: Ints, incoming: Ints
) -> None:
    """Part states until those of a set have the same tokens, each leading into one set.

    The first set of states need not part the edges: they are parted by all others.
    """
    states_done, edges_done = 1, 0
    while edges_done < edges.counts[0]:
        for place in range(edges.first[edges_done], edges.end[edges_done]):
            _mark(states, source[edges.order[place]])
        _split(states)
        edges_done += 1
        while states_done < states.counts[0]:
            for place in range(states.first[states_done], states.end[states_done]):
                state = states.order[place]
                for i in range(first_incoming[state], first_incoming[state + 1]):
                    _mark(edges, incoming[i])
            _split(edges)
            states_done += 1


def _quotient(edges: Edges, states: _Partition) -> Edges:
    """The edges between the sets of states, by source and token."""
    representative = states.order[states.first[: states.counts[0]]]
    is_one = np.zeros(len(states.order), dtype=np.bool_)
    is_one[representative] = True
    kept = np.flatnonzero(is_one[edges.source])
    kept = kept[np.lexsort((edges.token[kept], states.set_of[edges.source[kept]]))]
    return Edges(
        states.set_of[edges.source[kept]], edges.token[kept], states.set_of[edges.target[kept]]
    )


def _numbered(edges: Edges, accepting: Bools, states: _Partition) -> tuple[Edges, Bools]:
    """The sets of states numbered in the order of their discovery; `edges` by source and token."""
    count = int(states.counts[0])
    _, first = _grouped(edges.source, count)
    discovered = _breadth_first(int(states.set_of[0]), first, edges.target)
    number = np.empty(count, dtype=np.int32)
    number[discovered] = np.arange(count, dtype=np.int32)
    order = np.argsort(number[edges.source], kind="stable")
    source, token, target = (array[order] for array in edges)
    representative = states.order[states.first[:count]]
    return Edges(number[source], token, number[target]), accepting[representative[discovered]]


@compiled
def _breadth_first(start: int, first: Ints, target: Ints) -> Ints:
    """The states in the order of their discovery; all have a way from the start."""
    count = len(first) - 1
    queue = np.empty(count, dtype=np.int32)
    seen = np.zeros(count, dtype=np.bool_)
    queue[0] = start
    seen[start] = True
    filled = 1
    for head in range(count):
        for edge in range(first[queue[head]], first[queue[head] + 1]):
            if not seen[target[edge]]:
                seen[target[edge]] = True
                queue[filled] = target[edge]
                filled += 1
    return queue
