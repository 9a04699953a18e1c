"""External scores: what language models, an automaton and hot words make of a growing prefix.

A prefix's *score* is final: closed words, tokens, complete hot words. Its *estimate* stands for
what is not: the look-ahead inside an open word and the credit of a hot word that has begun. The
search ranks prefixes by both; the estimate is taken back when the word closes, so that the score of
a finished hypothesis is free of it. All of this depends on the prefix alone and is computed once
for each node of the trie.

Words are runs of tokens between spaces. A leading, trailing or second space closes no word, as
`TokenTable.decode` leaves it out; to the word model it is an empty word, which has a price.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled, helper, inlined
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
        ("beam_slot", np.int32),  # its place in the beam; -1: it is not in the beam
        ("word_state", np.int32),  # of the word model
        ("lexicon_state", np.int32),  # in the lexicon's trie, of the open word; -1: unknown word
        ("character_state", np.int32),  # of the character model
        ("automaton_state", np.int32),
        ("hotword_state", np.int32),
        ("state_hash", np.int64),  # of all states above: what its continuations depend on
        ("score", np.float64),
        ("estimate", np.float64),
        ("gain", np.float64),  # score and estimate less those of the parent; -inf: impossible
    ],
    align=True,
)
"""A prefix in the trie of all prefixes; node 0 is the empty one, its token the blank."""

Node = Annotated[Any, NODE]
Nodes = Annotated[NDArray[Any], NODE]
"""(nodes,) of NODE."""


class ExternalScores(NamedTuple):
    """Everything that scores a prefix apart from the emissions; absent sources are switched off."""

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


@inlined
def init_root(nodes: Nodes) -> None:
    """Make node 0 the empty prefix."""
    root = nodes[0]
    root.parent = -1
    root.token = BLANK
    root.beam_slot = 0
    root.gain = 0.0


@inlined
def enter_start_states(nodes: Nodes, external: ExternalScores) -> None:
    """Set the states and scores of the empty prefix."""
    root = nodes[0]
    root.word_state = external.word_start
    root.lexicon_state = 0
    root.character_state = external.character_start
    root.automaton_state = 0
    root.hotword_state = external.hotwords.start
    root.state_hash = 0
    root.score = 0.0
    root.estimate = 0.0


@inlined
def weighted(weight: float, log_prob: float) -> float:
    """Their product, where a weight of 0 silences even the impossible (0 · -inf is NaN)."""
    return weight * log_prob if weight != 0.0 else 0.0


@inlined
def in_word(token: int, space: int) -> bool:
    """Whether a prefix that ends in `token` has an open word."""
    return token != BLANK and token != space


@helper
def score_prefixes(nodes: Nodes, first: int, end: int, external: ExternalScores) -> None:
    """Score the new nodes `first` to `end - 1`, whose tokens and parents are set.

    Source by source, each over all nodes: the arrays of one source stay in the processor's cache,
    and whether a source is there is asked once a frame instead of once a node.
    """
    for child in range(first, end):
        node = nodes[child]
        node.score, node.estimate = nodes[node.parent].score, 0.0
        # States of absent sources must be equal, as they are part of the hash below.
        node.word_state = node.lexicon_state = 0
        node.character_state = node.automaton_state = node.hotword_state = 0
    if external.has_automaton:
        follow_automaton(nodes, first, end, external.automaton)
    if external.has_characters:
        score_characters(nodes, first, end, external)
    if external.has_words:
        look_ahead_in_words(nodes, first, end, external)
    if external.has_words or external.word_bonus != 0.0:
        close_words(nodes, first, end, external)
    if external.has_hotwords:
        score_hotwords(nodes, first, end, external.hotwords, external.space)
    for child in range(first, end):
        node = nodes[child]
        before = nodes[node.parent]
        node.state_hash = state_hash(node)
        node.gain = -np.inf
        # An impossible node stays impossible: -inf less -inf would be NaN.
        if node.score > -np.inf and node.estimate > -np.inf:
            node.gain = node.score + node.estimate - before.score - before.estimate


@inlined
def state_hash(node: Node) -> int:
    """A number from 0 that is the same for prefixes which every continuation scores alike.

    It has 63 bits: that two different combinations of states share one is next to impossible, and
    would cost one prefix of a beam.
    """
    mixed = scatter(pair_key(node.word_state, node.lexicon_state + 1))
    mixed = scatter(mixed ^ pair_key(node.character_state, node.hotword_state))
    # The last token matters, too: repeated, it needs a blank in between.
    mixed = scatter(mixed ^ pair_key(node.automaton_state + 1, node.token))
    return mixed & 0x7FFFFFFFFFFFFFFF


@helper
def follow_automaton(nodes: Nodes, first: int, end: int, automaton: Automaton) -> None:
    """Take each node's token through the automaton; what it does not allow is impossible."""
    for child in range(first, end):
        node = nodes[child]
        state = step(automaton, nodes[node.parent].automaton_state, node.token)
        node.automaton_state = state
        if state < 0:
            node.score = -np.inf


