"""How to decode: the options, their defaults, and the decoder that they make for a checkpoint.

Python and the command line share these. Unless told otherwise a checkpoint decodes with its own
language model (`lm.arpa.gz` in its folder) and the settings that `asr tune` found for it.
"""

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from asr.checkpoint.checkpoint import Checkpoint
from asr.checkpoint.language_model import own_language_model
from asr.config import to_dict
from asr.decode.beam import SearchConfig
from asr.decode.confidence import Calibration
from asr.decode.decoder import (
    Decoder,
    TunedSettings,
    build_decoder,
    general_settings,
    tuned_settings,
)
from asr.decode.fusion import FusionConfig
from asr.decode.no_speech import NO_SPEECH_BELOW
from asr.decode.priors import PRIOR_WEIGHT, log_priors
from asr.errors import AsrError, CheckpointError, ConfigError
from asr.language.confusable import Costs, describe_close_sentences, letter_costs
from asr.language.grammar.compiler import read_grammar
from asr.language.grammar.sentences import listed_sentences
from asr.text.tokens import TokenTable

_log = logging.getLogger(__name__)

AUTO = "auto"
"""`lm`: the checkpoint's own language model, if it has one and nothing speaks against it."""
NONE = "none"
"""`lm`: decode without a language model, as None does."""
WIDE_BEAM = 50
"""The beam of a search that was not tuned, without a grammar or word list."""
HOTWORD_BOOST = 5.0
"""Of a hot word that is given without one."""

_NEEDS_MODEL = ("lm_weight", "unknown_penalty", "closed_vocabulary")


class DecodingKeywords(TypedDict, total=False):
    """The fields of `DecodingOptions`, as keywords of the functions that decode."""

    beam_size: int | None
    nbest: int
    lm: str | Path | None
    lm_weight: float | None
    word_bonus: float | None
    unknown_penalty: float | None
    closed_vocabulary: bool | None
    prior_weight: float | None
    hotwords: Mapping[str, float] | Iterable[str] | None
    lexicon: str | Path | None
    grammar: str | Path | None
    reject_below: float | None
    no_speech_below: float | None


