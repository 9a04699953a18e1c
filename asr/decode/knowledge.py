"""What is known beyond the sound, as flat arrays, and what it makes of a growing prefix.

A prefix's *score* is final: closed words, tokens, complete hot words. Its *estimate* stands for
what is not: the look-ahead inside an open word and the credit of a hot word begun. The search
ranks prefixes by both; the estimate is taken back when the word closes, so that a finished score
is free of it. All of this depends on the prefix alone and is computed once for each node.

Words are runs of tokens between spaces. A leading, trailing or second space closes no word, as
`TokenTable.decode` leaves it out; to the word model it is an empty one, which has a price.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.language.automata.automaton import Automaton, step
from asr.language.hashing import pair_key, scatter
from asr.language.hotwords import Hotwords, follow
from asr.language.lexicon import Lexicon
from asr.language.ngram.model import NgramArrays, score_word
from asr.text.tokens import BLANK

NODE = np.dtype(
    [
        ("parent", np.int32),
        ("token", np.int32),
        ("slot", np.int32),  # its place in the beam; -1: it is not there
        ("word_state", np.int32),  # of the word model
        ("spelling", np.int32),  # state of the lexicon's trie in the open word; -1: unknown word
        ("character_state", np.int32),  # of the character model
        ("automaton_state", np.int32),
        ("hotword_state", np.int32),
        ("future", np.int64),  # hash of all that the knowledge will ever need of the prefix
        ("score", np.float64),
        ("estimate", np.float64),
        ("gain", np.float64),  # score and estimate less those of the parent; -inf: impossible
    ],
    align=True,
)
"""A prefix in the trie of all prefixes; node 0 is the empty one, its token the blank."""

Nodes = NDArray[Any]
"""(nodes,) of NODE."""


class Knowledge(NamedTuple):
    """Everything that scores a prefix apart from the sound; absent parts are switched off."""

    any: bool
    """False: every prefix scores 0, nothing below is read."""
    space: int
    """The token between words; -1: the table has none, a sequence is one word."""
    word_bonus: float

    has_words: bool
    word_model: NgramArrays
    lexicon: Lexicon
    word_weight: float
    word_start: int
    word_end: int
    unknown_word: int
    unknown_log_penalty: float
    """-inf: closed vocabulary."""
    unknown_estimate: float
    """The price of an unknown word without its context."""
    empty_word_log_penalty: float

    has_characters: bool
    character_model: NgramArrays
    character_word: NDArray[np.int32]
    """(C,) the character model's word for each token."""
    character_weight: float
    character_start: int
    character_end: int

    has_automaton: bool
    automaton: Automaton

    has_hotwords: bool
    hotwords: Hotwords


@compiled
def plant(nodes: Nodes, known: Knowledge) -> None:
    """Make node 0 the empty prefix."""
    root = nodes[0]
    root.parent = -1
    root.token = BLANK
    root.slot = 0
    root.word_state = known.word_start
    root.spelling = 0
    root.character_state = known.character_start
    root.automaton_state = 0
    root.hotword_state = known.hotwords.start
    root.future = 0
    root.score = 0.0
    root.estimate = 0.0
    root.gain = 0.0


@compiled
def weighted(weight: float, log_prob: float) -> float:
    """Their product, where a weight of 0 silences even the impossible."""
    return weight * log_prob if weight != 0.0 else 0.0


@compiled
def in_word(token: int, space: int) -> bool:
    """Whether a prefix that ends in `token` has an open word."""
    return token not in (BLANK, space)


@compiled
def extend(nodes: Nodes, first: int, past: int, known: Knowledge) -> None:
    """Score new nodes, from `first` to before `past`, whose tokens and parents are set.

    One source after the other, each over all of them: handing many arrays to a function for every
    node would take longer than what it does with them.
    """
    for child in range(first, past):
        node = nodes[child]
        node.score, node.estimate = nodes[node.parent].score, 0.0
        node.word_state = node.spelling = 0
        node.character_state = node.automaton_state = node.hotword_state = 0
    if known.has_automaton:
        follow_automaton(nodes, first, past, known.automaton)
    if known.has_characters:
        score_characters(nodes, first, past, known)
    if known.has_words:
        spell_words(nodes, first, past, known)
    if known.has_words or known.word_bonus != 0.0:
        close_words(nodes, first, past, known)
    if known.has_hotwords:
        hear_hotwords(nodes, first, past, known.hotwords, known.space)
    for child in range(first, past):
        node = nodes[child]
        before = nodes[node.parent]
        node.future = future_of(node)
        node.gain = -np.inf
        if node.score > -np.inf and node.estimate > -np.inf:
            node.gain = node.score + node.estimate - before.score - before.estimate


