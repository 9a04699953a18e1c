"""The spellings of a language model's words as a trie, with the best word below each of its nodes.

The look-ahead of a search inside a word: the most likely word that still can come of the letters
so far bounds what the whole word will cost (Ortmanns et al., "Language-model look-ahead for large
vocabulary speech recognition", ICSLP 1996). It holds for any language model weight, since the
scores are kept unweighted. Shapes: S states (trie nodes), W words.
"""

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.errors import TextError
from asr.language.automata.automaton import Automaton, spelling_trie
from asr.language.ngram.model import NgramArrays, NgramModel, score_word
from asr.language.ngram.table import SPECIAL_WORDS
from asr.text.tokens import TokenTable

_log = logging.getLogger(__name__)

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Lexicon(NamedTuple):
    """Flat arrays for compiled code; state 0 is the beginning of a word."""

    trie: Automaton
    """Accepts where a word ends."""
    word: Ints
    """(S,) the language model's word that ends in a state, -1 where none does."""
    best_log_prob: Floats
    """(S,) the highest unigram log-probability of the words that go through a state."""


def build_lexicon(model: NgramModel, table: TokenTable) -> Lexicon:
    """The lexicon of the words that the table can spell without a space.

    The others can never be recognised: they are counted in a warning. Of words with one spelling
    the likeliest counts. Raises TextError where no word is left.
    """
    index = {character: i for i, character in enumerate(table.characters, start=1)}
    words, spellings, refused = [], [], []
    for word, text in enumerate(model.words):
        if text in SPECIAL_WORDS or word == model.unknown_word:
            continue
        spelling = tuple([index.get(c, 0) for c in text])
        if spelling and 0 not in spelling:
            words.append(word)
            spellings.append(spelling)
        else:
            refused.append(text)
    if not words and not refused:
        raise TextError(
            "language model: has no words but its marks; expected a model of at least one word: "
            "make it again from text with words"
        )
    if not words:
        raise TextError(
            f"language model: none of its {len(refused)} words (such as "
            f"{', '.join(map(repr, refused[:3]))}) can be written in the recogniser's characters "
            f"{''.join(table.characters)!r}; prepare its text as the transcripts were"
        )
    if refused:
        _log.warning(
            "language model: %d of %d words have characters that the recogniser cannot write and "
            "will never be recognised, such as %s",
            len(refused),
            len(refused) + len(words),
            ", ".join(map(repr, refused[:3])),
        )
    trie, ends = spelling_trie(spellings)
    word_ids = np.array(words, dtype=np.int32)
    return Lexicon(trie, *_complete(trie, ends, word_ids, model.arrays))


@compiled
def _complete(trie: Automaton, ends: Ints, words: Ints, arrays: NgramArrays) -> tuple[Ints, Floats]:
    """The word that ends in each state and the best unigram score at or below it."""
    states = len(trie.accepting)
    word = np.full(states, -1, dtype=np.int32)
    best = np.full(states, -np.inf)
    for i in range(len(words)):
        log_prob, _ = score_word(arrays, 0, words[i])
        if word[ends[i]] < 0 or log_prob > best[ends[i]]:
            word[ends[i]], best[ends[i]] = words[i], log_prob
    for state in range(states - 1, -1, -1):
        for edge in range(trie.first_edge[state], trie.first_edge[state + 1]):
            best[state] = max(best[state], best[trie.edge_target[edge]])
    return word, best
