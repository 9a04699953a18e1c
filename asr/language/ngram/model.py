"""N-gram language models with back-off, as flat arrays for compiled code.

A context is represented by a number, its *state*. The state after some words is the longest suffix
of them that can still change what comes next: one that has continuations in the model or a back-off
weight. `score_word` goes from state to state, so that callers never handle n-grams as lists:

    p(word | context) = p of the n-gram (context, word) where the model has it,
                        else backoff(context) · p(word | context without its first word)

Source: Katz, "Estimation of Probabilities from Sparse Data for the Language Model Component of a
Speech Recognizer", IEEE Transactions on Acoustics, Speech and Signal Processing 35, 1987.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled, helper
from asr.errors import AsrError, TextError
from asr.language.hashing import EMPTY, empty_table, find_slot, pair_key
from asr.language.ngram.arpa import parse_arpa, uncompressed
from asr.language.ngram.array_cache import load_cached_arrays, save_cached_arrays
from asr.language.ngram.table import SENTENCE_END, SENTENCE_START, UNKNOWN, NgramTable
from asr.language.ngram.trie_links import NgramError, link_ngrams

Indices = NDArray[np.int32]
Scores = NDArray[np.float64]

NO_CONTEXT = 0
CACHE_FROM_BYTES = 1 << 20
"""Smaller texts are parsed as fast as a cache of them is read."""
_CACHE_FORMAT = 1


class NgramArrays(NamedTuple):
    """A model of W words, S states and H hash slots; logarithms are natural."""

    unigram_log_prob: NDArray[np.float64]
    """(W,) of each word without context."""
    unigram_state: NDArray[np.int32]
    """(W,) the state after it."""
    log_backoff: NDArray[np.float64]
    """(S,) added where the model lacks the next word in a state."""
    backoff_state: NDArray[np.int32]
    """(S,) the state after one word less, or fewer; always a lower number."""
    keys: NDArray[np.int64]
    """(H,) hash table of (state, word), for all states but `NO_CONTEXT`."""
    log_prob: NDArray[np.float64]
    """(H,) of the word in that state."""
    next_state: NDArray[np.int32]
    """(H,) the state after it."""


@helper
def score_word(arrays: NgramArrays, state: int, word: int) -> tuple[float, int]:
    """Natural log-probability of a word in a state, and the state after it.

    The word -1, one that is not in the model, is impossible: (-inf, NO_CONTEXT).
    """
    if word < 0:
        return -np.inf, NO_CONTEXT
    log_weight = 0.0
    while state != NO_CONTEXT:
        slot = find_slot(arrays.keys, state, word)
        if arrays.keys[slot] != EMPTY:
            return log_weight + arrays.log_prob[slot], arrays.next_state[slot]
        log_weight += arrays.log_backoff[state]
        state = arrays.backoff_state[state]
    return log_weight + arrays.unigram_log_prob[word], arrays.unigram_state[word]


@compiled
def score_words(arrays: NgramArrays, state: int, words: NDArray[np.int64]) -> NDArray[np.float64]:
    """Natural log-probability of each word of a sequence."""
    log_probs = np.empty(len(words))
    for place, word in enumerate(words):
        log_probs[place], state = score_word(arrays, state, word)
    return log_probs


@dataclass(frozen=True)
class NgramModel:
    """A language model: probabilities of the next word given up to `order - 1` words before it."""

    order: int
    words: tuple[str, ...]
    """Word i has number i; <s> and </s> are among them, <unk> may be."""
    arrays: NgramArrays

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def word_id(self, word: str) -> int:
        """The number of a word; of <unk> if the word is not in the model, and -1 without <unk>."""
        return self._numbers.get(word, self.unknown_word)

    @cached_property
    def unknown_word(self) -> int:
        """The number of <unk>, which stands for all other words; -1 if there is none."""
        return self._numbers.get(UNKNOWN, self._numbers.get(UNKNOWN.upper(), -1))

    @cached_property
    def end_word(self) -> int:
        """The number of </s>, the word that ends a sentence."""
        return self._numbers[SENTENCE_END]

    @cached_property
    def start_state(self) -> int:
        """The state after <s>, in which a sentence begins."""
        return int(self.arrays.unigram_state[self._numbers[SENTENCE_START]])

    def word_log_probs(
        self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True
    ) -> NDArray[np.float64]:
        """Natural log-probability of each word of a sentence, and of </s> after them if `eos`.

        A string is split into words at white space. The first word follows <s> if `bos`, and has no
        context otherwise. An unknown word is scored as <unk>, or -inf without one. Raises TextError
        if a word is <s> or </s>.
        """
        words = sentence.split() if isinstance(sentence, str) else sentence
        for special in (SENTENCE_START, SENTENCE_END):
            if special in words:
                raise TextError(
                    f"the sentence {' '.join(words)[:60]!r} has {special}; expected only words: "
                    "the language model adds the beginning and end of sentences"
                )
        numbers = [*map(self.word_id, words)] + [self.end_word] * eos
        state = self.start_state if bos else NO_CONTEXT
        return score_words(self.arrays, state, np.array(numbers, dtype=np.int64))

    def log_prob(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """Natural log-probability of a sentence, the sum of `word_log_probs`."""
        return float(self.word_log_probs(sentence, bos, eos).sum())


def compile_model(table: NgramTable) -> NgramModel:
    """Compile n-grams, with <s> and </s> among their words, into a model.

    The last words of an n-gram need not be an n-gram themselves (some tools prune them). Raises
    NgramError on a repeated n-gram, and on one whose first words, its context, are not an n-gram.
    """
    sizes = [len(grams) for grams in table.grams]
    # N-grams of all orders are numbered in one sequence after the empty one; all but those of the
    # highest order can be contexts.
    offsets = np.cumsum([1, *sizes])
    contexts = int(offsets[-2])
    context, suffix = link_ngrams(table, offsets)
    log_backoff = np.concatenate([[0.0], *table.log_backoffs])[:contexts]
    # Only contexts that have continuations or a back-off weight become states; any other behaves
    # exactly like its suffix. Fewer states let a search merge more hypotheses.
    useful = log_backoff != 0
    useful[context] = True
    state = np.cumsum(useful, dtype=np.int32) - 1
    # Order by order, as a suffix, being shorter, must have its state already.
    for first, past in pairwise(offsets[:-1]):
        here = slice(first, past)
        state[here] = np.where(useful[here], state[here], state[suffix[here]])
    state_after = np.concatenate([state, state[suffix[contexts:]]])

    longer = int(offsets[1])  # the n-grams of two words and more begin here
    log_probs = np.concatenate([[0.0], *table.log_probs])
    last_words = np.concatenate([grams[:, -1] for grams in table.grams])[longer - 1 :]
    keys = empty_table(len(last_words))
    arrays = NgramArrays(
        unigram_log_prob=table.log_probs[0],
        unigram_state=state_after[1:longer],
        log_backoff=log_backoff[useful],
        backoff_state=state[suffix[:contexts][useful]],
        keys=keys,
        log_prob=np.zeros(len(keys)),
        next_state=np.zeros(len(keys), dtype=np.int32),
    )
    _fill(arrays, state[context[longer:]], last_words, log_probs[longer:], state_after[longer:])
    return NgramModel(table.order, table.words, arrays)


@compiled
def _fill(
    arrays: NgramArrays, states: Indices, words: Indices, log_probs: Scores, states_after: Indices
) -> None:
    """Insert n-grams into the hash table."""
    for i in range(len(states)):
        slot = find_slot(arrays.keys, states[i], words[i])
        arrays.keys[slot] = pair_key(states[i], words[i])
        arrays.log_prob[slot] = log_probs[i]
        arrays.next_state[slot] = states_after[i]


def read_arpa(path: Path | str) -> NgramModel:
    """Read a model from an ARPA file, plain or compressed with gzip.

    A large model is also cached in compiled form in a file beside it, `NAME.compiled.npz`, which
    later calls read instead as long as the text is the same. A cache that is damaged or cannot be
    written is ignored. Raises AsrError, naming the line, as `parse_arpa` and `compile_model` do,
    and if the file cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AsrError(
            f"{path}: cannot read ({error.strerror or error}); expected an ARPA language model"
        ) from error
    source = f"{_CACHE_FORMAT} {hashlib.sha256(content).hexdigest()}"
    cache = path.with_name(f"{path.name}.compiled.npz")
    cached = load_cached_arrays(cache, source)
    model = None if cached is None else _from_arrays(cached)
    if model is not None:
        return model
    data = uncompressed(content, path)
    table, text = parse_arpa(data, path)
    try:
        model = compile_model(table)
    except NgramError as error:
        raise AsrError(
            f"{text.locate_ngram(error.order, error.row)}: the {error.order}-gram "
            f"{table.text(error.order, error.row)!r}: {error.reason}"
        ) from error
    if len(data) >= CACHE_FROM_BYTES:
        save_cached_arrays(cache, source, _as_arrays(model))
    return model