@compiled
def future_of(node: Any) -> int:
    """A number from 0 that is the same for prefixes which any continuation scores alike.

    It has 63 bits: that two others share it will not be seen.
    """
    mixed = scatter(pair_key(node.word_state, node.spelling + 1))
    mixed = scatter(mixed ^ pair_key(node.character_state, node.hotword_state))
    mixed = scatter(mixed ^ pair_key(node.automaton_state + 1, node.token))
    return mixed & 0x7FFFFFFFFFFFFFFF


@compiled
def follow_automaton(nodes: Nodes, first: int, past: int, automaton: Automaton) -> None:
    for child in range(first, past):
        node = nodes[child]
        state = step(automaton, nodes[node.parent].automaton_state, node.token)
        node.automaton_state = state
        if state < 0:
            node.score = -np.inf


@compiled
def score_characters(nodes: Nodes, first: int, past: int, known: Knowledge) -> None:
    for child in range(first, past):
        node = nodes[child]
        log_prob, node.character_state = score_word(
            known.character_model,
            nodes[node.parent].character_state,
            known.character_word[node.token],
        )
        node.score += weighted(known.character_weight, log_prob)


@compiled
def spell_words(nodes: Nodes, first: int, past: int, known: Knowledge) -> None:
    """Follow the open word through the lexicon; its look-ahead knows no context."""
    for child in range(first, past):
        node = nodes[child]
        before = nodes[node.parent]
        node.word_state, node.spelling = before.word_state, 0
        if node.token == known.space:
            continue
        look_ahead = -np.inf
        node.spelling = -1
        if before.spelling >= 0:
            node.spelling = step(known.lexicon.trie, before.spelling, node.token)
            if node.spelling >= 0:
                best = known.lexicon.best_log_prob[node.spelling]
                look_ahead = weighted(known.word_weight, best)
        node.estimate = max(look_ahead, known.unknown_estimate) + known.word_bonus


@compiled
def close_words(nodes: Nodes, first: int, past: int, known: Knowledge) -> None:
    """Score the words that a space closes, and the spaces that close none."""
    for child in range(first, past):
        node = nodes[child]
        if node.token != known.space:
            continue
        before = nodes[node.parent]
        if in_word(before.token, known.space):
            gained, node.word_state = close_word(known, before.word_state, before.spelling)
            node.score += gained
        elif known.has_words:
            node.score += known.empty_word_log_penalty


@compiled
def close_word(known: Knowledge, state: int, spelling: int) -> tuple[float, int]:
    """The score of the word that ends here and the word model's next state."""
    if not known.has_words:
        return known.word_bonus, state
    word = int(known.lexicon.word[spelling]) if spelling >= 0 else -1
    price = known.word_bonus
    if word < 0:
        word = known.unknown_word
        price += known.unknown_log_penalty
        if price == -np.inf:
            return -np.inf, state
    log_prob, after = score_word(known.word_model, state, word)
    return weighted(known.word_weight, log_prob) + price, after


@compiled
def hear_hotwords(nodes: Nodes, first: int, past: int, hotwords: Hotwords, space: int) -> None:
    """Follow the hot words begun; of several spaces one counts."""
    for child in range(first, past):
        node = nodes[child]
        before = nodes[node.parent]
        state = before.hotword_state
        if node.token != space or in_word(before.token, space):
            state = follow(hotwords.trie, hotwords.fail, state, node.token)
            node.score += hotwords.boost[state]
        node.hotword_state = state
        node.estimate += hotwords.credit[state]


@compiled
def finish(nodes: Nodes, at: int, known: Knowledge) -> float:
    """The score of a prefix as the whole utterance; -inf if it cannot be that."""
    node = nodes[at]
    score, state = float(node.score), int(node.word_state)
    if known.has_automaton and not known.automaton.accepting[node.automaton_state]:
        return -np.inf
    if in_word(node.token, known.space):
        gained, state = close_word(known, state, node.spelling)
        score += gained
        if known.has_hotwords and known.space >= 0:
            hotwords = known.hotwords
            end = follow(hotwords.trie, hotwords.fail, node.hotword_state, known.space)
            score += hotwords.boost[end]
    elif known.has_words and node.token == known.space:
        score += known.empty_word_log_penalty
    if known.has_words:
        log_prob, _ = score_word(known.word_model, state, known.word_end)
        score += weighted(known.word_weight, log_prob)
    if known.has_characters:
        log_prob, _ = score_word(known.character_model, node.character_state, known.character_end)
        score += weighted(known.character_weight, log_prob)
    return score
