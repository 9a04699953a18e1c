"""A hash table from pairs of numbers to slots, by open addressing with linear probing.

The table is one int64 array of keys whose length is a power of two; the values of a slot stand in
arrays beside it, at the same index.
"""

import numpy as np
from numpy.typing import NDArray

from asr.compiled import helper, inlined

EMPTY = -1
_MULTIPLIER = -7046029254386353131  # 2^64 / the golden ratio, as a signed number


def empty_table(entries: int) -> NDArray[np.int64]:
    """Keys of a table for so many entries; at most half of its slots will be taken."""
    return np.full(1 << max(1, (2 * entries).bit_length()), EMPTY, dtype=np.int64)


@inlined
def pair_key(first: int, second: int) -> int:
    """The key of a pair; both from 0 to 2^31 - 1."""
    return (np.int64(first) << np.int64(32)) | np.int64(second)  # type: ignore[return-value]


@inlined
def scatter(value: int) -> int:
    """Spread a 64-bit number evenly over the numbers of 64 bits, the low ones above all."""
    product = np.int64(value) * np.int64(_MULTIPLIER)
    return product ^ (product >> np.int64(32))  # type: ignore[return-value]


@helper
def find_slot(keys: NDArray[np.int64], first: int, second: int) -> int:
    """The slot of a pair; if the table lacks it, the empty slot (`keys[slot] == EMPTY`) for it."""
    key = pair_key(first, second)
    mask = len(keys) - 1
    slot = scatter(key) & mask
    while keys[slot] != key and keys[slot] != EMPTY:
        slot = (slot + 1) & mask
    return slot