def _as_arrays(model: NgramModel) -> dict[str, NDArray[Any]]:
    words = np.frombuffer("\n".join(model.words).encode(), dtype=np.uint8)
    return {"order": np.array(model.order), "words": words, **model.arrays._asdict()}


def _from_arrays(cached: dict[str, NDArray[Any]]) -> NgramModel | None:
    """The model that `_as_arrays` made these of; None if they are not such arrays."""
    try:
        words = tuple(cached["words"].tobytes().decode().split("\n"))
        arrays = NgramArrays(*(cached[name] for name in NgramArrays._fields))
        model = NgramModel(int(cached["order"]), words, arrays)
    except (KeyError, TypeError, ValueError):
        return None
    required = {SENTENCE_START, SENTENCE_END}
    return model if _is_sound(arrays, len(words)) and required <= set(words) else None


def _is_sound(arrays: NgramArrays, words: int) -> bool:
    """Whether the arrays are safe for compiled code, which checks no bounds."""
    states, slots = arrays.log_backoff.size, arrays.keys.size
    sizes = (words, words, states, states, slots, slots, slots)
    kinds = (np.float64, np.int32, np.float64, np.int32, np.int64, np.float64, np.int32)
    shapes = all(
        (array.shape, array.dtype) == ((size,), np.dtype(kind))
        for array, size, kind in zip(list[NDArray[Any]](arrays), sizes, kinds, strict=True)
    )
    return bool(
        shapes
        and slots.bit_count() == 1
        and (arrays.keys == EMPTY).any()
        and all(
            ((targets >= 0) & (targets < states)).all()
            for targets in (arrays.unigram_state, arrays.next_state)
        )
        and (arrays.backoff_state[1:] < np.arange(1, states)).all()
        and (arrays.backoff_state >= 0).all()
    )
