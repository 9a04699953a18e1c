"""Slow and plain statements of what a search with language knowledge looks for.

Everything is computed from whole token sequences and their texts; nothing is cached or shared with
the compiled search but the n-gram probabilities, which have an oracle of their own.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from hypothesis import strategies as st

from asr.decode.fusion import Fusion, FusionConfig
from asr.language.automata.automaton import Automaton
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import NgramModel, compile_model, score_word
from asr.language.ngram.table import SPECIAL_WORDS
from asr.text.tokens import TokenTable
from tests.oracles import Emissions, Tokens, _log_add, collapse, path_scores
from tests.oracles_automata import word_list


@dataclass(frozen=True)
class Sources:
    """What a `Fusion` is made of."""

    table: TokenTable
    config: FusionConfig = field(default_factory=FusionConfig)
    word_model: NgramModel | None = None
    character_model: NgramModel | None = None
    automaton: Automaton | None = None
    hotwords: Mapping[str, float] = field(default_factory=dict)

    def fusion(self) -> Fusion:
        return Fusion(
            self.table,
            self.config,
            word_model=self.word_model,
            character_model=self.character_model,
            automaton=self.automaton,
            hotwords=self.hotwords,
        )

    # The formula of a finished hypothesis

    def score(self, tokens: Tokens) -> float:
        """What is added to log p_ctc of a finished hypothesis."""
        words = self.table.decode(tokens).split()
        total = self.config.word_bonus * len(words) + self.boosts(" ".join(words), ended=True)
        if self.word_model is not None:
            total += self.word_score(words, ended=True) + self.empty_words(tokens, ended=True)
        if self.character_model is not None:
            total += self.character_score(tokens, ended=True)
        if self.automaton is not None:
            state = self.automaton_state(tokens)
            total += 0.0 if state >= 0 and self.automaton.accepting[state] else -math.inf
        return total

    def word_score(self, words: list[str], ended: bool) -> float:
        model, config = self.word_model, self.config
        assert model is not None
        scores = model.word_log_probs(words, eos=ended)
        total = config.lm_weight * float(scores.sum()) if config.lm_weight else 0.0
        unknown = sum(word not in spellable(model.words, self.table) for word in words)
        if unknown and config.closed_vocabulary:
            return -math.inf
        return total + unknown * config.unknown_log_penalty

    def empty_words(self, tokens: Tokens, ended: bool) -> float:
        """The price of the fields between spaces in which nothing stands."""
        fields = "".join(self.table.characters[token - 1] for token in tokens).split(" ")
        if not tokens:
            return 0.0
        return self.config.empty_word_log_penalty * (fields if ended else fields[:-1]).count("")

    def character_score(self, tokens: Tokens, ended: bool) -> float:
        model = self.character_model
        assert model is not None
        names = [self.table.characters[token - 1].replace(" ", "<space>") for token in tokens]
        log_prob = model.log_prob(names, eos=ended)
        return self.config.character_weight * log_prob if self.config.character_weight else 0.0

    def automaton_state(self, tokens: Tokens) -> int:
        assert self.automaton is not None
        state = 0
        for token in tokens:
            first, past = self.automaton.first_edge[state : state + 2]
            edges = dict(
                zip(
                    self.automaton.edge_token[first:past].tolist(),
                    self.automaton.edge_target[first:past].tolist(),
                    strict=True,
                )
            )
            state = edges.get(token, -1)
            if state < 0:
                break
        return state

    def boosts(self, text: str, ended: bool) -> float:
        """Of the hot words in a text of single spaces, which may or may not go on."""
        if " " not in self.table.characters:
            return sum(
                boost * sum(text.startswith(phrase, i) for i in range(len(text)))
                for phrase, boost in self.hotwords.items()
            )
        padded = f" {text} " if ended and text.strip() else f" {text}"
        return sum(
            boost * sum(padded.startswith(f" {phrase} ", i) for i in range(len(padded)))
            for phrase, boost in self.hotwords.items()
        )

    # What a prefix is ranked by

    def prefix_score(self, tokens: Tokens) -> float:
        """The closed part of the score and the estimate of the open part."""
        raw = "".join(self.table.characters[token - 1] for token in tokens)
        is_open = raw != "" and not raw.endswith(" ")
        words = raw.split()
        closed = words[:-1] if is_open else words
        if " " not in self.table.characters:
            closed = []
        single = " ".join(words) + (" " if words and not is_open else "")
        total = self.config.word_bonus * len(closed) + self.boosts(single, ended=False)
        if self.word_model is not None:
            total += self.word_score(closed, ended=False) + self.empty_words(tokens, ended=False)
            if is_open:
                total += self.look_ahead(words[-1])
        if self.character_model is not None:
            total += self.character_score(tokens, ended=False)
        if self.automaton is not None and self.automaton_state(tokens) < 0:
            return -math.inf
        return total + self.credit(single)

    def look_ahead(self, beginning: str) -> float:
        model, config = self.word_model, self.config
        assert model is not None
        weight = config.lm_weight
        candidates = [
            weight * float(model.arrays.unigram_log_prob[model.word_id(word)]) if weight else 0.0
            for word in spellable(model.words, self.table)
            if word.startswith(beginning)
        ]
        if not config.closed_vocabulary:
            unknown = float(model.arrays.unigram_log_prob[model.unknown_word])
            candidates.append((weight * unknown if weight else 0.0) + config.unknown_log_penalty)
        return max(candidates, default=-math.inf) + config.word_bonus

    def future(self, tokens: Tokens) -> tuple[object, ...]:
        """Equal for prefixes that no continuation can tell apart."""
        raw = "".join(self.table.characters[token - 1] for token in tokens)
        is_open = raw != "" and not raw.endswith(" ")
        closed = raw.split()[:-1] if is_open else raw.split()
        if " " not in self.table.characters:
            closed = []
        states: list[object] = [tokens[-1:]]
        if self.word_model is not None:
            word = raw.split()[-1] if is_open else ""
            words = spellable(self.word_model.words, self.table)
            is_known = any(known.startswith(word) for known in words)
            states += [state_after(self.word_model, closed), word if is_known else None]
        if self.character_model is not None:
            names = [character.replace(" ", "<space>") for character in raw]
            states.append(state_after(self.character_model, names))
        if self.automaton is not None:
            states.append(self.automaton_state(tokens))
        begun = [self._beginning(phrase, raw) for phrase in self.hotwords]
        return (*states, max(begun, key=len, default=""))

    def _beginning(self, phrase: str, raw: str) -> str:
        """The longest proper beginning of a hot word, or the whole, that a text ends in."""
        spaced = " " in self.table.characters
        spelling = f" {phrase} " if spaced else phrase
        heard = re.sub(" +", " ", f" {raw}") if spaced else raw
        ends = (spelling[:length] for length in range(len(spelling), 0, -1))
        return next((end for end in ends if heard.endswith(end)), "")

    def credit(self, text: str) -> float:
        values = [0.0]
        for phrase, boost in self.hotwords.items():
            spelling, free = (f" {phrase} ", 1) if " " in self.table.characters else (phrase, 0)
            heard = f" {text}" if free else text
            for length in range(free + 1, len(spelling)):
                is_begun = heard.endswith(spelling[:length])
                values.append(is_begun * boost * (length - free) / (len(spelling) - free))
        return max(values)


def state_after(model: NgramModel, words: Sequence[str]) -> int:
    """The model's state after some words of a sentence."""
    state = model.start_state
    for word in words:
        _, state = score_word(model.arrays, state, model.word_id(word))
    return state


