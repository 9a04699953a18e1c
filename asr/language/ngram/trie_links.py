"""The n-grams of a model as a trie: the context and the suffix of each.

The context of an n-gram is all but its last word, its parent in the trie. Its suffix is the longest
n-gram of the model that it ends in, where a search continues after it.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.language.hashing import EMPTY, empty_table, find_slot, pair_key
from asr.language.ngram.table import NgramTable

Indices = NDArray[np.int32]


class NgramError(Exception):
    """An n-gram that cannot be part of a model: its position in the table, and why."""

    def __init__(self, order: int, row: int, reason: str) -> None:
        super().__init__(f"{order}-gram {row}: {reason}")
        self.order, self.row, self.reason = order, row, reason


def link_ngrams(table: NgramTable, offsets: NDArray[np.int64]) -> tuple[Indices, Indices]:
    """The context and the suffix of each n-gram; suffixes are below the highest order.

    N-grams of all orders are numbered in one sequence, those of order k from `offsets[k - 1]`; 0 is
    the empty n-gram. Raises NgramError on a repeated n-gram and on one without its context.
    """
    total = int(offsets[-1])
    context, suffix = np.zeros(total, dtype=np.int32), np.zeros(total, dtype=np.int32)
    keys = empty_table(total)
    values = np.zeros(len(keys), dtype=np.int32)
    for order in range(2, table.order + 1):
        first = int(offsets[order - 1])
        grams = np.ascontiguousarray(table.grams[order - 1])
        row, repeats = _link_order(grams, first, keys, values, context, suffix)
        if repeats:
            raise NgramError(order, row, "is already on an earlier line")
        if row < len(table.grams[order - 1]):
            raise NgramError(
                order,
                row,
                f"its first words are not among the {order - 1}-grams; build the model with a tool "
                "that keeps the contexts of its n-grams",
            )
    return context, suffix


@compiled
def _link_order(
    grams: Annotated[Indices, 2],
    first: int,
    keys: NDArray[np.int64],
    values: NDArray[np.int32],
    context: Indices,
    suffix: Indices,
) -> tuple[int, bool]:
    """Link the n-grams of one order to the shorter ones; they are numbered from `first`.

    `keys` and `values` map (n-gram, word) to the n-gram with that word appended. Returns the row it
    stopped at, and whether that is because the n-gram is a repetition.
    """
    rows, order = grams.shape
    for row in range(rows):
        node: int = 1 + grams[row, 0]
        for place in range(1, order - 1):  # walk down to the context
            slot = find_slot(keys, node, grams[row, place])
            if keys[slot] == EMPTY:
                return row, False
            node = values[slot]
        word = grams[row, order - 1]
        slot = find_slot(keys, node, word)
        if keys[slot] != EMPTY:
            return row, True
        keys[slot], values[slot] = pair_key(node, word), first + row
        context[first + row] = node
        # The suffix of (context, word) is the longest suffix of the context that `word` can follow,
        # with it: shorter and shorter suffixes are tried, down to the word alone.
        shorter: int = suffix[node]
        slot = find_slot(keys, shorter, word)
        while shorter != 0 and keys[slot] == EMPTY:
            shorter = suffix[shorter]
            slot = find_slot(keys, shorter, word)
        suffix[first + row] = values[slot] if shorter != 0 else 1 + word
    return rows, False
