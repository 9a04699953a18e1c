"""The trie of all prefixes that a search has considered, as growing arrays.

A child is found by a hash of its parent's number and its token. A prefix that left the beam keeps
its node: when it comes back it is the same prefix to its continuations, and its external score need
not be computed again.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import helper
from asr.decode.external_scores import NODE, Nodes
from asr.language.hashing import EMPTY, find_slot, pair_key

Ints = NDArray[np.int64]
Index = NDArray[np.int32]


class Trie(NamedTuple):
    """All prefixes ever considered, each a child of the prefix without its last token."""

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
def resized(nodes: Nodes, used: int, capacity: int) -> Trie:
    """A trie of the first `used` nodes with room for `capacity`."""
    # Loops, not slices and np.full: numba would compile much more for them, error messages about
    # shapes included.
    larger = new_nodes(capacity)
    for node in range(used):
        larger[node] = nodes[node]
    slots = 2
    while slots < 2 * capacity:  # at most half full, so that probes stay short
        slots *= 2
    keys, child = new_ints(slots), new_index(slots)
    for slot in range(slots):
        keys[slot] = EMPTY
    for node in range(1, used):  # the root is nobody's child
        slot = find_slot(keys, larger[node].parent, larger[node].token)
        keys[slot] = pair_key(larger[node].parent, larger[node].token)
        child[slot] = node
    return Trie(larger, keys, child)


@helper
def add_child(trie: Trie, used: int, parent: int, token: int) -> None:
    """Make node number `used` the child of another node; its scores are left to be set."""
    slot = find_slot(trie.keys, parent, token)
    trie.keys[slot] = pair_key(parent, token)
    trie.child[slot] = used
    node = trie.nodes[used]
    node.parent, node.token, node.beam_slot, node.gain = parent, token, -1, 0.0


def tokens_of(nodes: Nodes, node: int) -> tuple[int, ...]:
    """The tokens of a node's prefix."""
    # Plain Python: a hypothesis is short, and compiling takes longer than all of them.
    parents, node_tokens = nodes["parent"], nodes["token"]
    tokens = []
    while (parent := parents.item(node)) >= 0:
        tokens.append(node_tokens.item(node))
        node = parent
    return tuple(reversed(tokens))