@cache
def spellable(words: tuple[str, ...], table: TokenTable) -> frozenset[str]:
    """The words of a model that can be recognised."""
    return frozenset(
        word for word in words if word not in SPECIAL_WORDS and not table.unknown(word)
    )


def best_hypotheses(log_probs: Emissions, sources: Sources) -> dict[Tokens, float]:
    """The score of every possible finished hypothesis."""
    alignments = defaultdict(list)
    for path, log_prob in path_scores(log_probs).items():
        alignments[collapse(path)].append(log_prob)
    totals = {
        tokens: float(np.logaddexp.reduce(terms)) + sources.score(tokens)
        for tokens, terms in alignments.items()
    }
    return {tokens: total for tokens, total in totals.items() if total > -math.inf}


def guided_beam(
    log_probs: Emissions,
    sources: Sources,
    beam_size: int,
    beam_log_threshold: float = math.inf,
    recombine: bool = False,
) -> dict[Tokens, float]:
    """Prefix beam search over whole sequences in a dictionary, ranked by `prefix_score`.

    Returns the scores of finished hypotheses; ties at the edge of the beam are left to chance.
    """
    guide = cache(sources.prefix_score)
    beam: dict[Tokens, tuple[float, float]] = {(): (0.0, -math.inf)}
    for frame in log_probs.tolist():
        blank: defaultdict[Tokens, float] = defaultdict(lambda: -math.inf)
        token_: defaultdict[Tokens, float] = defaultdict(lambda: -math.inf)
        for prefix, (log_blank, log_token) in beam.items():
            total = _log_add(log_blank, log_token)
            blank[prefix] = _log_add(blank[prefix], total + frame[0])
            for token, log_prob in enumerate(frame[1:], start=1):
                repeats = prefix[-1:] == (token,)
                longer = (*prefix, token)
                source = log_blank if repeats else total
                token_[longer] = _log_add(token_[longer], source + log_prob)
                if repeats:
                    token_[prefix] = _log_add(token_[prefix], log_token + log_prob)
        totals = {p: _log_add(blank[p], token_[p]) for p in {**blank, **token_}}
        totals = {p: total + guide(p) for p, total in totals.items() if total > -math.inf}
        survivors = sorted(totals, key=lambda p: -totals[p])
        if recombine:
            best: dict[object, Tokens] = {}
            survivors = [p for p in survivors if best.setdefault(sources.future(p), p) == p]
        survivors = survivors[:beam_size]
        lowest = max(totals.values(), default=0.0) - beam_log_threshold
        beam = {p: (blank[p], token_[p]) for p in survivors if totals[p] > lowest}
    found = {p: _log_add(*both) + sources.score(p) for p, both in beam.items()}
    return {tokens: total for tokens, total in found.items() if total > -math.inf}


