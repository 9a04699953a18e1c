"""A decoder: a search with its pruning, its language models, and what was tuned for a checkpoint.

`tuned_settings` and `with_tuned_settings` are how a choice made on a dev set reaches every later
use: it is a record in the checkpoint's `metrics.json`, found again by the language model's content.
"""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.config import from_dict, to_dict
from asr.decode.align import viterbi_align
from asr.decode.beam import BeamSearch, SearchConfig, search
from asr.decode.confidence import Calibration, mean_log_ratio
from asr.decode.fusion import Fusion, FusionConfig
from asr.decode.greedy import GreedySearch, greedy_search
from asr.decode.hypothesis import Hypothesis, checked_emissions
from asr.decode.kernel import search_kernel, search_kernel_alone
from asr.decode.priors import LOG_PRIORS, PRIOR_WEIGHT, divided_by_priors
from asr.decode.streaming import StreamingSearch
from asr.errors import ConfigError, TextError
from asr.files import sha256_of
from asr.language.grammar.compiler import compile_grammar, read_grammar
from asr.language.grammar.tree import Grammar
from asr.language.hotwords import spell_hotword
from asr.language.ngram.model import NgramModel, read_arpa
from asr.language.ngram.table import SPACE, SPECIAL_WORDS
from asr.language.word_list import read_word_list
from asr.text.tokens import TokenTable

GREEDY = SearchConfig(beam_size=1)
TUNED = "decoding"
"""The key of the tuned settings in a checkpoint's metrics."""
CONSTRAINED = SearchConfig(beam_size=1000, beam_log_threshold=20.0)
"""The search with a grammar or word list that was not tuned. Most of what it allows scores badly in
a passage that the model is unsure of: a narrow beam loses the right sentence there."""
LIST_PRIOR_WEIGHT, REJECT_BELOW = "prior_weight", "reject_below"
"""The keys in a checkpoint's metrics of what holds for grammars and word lists that were not tuned.
"""
_WIDEST_TUNED = 1000
"""What a checkpoint may ask for: memory and time grow with the beam."""
_RETIRED = {"": ("rescoring",), "search": ("blank_penalty",)}
"""Keys that earlier versions wrote, of such settings and of their `search`: the second pass, which
has been removed, and what the blank lost, in place of label priors."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TunedSettings:
    """What was found best on a dev set, with one language model or without."""

    lm_sha256: str | None = None
    """Of the language model's file; None: decoding without one."""
    search: SearchConfig = GREEDY
    fusion: FusionConfig = field(default_factory=FusionConfig)
    calibration: Calibration = field(default_factory=Calibration)
    lm_source_sha256: str | None = None
    """Of the file that the language model was copied from, where the checkpoint holds a copy."""
    constraint_sha256: str | None = None
    """Of the grammar or word list that this was tuned with; None: without one."""
    reject_below: float | None = None
    """As `Decoder.reject_below`, where a grammar or word list was tuned."""

    def __post_init__(self) -> None:
        if self.search.beam_size > _WIDEST_TUNED:
            raise ConfigError(
                f"search.beam_size: expected at most {_WIDEST_TUNED}, as `asr tune` chooses it, "
                f"found {self.search.beam_size}; tune the checkpoint again"
            )

    def agrees_with(self, search: SearchConfig, fusion: FusionConfig) -> bool:
        """Whether a decoder of these settings finds the same; how many it returns is its own."""
        search = dataclasses.replace(search, nbest=self.search.nbest)
        return (search, fusion) == (self.search, self.fusion)


def tuned_settings(
    metrics: Mapping[str, Any], lm: Path | None = None, constraint: Path | None = None
) -> TunedSettings | None:
    """The settings tuned for a language model and a grammar or word list; None if there are none.

    A language model is recognised by the file that was tuned with or by the checkpoint's copy of
    it. Raises ConfigError on a record that is malformed, AsrError if a file cannot be read.
    """
    candidates = [
        settings
        for settings in all_tuned_settings(metrics)
        if (settings.constraint_sha256 is None) == (constraint is None)
    ]
    if not candidates:
        return None
    lm_sha256 = sha256_of(lm) if lm else None
    constraint_sha256 = sha256_of(constraint) if constraint else None
    for settings in candidates:
        if settings.constraint_sha256 == constraint_sha256 and (
            lm_sha256 == settings.lm_sha256
            or (lm is not None and lm_sha256 == settings.lm_source_sha256)
        ):
            return settings
    return None


