"""A back-off n-gram model as lists of n-grams, and the special words that it may contain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SENTENCE_START, SENTENCE_END, UNKNOWN = "<s>", "</s>", "<unk>"
SPECIAL_WORDS = (UNKNOWN, SENTENCE_START, SENTENCE_END)
"""Words of a model that cannot occur in a text."""
SPACE = "<space>"
"""The space between words, as a word of a character model."""


@dataclass(frozen=True)
class NgramTable:
    """The n-grams of a model, by order; position k - 1 of a tuple is of order k."""

    words: tuple[str, ...]
    """Word i is the unigram of row i."""
    grams: tuple[NDArray[np.int32], ...]
    """(rows, k) indices of words."""
    log_probs: tuple[NDArray[np.float64], ...]
    """(rows,) natural logarithm of the probability of the last word given those before it."""
    log_backoffs: tuple[NDArray[np.float64], ...]
    """(rows,) natural logarithm of the back-off weight; zeros in the highest order."""

    @property
    def order(self) -> int:
        """The number of words in the longest n-grams."""
        return len(self.grams)

    def text(self, order: int, row: int) -> str:
        """An n-gram as text."""
        return " ".join(self.words[word] for word in self.grams[order - 1][row])