@dataclass(frozen=True)
class DecodingOptions:
    """How emissions become text. None: as tuned for the checkpoint, or the default.

    Raises ConfigError, whose message begins with the name of the option, on values that are out of
    range or that contradict each other.
    """

    beam_size: int | None = None
    """Prefixes that the beam search keeps. 1 decodes greedily, without a language model."""
    nbest: int = 1
    """Alternatives with distinct texts to return."""
    lm: str | Path | None = AUTO
    """An ARPA language model (.gz too), of words, or of characters and <space>; "auto": the
    checkpoint's own; "none" or None: decode without one."""
    lm_weight: float | None = None
    """Of the language model's log-probabilities; 0.5 where nothing was tuned."""
    word_bonus: float | None = None
    """Log-score of each word; 0 where nothing was tuned."""
    unknown_penalty: float | None = None
    """Log-score of a word that the language model lacks, 0 or less; -10 where nothing was tuned."""
    closed_vocabulary: bool | None = None
    """Whether words that the language model lacks are impossible."""
    prior_weight: float | None = None
    """The power of the label priors by which the model's outputs are divided, 0 or more: more
    letters, and more of the rare ones. Where nothing was tuned 0.5 with a language model, and with
    a lexicon or grammar as the checkpoint says for any, or else 0.5; 0 without any of these, or in
    a checkpoint without priors, as of earlier versions until `asr tune` measures them."""
    hotwords: Mapping[str, float] | Iterable[str] | None = None
    """Words and phrases to listen for, each with its boost, a log-score; `HOTWORD_BOOST` where only
    the words are given."""
    lexicon: str | Path | None = None
    """A text file of the only possible words, one a line. No language model unless `lm` names one.
    """
    grammar: str | Path | None = None
    """The only possible sentences: a JSGF grammar, or a list of them, one a line, in a file ending
    in `.txt`. No language model unless `lm` names one."""
    reject_below: float | None = None
    """With a lexicon or grammar: the text is empty where `Transcript.log_ratio` is lower; 0 or
    less. None: as tuned for these, or else as the checkpoint says for any."""
    no_speech_below: float | None = None
    """Without them: words between pauses are noise, and left out, where they are less than so many
    nats a letter likelier than that nothing was said; 0 or more. None: 2; 0 leaves nothing out.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "lm", _checked_lm(self.lm))
        object.__setattr__(self, "hotwords", _boosts(self.hotwords))
        for name in ("lexicon", "grammar"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checked_path(name, getattr(self, name)))
        for name in ("beam_size", "nbest"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise ConfigError(f"{name}: expected a whole number, found {value!r}")
            if value is not None and value < 1:
                raise ConfigError(f"{name}: expected at least 1, found {value}")
        _check_numbers(self)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse what contradicts itself: an option that another one leaves without effect."""
        if self.lexicon and self.grammar:
            raise ConfigError(
                f"lexicon: expected a lexicon or a grammar, found {self.lexicon} and "
                f"{self.grammar}; a grammar states its own words"
            )
        if self.beam_size == 1 and isinstance(self.lm, Path):
            raise ConfigError(
                f"lm: expected a beam to use {self.lm} with, found beam_size 1; leave one of them "
                "out, or take a larger beam_size"
            )
        if self.reject_below is not None and not self.is_constrained:
            raise ConfigError("reject_below: has no effect without a grammar or lexicon")
        if self.no_speech_below is not None and self.is_constrained:
            raise ConfigError(
                "no_speech_below: has no effect with a grammar or lexicon, where reject_below has"
            )
        if not self.may_use_lm:
            for name in _NEEDS_MODEL:
                if getattr(self, name) is not None:
                    raise ConfigError(f"{name}: has no effect without a language model (lm)")

    @property
    def is_constrained(self) -> bool:
        """Whether a lexicon or grammar says what is possible."""
        return self.constraint is not None

    @property
    def constraint(self) -> Path | None:
        """The file of the lexicon or grammar."""
        return self.grammar or self.lexicon  # type: ignore[return-value]  # checked above

    @property
    def may_use_lm(self) -> bool:
        """Whether there may be a language model, be it the checkpoint's own."""
        if self.lm == AUTO:
            return self.beam_size != 1 and not self.is_constrained
        return self.lm is not None


def _checked_lm(lm: object) -> str | Path | None:
    if lm is None or lm == NONE:
        return None
    return AUTO if lm == AUTO else _checked_path("lm", lm)