def general_settings(metrics: Mapping[str, Any]) -> TunedSettings:
    """The settings for any grammar or word list that was not tuned.

    Raises ConfigError where what the checkpoint holds is not a number in range.
    """
    values = {}
    for name, sign in ((LIST_PRIOR_WEIGHT, 1), (REJECT_BELOW, -1)):
        value = values[name] = metrics.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (value is None or (is_number and 0 <= sign * value < math.inf)):
            least = "more" if sign > 0 else "less"
            raise ConfigError(
                f"metrics: {name}: expected a number of 0 or {least}, found {value!r}"
            )
    weight = values[LIST_PRIOR_WEIGHT]
    if weight is None:
        weight = PRIOR_WEIGHT if LOG_PRIORS in metrics else 0.0
    return TunedSettings(
        search=dataclasses.replace(CONSTRAINED, prior_weight=weight),
        reject_below=values[REJECT_BELOW],
    )


def all_tuned_settings(metrics: Mapping[str, Any]) -> list[TunedSettings]:
    """The settings that a checkpoint's metrics hold.

    Raises ConfigError on a record that is malformed.
    """
    records = metrics.get(TUNED, {})
    if not isinstance(records, Mapping):
        raise ConfigError(f"metrics: {TUNED}: expected an object, found {records!r}")
    return [
        from_dict(TunedSettings, _without_retired(record, name), f"metrics: {TUNED}.{name}")
        for name, record in records.items()
    ]


def _without_retired(record: Any, name: str) -> Any:
    """A record without the keys that have gone; a message says so where they were in use."""
    if not isinstance(record, Mapping):
        return record
    parts = {"": record, "search": record.get("search")}
    known: dict[str, Any] = {}
    gone: list[str] = []
    for part, keys in _RETIRED.items():
        if isinstance(values := parts[part], Mapping):
            gone += [key for key in keys if values.get(key)]
            known[part] = {key: value for key, value in values.items() if key not in keys}
    if gone:
        _log.warning(
            "metrics: %s.%s: %s was tuned by an earlier version and is ignored now; run "
            "`asr tune` again",
            *(TUNED, name, ", ".join(gone)),
        )
    return known.pop("") | known


def with_tuned_settings(
    metrics: Mapping[str, Any], name: str, settings: TunedSettings
) -> dict[str, Any]:
    """The metrics with settings under a name, say that of the language model's file.

    They replace those of the same name and those for the same language model and constraint.
    """
    key = (settings.lm_sha256, settings.constraint_sha256)
    kept = {
        other: record
        for other, record in metrics.get(TUNED, {}).items()
        if other != name and (record.get("lm_sha256"), record.get("constraint_sha256")) != key
    }
    return {**metrics, TUNED: {**kept, name: to_dict(settings)}}