@helper
def score_characters(nodes: Nodes, first: int, end: int, external: ExternalScores) -> None:
    """Add the character model's score of each node's token."""
    for child in range(first, end):
        node = nodes[child]
        log_prob, state = score_word(
            external.character_model,
            nodes[node.parent].character_state,
            external.character_word[node.token],
        )
        node.character_state = state
        node.score += weighted(external.character_weight, log_prob)


@helper
def look_ahead_in_words(nodes: Nodes, first: int, end: int, external: ExternalScores) -> None:
    """Follow the open word through the lexicon and estimate what it will cost.

    The estimate is the best word that the letters so far can still become, by its unigram
    probability: looking at the context would take a lookup for every word below the state.
    """
    for child in range(first, end):
        node = nodes[child]
        before = nodes[node.parent]
        node.word_state, node.lexicon_state = before.word_state, 0
        if node.token == external.space:
            continue
        look_ahead = -np.inf
        node.lexicon_state = -1
        if before.lexicon_state >= 0:
            node.lexicon_state = step(external.lexicon.trie, before.lexicon_state, node.token)
            if node.lexicon_state >= 0:
                best = external.lexicon.best_log_prob[node.lexicon_state]
                look_ahead = weighted(external.word_weight, best)
        # An unknown word is always an alternative, unless the vocabulary is closed (-inf).
        if external.unknown_estimate > look_ahead:
            look_ahead = external.unknown_estimate
        node.estimate = look_ahead + external.word_bonus


@helper
def close_words(nodes: Nodes, first: int, end: int, external: ExternalScores) -> None:
    """Score the words that a space closes, and the spaces that close none."""
    for child in range(first, end):
        node = nodes[child]
        if node.token != external.space:
            continue
        before = nodes[node.parent]
        if in_word(before.token, external.space):
            gained, state = close_word(external, before.word_state, before.lexicon_state)
            node.word_state = state
            node.score += gained
        elif external.has_words:
            node.score += external.empty_word_log_penalty


@helper
def close_word(external: ExternalScores, state: int, lexicon_state: int) -> tuple[float, int]:
    """The score of the word that ends here and the word model's next state."""
    if not external.has_words:
        return external.word_bonus, state
    word = -1
    if lexicon_state >= 0:
        word = external.lexicon.word[lexicon_state]
    price = external.word_bonus
    if word < 0:
        word = external.unknown_word
        price += external.unknown_log_penalty
        if price == -np.inf:
            return -np.inf, state
    log_prob, after = score_word(external.word_model, state, word)
    return weighted(external.word_weight, log_prob) + price, after


@helper
def score_hotwords(nodes: Nodes, first: int, end: int, hotwords: Hotwords, space: int) -> None:
    """Follow the hot words that have begun; of several spaces in a row one counts."""
    for child in range(first, end):
        node = nodes[child]
        before = nodes[node.parent]
        state = before.hotword_state
        if node.token != space or in_word(before.token, space):
            state = follow(hotwords.trie, hotwords.fail, state, node.token)
            node.score += hotwords.boost[state]
        node.hotword_state = state
        node.estimate += hotwords.credit[state]


@helper
def final_score(nodes: Nodes, at: int, external: ExternalScores) -> float:
    """The score of a prefix as the whole utterance; -inf if it cannot be that."""
    node = nodes[at]
    score: float = node.score
    state: int = node.word_state
    if external.has_automaton and not external.automaton.accepting[node.automaton_state]:
        return -np.inf
    if in_word(node.token, external.space):
        # The end of the utterance closes the last word as a space would.
        gained, state = close_word(external, state, node.lexicon_state)
        score += gained
        if external.has_hotwords and external.space >= 0:
            hotwords = external.hotwords
            after = follow(hotwords.trie, hotwords.fail, node.hotword_state, external.space)
            score += hotwords.boost[after]
    elif external.has_words and node.token == external.space:
        score += external.empty_word_log_penalty
    if external.has_words:
        log_prob, _ = score_word(external.word_model, state, external.word_end)
        score += weighted(external.word_weight, log_prob)
    if external.has_characters:
        log_prob, _ = score_word(
            external.character_model, node.character_state, external.character_end
        )
        score += weighted(external.character_weight, log_prob)
    return score


@compiled
def score_sequence(tokens: NDArray[np.int64], external: ExternalScores) -> float:
    """The score of a token sequence as a finished hypothesis, by the steps of the search."""
    nodes = np.empty(len(tokens) + 1, NODE)
    init_root(nodes)
    enter_start_states(nodes, external)
    for i in range(len(tokens)):
        node = nodes[i + 1]
        node.parent, node.token = i, tokens[i]
        score_prefixes(nodes, i + 1, i + 2, external)
    return final_score(nodes, len(tokens), external)