def _checked_path(name: str, value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{name}: expected the path of a file, found {value!r}")
    return Path(value)


def _boosts(hotwords: object) -> Mapping[str, float] | None:
    """Hot words with their boosts. What a token table can spell is checked where there is one."""
    if hotwords is None:
        return None
    if isinstance(hotwords, str) or not isinstance(hotwords, Iterable):
        raise ConfigError(
            f"hotwords: expected words with their boosts, such as {{'HELLO': 4.5}}, or a list of "
            f"words, found {hotwords!r}"
        )
    given = hotwords if isinstance(hotwords, Mapping) else dict.fromkeys(hotwords, HOTWORD_BOOST)
    for phrase, boost in given.items():
        if not isinstance(phrase, str) or not phrase.split():
            raise ConfigError(f"hotwords: expected a word or phrase, found {phrase!r}")
        if not _is_finite(boost):
            raise ConfigError(f"hotwords: expected a finite boost of {phrase!r}, found {boost!r}")
    return {" ".join(phrase.split()): float(boost) for phrase, boost in given.items()} or None


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_numbers(options: DecodingOptions) -> None:
    weights = ("lm_weight", "word_bonus", "unknown_penalty", "prior_weight")
    for name in (*weights, "reject_below", "no_speech_below"):
        value = getattr(options, name)
        if value is not None and not _is_finite(value):
            raise ConfigError(f"{name}: expected a finite number, found {value!r}")
    for name in ("lm_weight", "prior_weight", "no_speech_below"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise ConfigError(f"{name}: expected 0 or more, found {value}")
    for name in ("unknown_penalty", "reject_below"):
        value = getattr(options, name)
        if value is not None and value > 0:
            raise ConfigError(f"{name}: expected 0 or less, found {value}")


@dataclass(frozen=True)
class Decoding:
    """A decoder made ready for a checkpoint, and what it was made of."""

    options: DecodingOptions
    decoder: Decoder
    lm: Path | None
    """The language model in use."""
    lm_is_own: bool
    """Whether it is the checkpoint's."""
    has_settings: bool
    """Whether there are settings that `asr tune` found for this language model and constraint."""
    is_tuned: bool
    """Whether all settings in use are those."""

    def summary(self) -> str:
        """Which search and which language model are in use, in one line."""
        if self.decoder.is_greedy:
            return "decoding greedily, without a language model"
        beam = f"decoding with a beam of {self.decoder.search.beam_size}"
        parts = []
        if self.lm is not None:
            parts.append(f"the checkpoint's own {self.lm.name}" if self.lm_is_own else str(self.lm))
        parts += [str(path) for path in (self.options.grammar, self.options.lexicon) if path]
        if self.options.hotwords:
            count = len(list(self.options.hotwords))
            parts.append("1 hot word" if count == 1 else f"{count} hot words")
        what = f" and {', '.join(parts)}" if parts else ""
        state = "" if self.lm else ", without a language model"
        if self.is_tuned:
            state += ", as tuned"
        elif self.lm_is_own and not self.has_settings:
            state += ", not tuned: see `asr tune`"
        if self.decoder.reject_below is not None:
            state += f", rejecting what fits worse than {self.decoder.reject_below:g}"
        return f"{beam}{what}{state}"

    def settings(self) -> dict[str, Any]:
        """The settings in use, as plain JSON values."""
        settings: dict[str, Any] = {"search": "greedy"}
        if not self.decoder.is_greedy:
            settings = {"search": "beam", **to_dict(self.decoder.search)}
        if self.decoder.fusion is not None:
            fusion = self.decoder.fusion.config
            settings["word_bonus"] = fusion.word_bonus
            if self.lm is not None:
                settings |= {
                    "lm": str(self.lm),
                    "lm_weight": fusion.lm_weight,
                    "unknown_penalty": fusion.unknown_log_penalty,
                    "closed_vocabulary": fusion.closed_vocabulary,
                }
        if self.options.hotwords:
            settings["hotwords"] = self.options.hotwords
        for name in ("lexicon", "grammar"):
            path = getattr(self.options, name)
            settings[name] = str(path) if path else None
        settings["reject_below"] = self.decoder.reject_below
        settings["no_speech_below"] = self.decoder.no_speech_below or None
        return {name: value for name, value in settings.items() if value is not None}


def prepare_decoding(
    options: DecodingOptions,
    tokens: TokenTable,
    checkpoint: Checkpoint,
) -> Decoding:
    """The decoder that the options make for a checkpoint, whose weights do not matter here.

    Raises ConfigError on options that contradict each other, CheckpointError where the checkpoint's
    own language model is missing, damaged or of other characters, TextError on hot words that the
    token table cannot spell, AsrError where another file cannot be read.
    """
    own = None
    if options.lm == AUTO and options.may_use_lm:
        own = own_language_model(checkpoint)
    lm = own or (options.lm if isinstance(options.lm, Path) else None)
    if lm is None:
        for name in _NEEDS_MODEL:
            if getattr(options, name) is not None:
                raise ConfigError(
                    f"{name}: has no effect without a language model, and this checkpoint has "
                    "none of its own; name one with lm"
                )
    # Read once: it is compiled, and its sentences are compared.
    grammar = read_grammar(options.grammar) if options.grammar else None
    sentences = listed_sentences(grammar) if grammar else None
    tuned = general = costs = None
    try:
        priors = log_priors(checkpoint.metrics, tokens)
        if options.beam_size != 1:
            tuned = tuned_settings(checkpoint.metrics, lm, options.constraint)
        if options.is_constrained:
            general = general_settings(checkpoint.metrics)
        if sentences is not None:
            costs = letter_costs(checkpoint.metrics, tokens)
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint.folder or 'checkpoint'}: {error}") from error
    search, fusion = _settings(options, lm, tuned, general, has_priors=priors is not None)
    if search.prior_weight and priors is None:
        raise ConfigError(
            "prior_weight: expected a checkpoint with label priors, found none in "
            f"{checkpoint.folder or 'it'}; `asr tune` measures them"
        )
    try:
        decoder = build_decoder(
            tokens,
            search,
            fusion,
            lm=lm,
            lexicon=Path(options.lexicon) if options.lexicon else None,
            grammar=grammar,
            hotwords=dict(options.hotwords) if isinstance(options.hotwords, Mapping) else None,
        )
    except AsrError as error:
        if own is not None and str(error).startswith(f"{own}"):
            raise CheckpointError(
                f"{error}; the checkpoint's language model is of no use to it: replace it by "
                "`asr tune --lm`, or decode without it (lm none)"
            ) from error
        raise
    if sentences is not None and costs is not None:
        _warn_of_close_sentences(sentences, tokens, costs, options.grammar)
    is_tuned = tuned is not None and tuned.agrees_with(search, fusion) and not options.hotwords
    thresholds = [options.reject_below, *(one.reject_below for one in (tuned, general) if one)]
    decoder = dataclasses.replace(
        decoder,
        calibration=tuned.calibration if tuned and is_tuned else Calibration(),
        log_priors=priors,
        reject_below=next((one for one in thresholds if one is not None), None),
        no_speech_below=_no_speech_below(options),
    )
    return Decoding(options, decoder, lm, own is not None, tuned is not None, is_tuned)


def _no_speech_below(options: DecodingOptions) -> float:
    if options.is_constrained:
        return 0.0
    return NO_SPEECH_BELOW if options.no_speech_below is None else options.no_speech_below


def _warn_of_close_sentences(
    sentences: Sequence[str], tokens: TokenTable, costs: Costs, path: Path | str | None
) -> None:
    if close := describe_close_sentences(sentences, tokens, costs):
        _log.warning(
            "%s: hard to tell apart are %s; the number is how much likelier the model finds what "
            "is said, in nats: choose words that sound less alike",
            path,
            close,
        )


def _settings(
    options: DecodingOptions,
    lm: Path | None,
    tuned: TunedSettings | None,
    general: TunedSettings | None,
    *,
    has_priors: bool,
) -> tuple[SearchConfig, FusionConfig]:
    """What the options say, and for the rest what was tuned, or failing that the defaults.

    The latter are the `general` settings where there is a constraint.
    """
    if tuned is not None and (lm or options.is_constrained or not options.hotwords):
        search, fusion = tuned.search, tuned.fusion
    elif general is not None:
        search, fusion = general.search, general.fusion
    else:
        guided = lm or options.hotwords or options.word_bonus or options.prior_weight
        wide = guided or options.nbest > 1
        weight = PRIOR_WEIGHT if lm and has_priors else 0.0
        search = SearchConfig(beam_size=WIDE_BEAM if wide else 1, prior_weight=weight)
        fusion = FusionConfig()
    given: dict[str, Any] = {
        "lm_weight": options.lm_weight,
        "word_bonus": options.word_bonus,
        "unknown_log_penalty": options.unknown_penalty,
        "closed_vocabulary": options.closed_vocabulary,
    }
    return (
        dataclasses.replace(
            search,
            beam_size=options.beam_size or max(search.beam_size, options.nbest),
            nbest=options.nbest,
            prior_weight=(
                search.prior_weight if options.prior_weight is None else options.prior_weight
            ),
        ),
        dataclasses.replace(
            fusion, **{name: value for name, value in given.items() if value is not None}
        ),
    )
