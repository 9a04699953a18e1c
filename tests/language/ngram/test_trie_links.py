"""Contexts and suffixes of n-grams, by brute force."""

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from asr.language.ngram.table import NgramTable
from asr.language.ngram.trie_links import NgramError, link_ngrams
from tests.oracles_ngram import tables


def offsets_of(table: NgramTable) -> NDArray[np.int64]:
    return np.cumsum([1, *(len(grams) for grams in table.grams)])


@given(tables())
def test_links(table: NgramTable) -> None:
    context, suffix = link_ngrams(table, offsets_of(table))

    grams = [()] + [tuple(gram) for of_order in table.grams for gram in of_order.tolist()]
    number = {gram: i for i, gram in enumerate(grams)}
    for i, gram in enumerate(grams):
        if len(gram) < 2:
            assert context[i] == suffix[i] == 0
            continue
        assert context[i] == number[gram[:-1]]
        ends = (gram[start:] for start in range(1, len(gram)))
        assert suffix[i] == next(number[end] for end in ends if end in number)


def table_of(*bigrams: tuple[int, int]) -> NgramTable:
    words = ("<s>", "</s>", "a")
    grams = (np.arange(3, dtype=np.int32)[:, None], np.array(bigrams, dtype=np.int32))
    zeros = tuple(np.zeros(len(of_order)) for of_order in grams)
    return NgramTable(words, grams, zeros, zeros)


def test_repeated_ngrams_are_refused() -> None:
    table = table_of((0, 2), (2, 1), (0, 2))

    with pytest.raises(NgramError, match="2-gram 2: is already on an earlier line") as error:
        link_ngrams(table, offsets_of(table))
    assert (error.value.order, error.value.row) == (2, 2)


def test_ngrams_without_their_context_are_refused() -> None:
    table = table_of((0, 2))
    trigram = np.array([[2, 2, 1]], dtype=np.int32)
    longer = NgramTable(
        table.words,
        (*table.grams, trigram),
        (*table.log_probs, np.zeros(1)),
        (*table.log_backoffs, np.zeros(1)),
    )

    with pytest.raises(NgramError, match="its first words are not among the 2-grams"):
        link_ngrams(longer, offsets_of(longer))
