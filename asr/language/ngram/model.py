"""N-gram language models with back-off, as flat arrays for compiled code.

A context is a number, its *state*. The state of some words is the longest run of the last of them
that can still change what comes next: one that has continuations in the model or a back-off weight.
`score_word` walks from state to state, so that nobody handles n-grams as lists of words:

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

from asr.compiled import compiled
from asr.errors import AsrError, TextError
from asr.language.hashing import EMPTY, empty_table, find_slot, pair_key
from asr.language.ngram.arpa import (
    SENTENCE_END,
    SENTENCE_START,
    UNKNOWN,
    NgramTable,
    parse_arpa,
    uncompressed,
)
from asr.language.ngram.array_cache import keep_arrays, kept_arrays
from asr.language.ngram.linking import NgramError, link

Indices = NDArray[np.int32]
Scores = NDArray[np.float64]

NO_CONTEXT = 0
KEPT_FROM_BYTES = 1 << 20
"""Smaller texts are read as fast as what is kept of them."""
_FORMAT = 1


class NgramArrays(NamedTuple):
    """A model of W words, S states and H hash slots; logarithms are natural."""

    unigram_log_prob: NDArray[np.float64]
    """(W,) of each word without context."""
    unigram_state: NDArray[np.int32]
    """(W,) the state after it."""
    log_backoff: NDArray[np.float64]
    """(S,) added where a state does not know the next word."""
    backoff_state: NDArray[np.int32]
    """(S,) the state of one word less, or of still fewer; always of a lower number."""
    keys: NDArray[np.int64]
    """(H,) hash table of (state, word), for states other than that of no context."""
    log_prob: NDArray[np.float64]
    """(H,) of the word in that state."""
    next_state: NDArray[np.int32]
    """(H,) the state after it."""


@compiled
def score_word(arrays: NgramArrays, state: int, word: int) -> tuple[float, int]:
    """Natural log-probability of a word in a state, and the state after it.

    A word that the model does not have, -1, is impossible: (-inf, no context).
    """
    if word < 0:
        return -np.inf, NO_CONTEXT
    log_weight = 0.0
    while state != NO_CONTEXT:
        slot = find_slot(arrays.keys, state, word)
        if arrays.keys[slot] != EMPTY:
            return log_weight + arrays.log_prob[slot], int(arrays.next_state[slot])
        log_weight += arrays.log_backoff[state]
        state = int(arrays.backoff_state[state])
    return log_weight + arrays.unigram_log_prob[word], int(arrays.unigram_state[word])


@compiled
def score_words(arrays: NgramArrays, state: int, words: NDArray[np.int64]) -> NDArray[np.float64]:
    """Natural log-probability of each of some words in turn."""
    log_probs = np.empty(len(words))
    for place, word in enumerate(words):
        log_probs[place], state = score_word(arrays, state, word)
    return log_probs


@dataclass(frozen=True)
class NgramModel:
    """A language model: which word comes next, given up to `order - 1` words before it."""

    order: int
    words: tuple[str, ...]
    """Word i is number i; the marks <s> and </s> are among them, <unk> may be."""
    arrays: NgramArrays

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def word_id(self, word: str) -> int:
        """The number of a word; of <unk> if the model lacks it, and -1 if it has no <unk>."""
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
        """Natural log-probability of each word of a sentence, and of </s> behind them if `eos`.

        Text is parted into words at white space. Words before `sentence` are none, or <s> if `bos`.
        An unknown word scores as <unk>, and -inf where the model has none. Raises TextError if a
        word is <s> or </s>.
        """
        words = sentence.split() if isinstance(sentence, str) else sentence
        for mark in (SENTENCE_START, SENTENCE_END):
            if mark in words:
                raise TextError(
                    f"the sentence {' '.join(words)[:60]!r} has {mark}; expected words alone: "
                    "sentences are begun and ended by the language model"
                )
        numbers = [*map(self.word_id, words)] + [self.end_word] * eos
        state = self.start_state if bos else NO_CONTEXT
        return score_words(self.arrays, state, np.array(numbers, dtype=np.int64))

    def log_prob(self, sentence: str | Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """Natural log-probability of a sentence, the sum of `word_log_probs`."""
        return float(self.word_log_probs(sentence, bos, eos).sum())


def compile_model(table: NgramTable) -> NgramModel:
    """The model of some n-grams, with <s> and </s> among the words.

    The last words of an n-gram need not be an n-gram of their own (some tools prune so). Raises
    NgramError on an n-gram that comes twice, and on one whose first words are not an n-gram: its
    context would have no place.
    """
    sizes = [len(grams) for grams in table.grams]
    # N-grams of all orders in one row, behind the empty one; those below the top are contexts.
    first_of = np.cumsum([1, *sizes])
    contexts = int(first_of[-2])
    context, suffix = link(table, first_of)
    log_backoff = np.concatenate([[0.0], *table.log_backoffs])[:contexts]
    useful = log_backoff != 0
    useful[context] = True
    state = np.cumsum(useful, dtype=np.int32) - 1
    for first, past in pairwise(first_of[:-1]):
        here = slice(first, past)
        state[here] = np.where(useful[here], state[here], state[suffix[here]])
    state_after = np.concatenate([state, state[suffix[contexts:]]])

    longer = int(first_of[1])  # here begin the n-grams of two words and more
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
    """Put n-grams in the hash table."""
    for entry in range(len(states)):
        slot = find_slot(arrays.keys, states[entry], words[entry])
        arrays.keys[slot] = pair_key(states[entry], words[entry])
        arrays.log_prob[slot] = log_probs[entry]
        arrays.next_state[slot] = states_after[entry]


def read_arpa(path: Path | str) -> NgramModel:
    """Read a model from an ARPA file, plain or compressed by gzip.

    A large model is also kept ready for use in a file beside it, `NAME.compiled.npz`, which later
    calls take in place of the text while that is the same; where it is damaged or cannot be
    written, they do without. Raises AsrError, naming the line, as `parse_arpa` and
    `compile_model` do, and if the file cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AsrError(
            f"{path}: cannot read ({error.strerror or error}); expected an ARPA language model"
        ) from error
    source = f"{_FORMAT} {hashlib.sha256(content).hexdigest()}"
    cache = path.with_name(f"{path.name}.compiled.npz")
    kept = kept_arrays(cache, source)
    model = None if kept is None else _from_arrays(kept)
    if model is not None:
        return model
    data = uncompressed(content, path)
    table, text = parse_arpa(data, path)
    try:
        model = compile_model(table)
    except NgramError as fault:
        raise AsrError(
            f"{text.where(fault.order, fault.row)}: the {fault.order}-gram "
            f"{table.spelled(fault.order, fault.row)!r}: {fault.reason}"
        ) from fault
    if len(data) >= KEPT_FROM_BYTES:
        keep_arrays(cache, source, _as_arrays(model))
    return model


def _as_arrays(model: NgramModel) -> dict[str, NDArray[Any]]:
    words = np.frombuffer("\n".join(model.words).encode(), dtype=np.uint8)
    return {"order": np.array(model.order), "words": words, **model.arrays._asdict()}


def _from_arrays(kept: dict[str, NDArray[Any]]) -> NgramModel | None:
    """The model of `_as_arrays`; None if these cannot have come from there."""
    try:
        words = tuple(kept["words"].tobytes().decode().split("\n"))
        arrays = NgramArrays(*(kept[name] for name in NgramArrays._fields))
        model = NgramModel(int(kept["order"]), words, arrays)
    except (KeyError, TypeError, ValueError):
        return None
    marks = {SENTENCE_START, SENTENCE_END}
    return model if _is_sound(arrays, len(words)) and marks <= set(words) else None


def _is_sound(arrays: NgramArrays, words: int) -> bool:
    """Whether compiled code, which checks no bounds, may use these arrays."""
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
