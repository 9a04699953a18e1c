"""The trie of all prefixes that a search has considered, as growing arrays.

A child is found by a hash of its parent's number and its token; a prefix that left the beam keeps
its node, so that it is the same prefix to its continuations when it comes back.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.decode.knowledge import NODE, Nodes
from asr.language.hashing import EMPTY, find_slot, pair_key

Ints = NDArray[np.int64]
Index = NDArray[np.int32]


class Trie(NamedTuple):
    """All prefixes ever considered, each a child of its beginning."""

    nodes: Nodes
    keys: Ints
    """Hash table of (node, token) for finding a node's child."""
    child: Index
    """The child in each slot of the table."""


@compiled
def grown(trie: Trie, used: int, capacity: int) -> Trie:
    """The trie, of `used` nodes, with room for `capacity`."""
    nodes = np.empty(capacity, NODE)
    nodes[:used] = trie.nodes[:used]
    slots = 2
    while slots < 2 * capacity:
        slots *= 2
    keys, child = np.full(slots, EMPTY, np.int64), np.empty(slots, np.int32)
    for node in range(1, used):
        slot = find_slot(keys, nodes[node].parent, nodes[node].token)
        keys[slot] = pair_key(nodes[node].parent, nodes[node].token)
        child[slot] = node
    return Trie(nodes, keys, child)


@compiled
def new_trie(capacity: int) -> Trie:
    """Room for `capacity` nodes; the root is left to be set."""
    nothing = Trie(np.empty(0, NODE), np.empty(0, np.int64), np.empty(0, np.int32))
    return grown(nothing, 0, capacity)


@compiled
def add_child(trie: Trie, used: int, parent: int, token: int) -> None:
    """Make node number `used` the child of another one; its score is left as that one's."""
    slot = find_slot(trie.keys, parent, token)
    trie.keys[slot] = pair_key(parent, token)
    trie.child[slot] = used
    node = trie.nodes[used]
    node.parent, node.token, node.slot, node.gain = parent, token, -1, 0.0


@compiled
def spelled(nodes: Nodes, at: int) -> Index:
    """The tokens of a node's prefix."""
    length, node = 0, at
    while nodes[node].parent >= 0:
        length += 1
        node = nodes[node].parent
    tokens = np.empty(length, np.int32)
    node = at
    for i in range(length - 1, -1, -1):
        tokens[i] = nodes[node].token
        node = nodes[node].parent
    return tokens