@dataclass(frozen=True)
class Decoder:
    """Emissions to hypotheses: greedy, or by beam search with language models and constraints.

    Read only: threads may share it.
    """

    search: SearchConfig = GREEDY
    fusion: Fusion | None = None
    calibration: Calibration = field(default_factory=Calibration)
    """Of the word confidences."""
    log_priors: tuple[float, ...] | None = None
    """Of the tokens, for `search.prior_weight`."""
    reject_below: float | None = None
    """With an automaton: what was said counts as none of its sentences where
    `log_ratio` is lower."""
    no_speech_below: float = 0.0
    """Words between pauses are left out of a transcript where they are less than so many nats a
    letter likelier than that nothing was said (`asr.decode.no_speech`). 0: none."""

    @property
    def is_greedy(self) -> bool:
        """Whether only the likeliest token of each frame counts."""
        search = self.search
        return self.fusion is None and search.beam_size == 1 and not search.prior_weight

    @property
    def is_constrained(self) -> bool:
        """Whether a lexicon or grammar says which sentences are possible."""
        return self.fusion is not None and self.fusion.external.has_automaton

    def __call__(self, log_probs: Tensor, at_least: int = 1) -> list[Hypothesis]:
        """Decode one utterance of emissions `(T, C)`, best first, as `greedy_search` or `search`.

        A beam gives `search.nbest` hypotheses, or `at_least` so many, as far as it has them.
        Raises ConfigError as they do.
        """
        if self.is_greedy:
            return [greedy_search(log_probs)]
        wanted = min(max(self.search.nbest, at_least), self.search.beam_size)
        config = dataclasses.replace(self.search, nbest=wanted)
        return search(log_probs, config, self.fusion, self.log_priors)

    def log_ratio(self, log_probs: Tensor, tokens: Sequence[int]) -> float:
        """The `mean_log_ratio` of a sequence in emissions `(T, C)`, divided by the priors."""
        weight = self.search.prior_weight
        divided = divided_by_priors(checked_emissions(log_probs), self.log_priors, weight)
        emissions = torch.from_numpy(divided)
        return mean_log_ratio(emissions, viterbi_align(emissions, tokens))

    def start(self, table: TokenTable, frame_seconds: float) -> StreamingSearch:
        """Start to decode emissions that arrive in blocks, frames of so many seconds each.

        `table` has the tokens of the emissions. Without an end in sight memory stays flat.
        """
        if self.is_greedy:
            return StreamingSearch(GreedySearch(), table, frame_seconds)
        running = BeamSearch(self.search, self.fusion, self.log_priors)
        return StreamingSearch(running, table, frame_seconds)


def build_decoder(
    table: TokenTable,
    search: SearchConfig = GREEDY,
    fusion: FusionConfig | None = None,
    *,
    lm: Path | None = None,
    lexicon: Path | None = None,
    grammar: Path | Grammar | None = None,
    hotwords: Mapping[str, float] | None = None,
) -> Decoder:
    """The decoder over a token table that these files, and hot words with their boosts, make.

    A grammar may have been read already.

    `lm` is an ARPA model of words or of characters (see `is_of_characters`), whose weight is
    `fusion.lm_weight` either way. Without any of them, and with no word bonus, nothing but the
    emissions counts. Raises AsrError where a file cannot be read or does not fit the table,
    ConfigError where both a lexicon and a grammar are given.
    """
    fusion = fusion or FusionConfig()
    if lexicon and grammar:
        raise ConfigError(
            f"lexicon {lexicon} and grammar {grammar}: expected one of them; a grammar states its "
            "own words"
        )
    guided = bool(lm or lexicon or grammar or hotwords or fusion.word_bonus)
    if guided or search.beam_size > 1:  # while the files are read and the encoder works
        (search_kernel if guided else search_kernel_alone).compile_in_background()
    if not guided:
        return Decoder(search)
    automaton = None
    if lexicon:
        automaton = read_word_list(lexicon, table)
    elif grammar:
        read = grammar if isinstance(grammar, Grammar) else read_grammar(grammar)
        automaton = compile_grammar(read, table)
    model = read_arpa(lm) if lm else None
    of_characters = model is not None and is_of_characters(model, table)
    if of_characters:
        fusion = dataclasses.replace(fusion, character_weight=fusion.lm_weight)
    for phrase, boost in (hotwords or {}).items():
        spell_hotword(phrase, boost, table)  # so that what Fusion refuses is the language model
    try:
        scorers = Fusion(
            table,
            fusion,
            word_model=None if of_characters else model,
            character_model=model if of_characters else None,
            automaton=automaton,
            hotwords=hotwords,
        )
    except (ConfigError, TextError) as error:
        assert lm is not None  # all else was made for this table
        raise TextError(f"{lm}: {error}") from error
    return Decoder(search, scorers)


def is_of_characters(model: NgramModel, table: TokenTable) -> bool:
    """Whether the words of a language model are characters: it then has `<space>`.

    Over a table without a space a sentence is one word, and words of one character decide.
    """
    if table.space >= 0:
        return SPACE in model.words
    return all(
        len(table.split(word)) == 1 for word in model.words if word.lower() not in SPECIAL_WORDS
    )