# Small random worlds


def tiny_model(sentences: list[list[str]], order: int) -> NgramModel:
    return compile_model(estimate(sentences, order).table)


_WORDS = ["a", "b", "ab", "ba", "aa", "abc", "é", "a'b"]
"""The last ones have characters that the tables below lack."""

_sentences = st.lists(
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4), min_size=1, max_size=4
)


@st.composite
def sources(draw: st.DrawFn) -> Sources:
    """Any combination of knowledge over two letters, with a space between words or without."""
    table = TokenTable(tuple(draw(st.sampled_from([" ab", "ab", "abc"]))))
    config = FusionConfig(
        lm_weight=draw(st.sampled_from([0.0, 0.4, 1.3])),
        word_bonus=draw(st.sampled_from([0.0, -0.7, 2.0])),
        unknown_log_penalty=draw(st.sampled_from([0.0, -1.5, -12.0])),
        empty_word_log_penalty=draw(st.sampled_from([0.0, -1.1, -10.0])),
        closed_vocabulary=draw(st.booleans()),
        character_weight=draw(st.sampled_from([0.0, 0.6])),
    )
    order = draw(st.integers(1, 3))
    word_model = character_model = automaton = None
    if draw(st.booleans()):
        word_model = tiny_model([*draw(_sentences), ["a"]], order)
    if draw(st.booleans()):
        spelled = [[c.replace(" ", "<space>") for c in " ".join(s)] for s in draw(_sentences)]
        character_model = tiny_model([*spelled, ["a", "b"]], order)
    if draw(st.booleans()):
        words = draw(st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=3))
        automaton = word_list(words, table)
    phrases = ["a", "ab", "ba", "b", "aba"] + (
        ["a b", "b a", "a a"] if " " in table.characters else []
    )
    hotwords = draw(
        st.dictionaries(st.sampled_from(phrases), st.sampled_from([3.0, 1.0, -2.0]), max_size=3)
    )
    return Sources(table, config, word_model, character_model, automaton, hotwords)


def emissions_over(seed: int, frames: int, table: TokenTable, peakiness: float) -> Emissions:
    """Random log-probabilities over a table, some of them impossible or next to it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=peakiness, size=(frames, len(table)))
    rare = generator.uniform(size=logits.shape)
    logits = np.where(rare < 0.05, -np.inf, np.where(rare < 0.1, -800.0, logits))
    logits[np.isneginf(logits).all(axis=1)] = 0.0
    normalised: Emissions = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return normalised
