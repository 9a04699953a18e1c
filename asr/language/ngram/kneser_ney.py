"""Estimation of n-gram models with interpolated modified Kneser-Ney smoothing.

Source: Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling",
Harvard TR-10-98, 1998, section 3; with the conventions of Heafield et al., "Scalable Modified
Kneser-Ney Language Model Estimation", ACL 2013 (KenLM's lmplz), so that the models agree:

- <s> occurs only as context and is never predicted; </s> is predicted like a word.
- The *adjusted* count of an n-gram is its count if it is of the highest order or begins with <s>,
  and otherwise the number of different words that precede it.
- The 1-grams are interpolated with the uniform distribution over all words and <unk>.
- N-grams are pruned by their count, after all adjusted counts and discounts have been computed with
  them; the probability that pruning removes from a context goes to its back-off.
"""

import logging
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.errors import ConfigError, TextError
from asr.language.ngram.table import SPECIAL_WORDS, NgramTable

Integers = NDArray[np.int64]
Scores = NDArray[np.float64]

_UNKNOWN, _START, _END = range(len(SPECIAL_WORDS))  # the first words of every model
_LOG_NEVER = -99 * np.log(10)
"""The conventional log-probability of <s> in ARPA files."""

_log = logging.getLogger(__name__)


class Discounts(NamedTuple):
    """What is subtracted from the adjusted counts 1, 2, and 3 or more, of one order."""

    one: float
    two: float
    three_plus: float
    is_estimated: bool = True
    """False if the text is too small or too artificial to estimate them: they are `FALLBACK`."""


FALLBACK = Discounts(0.5, 1.0, 1.5, is_estimated=False)
"""Those of lmplz --discount_fallback."""


@dataclass(frozen=True)
class Estimate:
    """A model and the statistics of its training text; position k - 1 of a tuple is of order k."""

    table: NgramTable
    sentences: int
    running_words: int
    """Words of the text, without the special ones."""
    distinct_ngrams: tuple[int, ...]
    """Of the text, before pruning."""
    discounts: tuple[Discounts, ...]


def estimate(
    sentences: Iterable[Sequence[str]], order: int, prune: Sequence[int] = (0,)
) -> Estimate:
    """Estimate a model of some sentences, each a sequence of words.

    N-grams of order k that occur at most `prune[k - 1]` times are left out; the last value applies
    to all higher orders too. (0, 0, 1) leaves out n-grams of order 3 and more that occur once. The
    first value must be 0, since all words stay, and values must not decrease, so that the model has
    every part of its n-grams. Where the discounts of an order cannot be estimated from its counts
    they are `FALLBACK`, with a warning. The result does not depend on the order of the sentences.

    Raises TextError if there are no words, or one is empty, contains white space or is one of
    `SPECIAL_WORDS`, and ConfigError on an order below 1 or a bad `prune`.
    """
    thresholds = _thresholds(order, prune)
    words, tokens = _tokens(sentences)
    levels = _count(tokens, len(words), order)
    counts = [*map(_adjusted, levels, levels[1:]), levels[-1].counts]
    counts[0] = np.where(levels[0].starts, 0, counts[0])
    discounts = tuple(_discounts(k, count) for k, count in enumerate(counts, start=1))
    number_of_sentences = int(levels[0].counts[_START])
    return Estimate(
        _smoothed(words, levels, counts, discounts, thresholds),
        sentences=number_of_sentences,
        running_words=len(tokens) - 2 * number_of_sentences,
        distinct_ngrams=tuple(len(level.words) for level in levels),
        discounts=discounts,
    )


def _thresholds(order: int, prune: Sequence[int]) -> list[int]:
    if order < 1:
        raise ConfigError(f"order: expected at least 1, found {order}")
    if not prune or prune[0] != 0 or list(prune) != sorted(prune) or len(prune) > order:
        raise ConfigError(
            f"prune: expected up to {order} counts (the order), the first of them 0, that do not "
            f"decrease, such as {','.join('001'[:order])}; found "
            f"{','.join(map(str, prune)) or 'none'}"
        )
    return [*prune, *[prune[-1]] * (order - len(prune))]


def _tokens(sentences: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], Integers]:
    """The special words and the others, sorted, and the text as their indices."""
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__  # looking up a new word gives it the next number
    special = frozenset(SPECIAL_WORDS)
    for word in SPECIAL_WORDS:
        index[word]
    tokens = array("i")
    for sentence in sentences:
        if not special.isdisjoint(sentence):
            raise TextError(
                f"the sentence {' '.join(sentence)[:60]!r} has one of {', '.join(SPECIAL_WORDS)}; "
                "expected only words: the beginning and end of sentences are added here"
            )
        tokens.append(_START)
        tokens.extend(map(index.__getitem__, sentence))
        tokens.append(_END)
    found = sorted(index.keys() - special)
    if not found:
        raise TextError("the text has no words; expected at least one")
    for word in found:
        if word.split() != [word]:
            raise TextError(f"expected words without white space, found {word!r}")
    words = (*SPECIAL_WORDS, *found)
    rank = np.empty(len(words), dtype=np.int64)
    rank[[index[word] for word in words]] = np.arange(len(words))
    return words, rank[np.frombuffer(tokens, dtype=np.intc)]


