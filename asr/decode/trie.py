"""The trie of the prefixes that a search has considered, as growing arrays.

A child is found by a hash of its parent's number and its token. A prefix that left the beam keeps
its node while the beam holds one that begins with it: when it comes back it is the same prefix to
its continuations. The nodes of others are reclaimed when the arrays are full, so that their size
depends on the beam and not on how much was searched.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import helper
from asr.decode.external_scores import NODE, Nodes
from asr.language.hashing import EMPTY, find_slot, pair_key

Ints = NDArray[np.int64]
Index = NDArray[np.int32]


class Trie(NamedTuple):
    """Prefixes, each a child of the prefix without its last token."""

    nodes: Nodes
    keys: Ints
    """Hash table of (node, token) for finding a node's child."""
    child: Index
    """The child in each slot of the table."""


@helper
def new_nodes(count: int) -> Nodes:
    """So many nodes, not set. (One function for each type: numba compiles np.empty at each use.)"""
    return np.empty(count, NODE)


@helper
def new_ints(count: int) -> Ints:
    """So many int64, not set."""
    return np.empty(count, np.int64)


@helper
def new_index(count: int) -> Index:
    """So many int32, not set."""
    return np.empty(count, np.int32)


@helper
def reclaimed(nodes: Nodes, used: int, most: int) -> tuple[Trie, int]:
    """A trie of those of the first `used` nodes that the beam needs, with room for `most` more.

    They are the prefixes in the beam and what these begin with; their order stays. No other can be
    met again: a prefix that left the beam is looked for only as the child of one that is in it or
    above one. Returns how many nodes are left, too.
    """
    moved = new_index(used)
    for node in range(used):
        moved[node] = nodes[node].beam_slot
    live = 0
    for node in range(used - 1, -1, -1):  # a parent stands before its children
        if moved[node] >= 0:
            live += 1
            if nodes[node].parent >= 0:
                moved[nodes[node].parent] = 0
    # At least half of the room is free then: reclaiming is rare, and the trie stays small.
    capacity = len(nodes)
    if capacity < 8 * (live + most):
        capacity = 8 * (live + most)
    # Loops, not slices and np.full: numba would compile much more for them, error messages about
    # shapes included.
    kept = new_nodes(capacity)
    slots = 2
    while slots < 2 * capacity:  # at most half full, so that probes stay short
        slots *= 2
    keys, child = new_ints(slots), new_index(slots)
    for slot in range(slots):
        keys[slot] = EMPTY
    live = 0
    for node in range(used):
        if moved[node] < 0:
            continue
        moved[node] = live
        kept[live] = nodes[node]
        if nodes[node].parent >= 0:  # the root is nobody's child
            parent, token = moved[nodes[node].parent], nodes[node].token
            kept[live].parent = parent
            slot = find_slot(keys, parent, token)
            keys[slot], child[slot] = pair_key(parent, token), live
        live += 1
    return Trie(kept, keys, child), live


@helper
def add_child(trie: Trie, used: int, parent: int, token: int) -> None:
    """Make node number `used` the child of another node; its scores are left to be set."""
    slot = find_slot(trie.keys, parent, token)
    trie.keys[slot] = pair_key(parent, token)
    trie.child[slot] = used
    node = trie.nodes[used]
    node.parent, node.token, node.beam_slot, node.gain = parent, token, -1, 0.0


def tokens_of(nodes: Nodes, node: int) -> tuple[int, ...]:
    """The tokens of a node's prefix, from the root."""
    # Plain Python: a hypothesis is short, and compiling takes longer than all of them.
    parents, node_tokens = nodes["parent"], nodes["token"]
    tokens = []
    while (parent := parents.item(node)) >= 0:
        tokens.append(node_tokens.item(node))
        node = parent
    return tuple(reversed(tokens))


def path_to(nodes: Nodes, node: int) -> list[int]:
    """The nodes from the root, which is left out, to a node: one for each token."""
    parents = nodes["parent"]
    path = []
    while (parent := parents.item(node)) >= 0:
        path.append(node)
        node = parent
    return path[::-1]


def common_ancestor(nodes: Nodes, ends: Iterable[int]) -> int:
    """The last node that all paths from the root to some nodes go through."""
    parents = nodes["parent"]
    # A parent stands before its children: the last one of several nodes is above none of them.
    waiting = [-node for node in set(ends)]
    heapify(waiting)
    while len(waiting) > 1:
        last = -heappop(waiting)
        if -waiting[0] != last:
            heappush(waiting, -parents.item(last))
    return -waiting[0]
