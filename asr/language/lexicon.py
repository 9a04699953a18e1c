"""A trie of the spellings of a language model's words, with look-ahead scores.

Inside a word, the most likely word that begins with the letters so far is an upper bound of the
whole word's score (Ortmanns et al., "Language-model look-ahead for large vocabulary speech
recognition", ICSLP 1996). Scores are unweighted, so that they serve any language model weight.
Shapes: S states (trie nodes), W words.
"""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.errors import TextError
from asr.language.automata.automaton import Automaton
from asr.language.ngram.model import NgramModel
from asr.language.ngram.table import SPECIAL_WORDS
from asr.language.spelling import in_known_case, speller, word_trie
from asr.text.tokens import TokenTable

_log = logging.getLogger(__name__)

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Lexicon(NamedTuple):
    """Flat arrays for compiled code; state 0 is the beginning of a word."""

    trie: Automaton
    """Accepts where a word ends."""
    word: Ints
    """(S,) the language model's word that ends in a state; -1 if none does."""
    best_log_prob: Floats
    """(S,) the highest unigram log-probability of the words that go through a state."""


def build_lexicon(model: NgramModel, table: TokenTable) -> Lexicon:
    """The lexicon of the words that the table can spell without a space, in whichever case.

    Other words can never be recognised: a warning counts them. Of words with the same spelling,
    such as MAY and may in a model's upper case, the most likely is taken. Raises TextError if no
    word is left.
    """
    can_spell = speller(table)
    words, texts, unspellable = [], [], []
    for word, text in enumerate(model.words):
        if text in SPECIAL_WORDS or word == model.unknown_word:
            continue
        spelt = in_known_case(text, can_spell)
        if spelt and can_spell(spelt):
            words.append(word)
            texts.append(spelt)
        else:
            unspellable.append(text)
    if not words and not unspellable:
        raise TextError(
            "language model: has only special words; expected at least one other: train it on text "
            "that has words"
        )
    if not words:
        raise TextError(
            f"language model: none of its {len(unspellable)} words (such as "
            f"{', '.join(map(repr, unspellable[:3]))}) can be written in the recogniser's "
            f"characters {''.join(table.characters)!r}; normalise its training text as the "
            "transcripts were"
        )
    if unspellable:
        _log.warning(
            "language model: %d of %d words have characters that the recogniser does not have and "
            "can never be recognised, such as %s",
            len(unspellable),
            len(unspellable) + len(words),
            ", ".join(map(repr, unspellable[:3])),
        )
    trie, ends = word_trie(texts, table)
    word_ids = np.array(words, dtype=np.int32)
    word_at = np.full(len(trie.accepting), -1, dtype=np.int32)
    best = np.full(len(trie.accepting), -np.inf)
    _complete(trie, ends, word_ids, model.arrays.unigram_log_prob, word_at, best)
    return Lexicon(trie, word_at, best)


@compiled
def _complete(
    trie: Automaton, ends: Ints, words: Ints, log_probs: Floats, word: Ints, best: Floats
) -> None:
    """Set the word that ends in each state and the best unigram score at or below it.

    `word` begins with -1, `best` with -inf everywhere.
    """
    for i in range(len(words)):
        log_prob = log_probs[words[i]]
        if word[ends[i]] < 0 or log_prob > best[ends[i]]:
            word[ends[i]], best[ends[i]] = words[i], log_prob
    # Children have higher numbers than their parents: on the way back all are complete.
    for state in range(len(best) - 1, -1, -1):
        for edge in range(trie.first_edge[state], trie.first_edge[state + 1]):
            below = best[trie.edge_target[edge]]
            if below > best[state]:
                best[state] = below
