"""What a search is told beside the sound: language models, an automaton, hot words.

Shallow fusion: the scores of all are added while prefixes grow (Gulcehre et al., "On Using
Monolingual Corpora in Neural Machine Translation", arXiv 1503.03535, 2015). A finished hypothesis
scores

    log p_ctc(tokens) + lm_weight · log p_lm(words, </s>) + word_bonus · words
        + character_weight · log p_characters(tokens, </s>) + boosts of the hot words in it

whose words are those of `TokenTable.decode`. An unknown word costs `lm_weight · log p_lm(<unk>) +
unknown_log_penalty`, or is impossible. Spaces before, behind and beside a space, which the text
does not show, are empty words: to a word model each costs `empty_word_log_penalty`, for where the
model emits two spaces there was a word between them that it could not spell. Character
models and automata see every token.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asr.decode.external_scores import ExternalScores, score_sequence
from asr.errors import ConfigError
from asr.language.automata.automaton import Automaton
from asr.language.hotwords import LARGEST_BOOST, Hotwords, build_hotwords
from asr.language.lexicon import Lexicon, build_lexicon
from asr.language.ngram.model import NgramArrays, NgramModel
from asr.language.ngram.table import SPACE
from asr.language.spelling import in_known_case
from asr.text.tokens import TokenTable

_log = logging.getLogger(__name__)

Arrays = TypeVar("Arrays", bound=tuple[object, ...])


@dataclass(frozen=True)
class FusionConfig:
    """How much each source counts; natural logarithms."""

    lm_weight: float = 0.5
    """Of the word model's log-probabilities."""
    word_bonus: float = 0.0
    """Added for each word, with a word model or without one."""
    unknown_log_penalty: float = -10.0
    """Added for each word that the word model lacks, 0 or less."""
    empty_word_log_penalty: float = -10.0
    """Added, with a word model, for each space that ends no word, 0 or less."""
    closed_vocabulary: bool = False
    """Words that the word model lacks are impossible."""
    character_weight: float = 0.5
    """Of the character model's log-probabilities."""

    def __post_init__(self) -> None:
        for name in ("lm_weight", "character_weight"):
            weight = getattr(self, name)
            if not 0 <= weight <= LARGEST_BOOST:
                raise ConfigError(f"{name}: expected 0 to {LARGEST_BOOST:g}, found {weight}")
        if not abs(self.word_bonus) <= LARGEST_BOOST:
            raise ConfigError(
                f"word_bonus: expected a finite number, {LARGEST_BOOST:g} at most in size, found "
                f"{self.word_bonus}"
            )
        if not -LARGEST_BOOST <= self.unknown_log_penalty <= 0:
            raise ConfigError(
                f"unknown_log_penalty: expected {-LARGEST_BOOST:g} to 0, found "
                f"{self.unknown_log_penalty}; closed_vocabulary makes unknown words impossible"
            )
        if not -LARGEST_BOOST <= self.empty_word_log_penalty <= 0:
            raise ConfigError(
                f"empty_word_log_penalty: expected {-LARGEST_BOOST:g} to 0, found "
                f"{self.empty_word_log_penalty}"
            )