@dataclass(frozen=True)
class _Level:
    """The different n-grams of one order, sorted by their words; each array is (rows,)."""

    words: Integers
    """The last word of each."""
    prefix: Integers
    """The row, one order below, of all but its last word."""
    suffix: Integers
    """The row, one order below, of all but its first word."""
    counts: Integers
    """How often each occurs in the text."""
    starts: NDArray[np.bool_]
    """Whether each begins with <s>."""


def _count(tokens: Integers, words: int, order: int) -> list[_Level]:
    """The n-grams of each order up to `order`, none of them across the end of a sentence."""
    vocabulary, nothing = np.arange(words), np.zeros(words, dtype=np.int64)
    counts = np.bincount(tokens, minlength=words)
    levels = [_Level(vocabulary, nothing, nothing, counts, vocabulary == _START)]
    # An n-gram is the n-gram one shorter that begins at the same position, and one word more. With
    # (row of the shorter one, word) as its key an order costs one sort of integers, however long
    # its n-grams are. `rows` has the row of the n-gram at each position, `begins` the positions
    # that have one.
    rows = tokens
    begins = np.flatnonzero(tokens != _END)
    for length in range(2, order + 1):
        keys, first, row, counts = np.unique(
            rows[begins] * words + tokens[begins + length - 1],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        prefix, last = np.divmod(keys, words)
        suffix = rows[begins[first] + 1]
        levels.append(_Level(last, prefix, suffix, counts, levels[-1].starts[prefix]))
        rows = np.full(len(tokens), -1)
        rows[begins] = row
        begins = begins[tokens[begins + length - 1] != _END]
    return levels


def _adjusted(level: _Level, longer: _Level) -> Integers:
    """Adjusted counts: of different words before an n-gram; its own if it begins with <s>."""
    different = np.bincount(longer.suffix, minlength=len(level.words))
    return np.where(level.starts, level.counts, different)


def _discounts(order: int, counts: Integers) -> Discounts:
    """Equation 26 of Chen and Goodman, from the numbers of n-grams counted once to four times."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        found = Discounts(1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if found.two > 0 and found.three_plus > 0:
            return found
    _log.warning(
        "the discounts of order %d cannot be estimated, as %d, %d, %d and %d of its n-grams have "
        "the adjusted counts 1, 2, 3 and 4 (the text is small or artificial): using %g, %g and %g",
        *(order, n1, n2, n3, n4, *FALLBACK[:3]),
    )
    return FALLBACK


def _smoothed(
    words: tuple[str, ...],
    levels: Sequence[_Level],
    counts: Sequence[Integers],
    discounts: Sequence[Discounts],
    thresholds: Sequence[int],
) -> NgramTable:
    """The model: p(w | h) = share(h w) + backoff(h) · p(w | h without its first word)."""
    probs = np.full(1, 1 / (len(words) - 1))  # order 0: uniform over all words but <s>
    grams = np.empty((1, 0), dtype=np.int32)
    kept = np.ones(1, dtype=bool)
    tables: list[tuple[NDArray[np.int32], Scores]] = []
    log_backoffs = []
    for level, count, discount, threshold in zip(
        levels, counts, discounts, thresholds, strict=True
    ):
        total = np.bincount(level.prefix, count, minlength=len(probs))
        discounted = np.array([0.0, *discount[:3]])[np.minimum(count, 3)]
        # What is taken from the n-grams of a context, all of it where they are pruned, is its
        # back-off weight: the mass that the shorter context distributes.
        pruned = level.counts <= threshold if tables else np.zeros(len(count), dtype=bool)
        taken = np.bincount(level.prefix, np.where(pruned, count, discounted), minlength=len(probs))
        backoff = np.divide(taken, total, out=np.ones(len(probs)), where=total > 0)
        log_backoffs.append(np.log(backoff[kept]))
        share = (count - discounted) / total[level.prefix]
        probs = share + backoff[level.prefix] * probs[level.suffix]
        grams = np.column_stack([grams[level.prefix], level.words]).astype(np.int32)
        kept = ~pruned
        tables.append((grams[kept], np.log(probs[kept])))
    tables[0][1][_START] = _LOG_NEVER
    log_backoffs.append(np.zeros(int(kept.sum())))
    return NgramTable(
        words,
        grams=tuple(of_order for of_order, _ in tables),
        log_probs=tuple(log_probs for _, log_probs in tables),
        log_backoffs=tuple(log_backoffs[1:]),
    )