class Fusion:
    """Language models, automata and hot words over one token table, prepared once for all searches.

    Read only, so that threads may share it.
    """

    def __init__(
        self,
        table: TokenTable,
        config: FusionConfig | None = None,
        *,
        word_model: NgramModel | None = None,
        character_model: NgramModel | None = None,
        automaton: Automaton | None = None,
        hotwords: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare any of the sources together.

        `character_model` has the tokens as its words, the space as `<space>`; `hotwords` maps
        words and phrases to their boosts. Raises TextError on words or characters that the table
        lacks (some words of a language model excepted: they are counted in a warning), and
        ConfigError on an open vocabulary without <unk> or an automaton over other tokens.
        """
        self.table = table
        self.config = config or FusionConfig()
        external = _absent(len(table))._replace(space=table.space)
        if word_model is not None:
            external = external._replace(
                has_words=True,
                word_model=_flat(word_model.arrays),
                lexicon=build_lexicon(word_model, table),
                word_start=word_model.start_state,
                word_end=word_model.end_word,
                unknown_word=word_model.unknown_word,
            )
        if character_model is not None:
            external = external._replace(
                has_characters=True,
                character_model=_flat(character_model.arrays),
                character_word=_character_words(character_model, table),
                character_start=character_model.start_state,
                character_end=character_model.end_word,
            )
        if automaton is not None:
            if automaton.edge_token.max(initial=0) >= len(table):
                raise ConfigError(
                    f"automaton: expected tokens below {len(table)}, found "
                    f"{automaton.edge_token.max()}; compile it for this token table"
                )
            external = external._replace(has_automaton=True, automaton=_flat(automaton))
        if hotwords:
            external = external._replace(
                has_hotwords=True, hotwords=build_hotwords(hotwords, table)
            )
        self.external = _weigh(external, self.config)

    def with_config(self, config: FusionConfig) -> "Fusion":
        """The same sources with other weights; costs next to nothing."""
        other = object.__new__(Fusion)
        other.table, other.config = self.table, config
        other.external = _weigh(self.external, config)
        return other

    def score(self, tokens: Sequence[int]) -> float:
        """What the sources add to the log-probability of a finished hypothesis; -inf: it cannot be.

        By the search's own steps, for a transcript that it need not have found.
        """
        return score_sequence(np.array(tokens, dtype=np.int64), self.external)


def _weigh(external: ExternalScores, config: FusionConfig) -> ExternalScores:
    penalty = -math.inf if config.closed_vocabulary else config.unknown_log_penalty
    estimate = -math.inf
    if external.has_words and not config.closed_vocabulary:
        if external.unknown_word < 0:
            raise ConfigError(
                "language model: has no <unk>, so that unknown words have no price; set "
                "closed_vocabulary, or estimate the model with <unk>"
            )
        log_prob = float(external.word_model.unigram_log_prob[external.unknown_word])
        estimate = (config.lm_weight * log_prob if config.lm_weight else 0.0) + penalty
    return external._replace(
        word_weight=float(config.lm_weight),
        word_bonus=float(config.word_bonus),
        unknown_log_penalty=float(penalty),
        unknown_estimate=estimate,
        empty_word_log_penalty=float(config.empty_word_log_penalty),
        character_weight=float(config.character_weight),
    )


def _absent(tokens: int) -> ExternalScores:
    ints, floats = np.zeros(1, np.int32), np.zeros(1)
    ngrams = NgramArrays(floats, ints, floats, ints, np.zeros(1, np.int64), floats, ints)
    automaton = Automaton(np.zeros(2, np.int32), ints, ints, np.zeros(1, np.bool_))
    return ExternalScores(
        space=-1,
        word_bonus=0.0,
        has_words=False,
        word_model=ngrams,
        lexicon=Lexicon(automaton, ints, floats),
        word_weight=0.0,
        word_start=0,
        word_end=-1,
        unknown_word=-1,
        unknown_log_penalty=0.0,
        unknown_estimate=0.0,
        empty_word_log_penalty=0.0,
        has_characters=False,
        character_model=ngrams,
        character_word=np.zeros(tokens, np.int32),
        character_weight=0.0,
        character_start=0,
        character_end=-1,
        has_automaton=False,
        automaton=automaton,
        has_hotwords=False,
        hotwords=Hotwords(automaton, ints, floats, floats, 0, 0.0),
    )


def _flat(arrays: Arrays) -> Arrays:
    """The arrays laid out as compiled code was compiled for: contiguous and writable."""
    return type(arrays)(*(np.require(array, requirements=["C", "W"]) for array in arrays))


def _character_words(model: NgramModel, table: TokenTable) -> NDArray[np.int32]:
    """(C,) the model's word for each token, in whichever case; <unk> for one it lacks, or -1."""
    names = [SPACE if character == " " else character for character in table.characters]
    words = set(model.words)
    names = [in_known_case(name, words.__contains__) for name in names]
    missing = [name for name in names if name not in words]
    if len(missing) == len(names):
        raise ConfigError(
            "character language model: has none of the recogniser's characters as a word "
            f"({', '.join(map(repr, model.words[:5]))}, ...); is it a model of words?"
        )
    if missing:
        _log.warning(
            "character language model: lacks %d of the recogniser's %d %s: %s",
            len(missing),
            len(names),
            table.units,
            " ".join(missing),
        )
    return np.array([-1, *map(model.word_id, names)], dtype=np.int32)
