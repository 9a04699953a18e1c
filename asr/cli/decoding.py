"""The options that say how to decode: knowledge of the language, and how widely to search."""

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.hotwords import HOTWORD_BOOST, parse_hotwords

if TYPE_CHECKING:
    from asr.decode.beam import SearchConfig
    from asr.decode.decoder import Decoder, TunedSettings
    from asr.decode.fusion import FusionConfig
    from asr.inference.recognizer import Recognizer

_log = logging.getLogger("asr.decoding")

WIDE_BEAM = 50
"""The beam of a search that is told of the language, unless the user says otherwise."""


def _option(name: str, help_text: str, **limits: Any) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel="Decoding", **limits)


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
    """How emissions become text, as a command line says it; None: not said."""

    beam_size: Annotated[
        int | None,
        _option(
            "--beam_size",
            "Prefixes kept by the beam search; 1 without any of the options below is greedy. By "
            f"default as `asr tune` left it, else {WIDE_BEAM} with one of these options, else 1.",
            min=1,
            show_default=False,
        ),
    ] = None
    nbest: Annotated[
        int, _option("--nbest", "Hypotheses with distinct texts to return in JSON.", min=1)
    ] = 1
    lm: Annotated[
        Path | None,
        _option("--lm", "ARPA language model (.gz too), of words, or of characters and <space>."),
    ] = None
    lm_weight: Annotated[
        float | None,
        _option("--lm_weight", "Of the model's log-probabilities. Default: as tuned, or 0.5."),
    ] = None
    word_bonus: Annotated[
        float | None, _option("--word_bonus", "Log-score of each word. Default: as tuned, or 0.")
    ] = None
    unknown_penalty: Annotated[
        float | None,
        _option(
            "--unknown_penalty",
            "Log-score of a word that the model lacks, 0 or less. Default: as tuned, or -10.",
        ),
    ] = None
    closed_vocabulary: Annotated[
        bool | None,
        _option(
            "--closed_vocabulary/--open_vocabulary",
            "Whether words that the model lacks are impossible. Default: as tuned, or open.",
        ),
    ] = None
    hotwords: Annotated[
        list[str] | None,
        _option(
            "--hotwords",
            "Words and phrases to listen for, as WORD:BOOST with commas between, or @FILE with one "
            f"a line; repeatable. BOOST is a log-score, {HOTWORD_BOOST:g} where it is left out.",
            metavar="WORD:BOOST,...",
        ),
    ] = None
    lexicon: Annotated[
        Path | None, _option("--lexicon", "Text file of the only possible words, one a line.")
    ] = None
    grammar: Annotated[
        Path | None, _option("--grammar", "JSGF grammar of the only possible sentences.")
    ] = None
    reject_below: Annotated[
        float | None,
        _option(
            "--reject_below",
            "With --grammar or --lexicon: text is empty where the mean log-ratio of what they "
            "allow to what was heard is lower (0: the same). Try -0.5; JSON shows it as log_ratio.",
            max=0.0,
        ),
    ] = None

    def __post_init__(self) -> None:
        needs = {
            "--lm": ("lm_weight", "unknown_penalty", "closed_vocabulary"),
            "--grammar or --lexicon": ("reject_below",),
        }
        given = {
            "--lm": self.lm,
            "--grammar or --lexicon": self.lexicon or self.grammar,
        }
        for needed, names in needs.items():
            for name in names:
                if getattr(self, name) is not None and not given[needed]:
                    raise typer.BadParameter(f"--{name} means nothing without {needed}")

    @property
    def _tells(self) -> bool:
        """Whether there is knowledge that nothing was tuned with."""
        return bool(self.lexicon or self.grammar or self.hotwords)

    def decoder(self, recognizer: "Recognizer") -> "Decoder":
        """The decoder for a checkpoint: as tuned for the language model where nothing is said here.

        Raises AsrError as `build_decoder` and `tuned_settings` do.
        """
        from asr.decode.confidence import Calibration
        from asr.decode.decoder import build_decoder, tuned_settings

        hotwords = parse_hotwords(self.hotwords or [], recognizer.tokens)
        tuned = tuned_settings(recognizer.metrics, self.lm)
        search, fusion = self._settings(tuned)
        decoder = build_decoder(
            recognizer.tokens,
            search,
            fusion,
            lm=self.lm,
            lexicon=self.lexicon,
            grammar=self.grammar,
            hotwords=hotwords,
        )
        as_tuned = tuned is not None and tuned.agrees_with(search, fusion)
        if as_tuned and not decoder.is_greedy:
            _log.info("decoding as tuned for this checkpoint with %s", self.lm or "no model")
        fits = as_tuned and not self._tells
        return dataclasses.replace(
            decoder,
            calibration=tuned.calibration if tuned and fits else Calibration(),
            reject_below=self.reject_below,
        )

    def _settings(self, tuned: "TunedSettings | None") -> tuple["SearchConfig", "FusionConfig"]:
        """What is said here, and for the rest what was tuned, or failing that the defaults."""
        from asr.decode.beam import SearchConfig
        from asr.decode.fusion import FusionConfig

        if tuned is None or (not self.lm and self._tells):
            wide = self.lm or self._tells or self.word_bonus or self.nbest > 1
            search, fusion = SearchConfig(beam_size=WIDE_BEAM if wide else 1), FusionConfig()
        else:
            search, fusion = tuned.search, tuned.fusion
        said: dict[str, Any] = {
            "lm_weight": self.lm_weight,
            "word_bonus": self.word_bonus,
            "unknown_log_penalty": self.unknown_penalty,
            "closed_vocabulary": self.closed_vocabulary,
        }
        return (
            dataclasses.replace(
                search,
                beam_size=self.beam_size or max(search.beam_size, self.nbest),
                nbest=self.nbest,
            ),
            dataclasses.replace(
                fusion,
                **{name: value for name, value in said.items() if value is not None},
            ),
        )

    def report(self, decoder: "Decoder") -> dict[str, Any]:
        """The settings that a decoder works with, as plain JSON values."""
        from asr.config import to_dict

        if decoder.is_greedy:
            return {"search": "greedy"}
        settings = {"search": "beam", **to_dict(decoder.search)}
        if decoder.fusion is not None:
            settings["word_bonus"] = decoder.fusion.config.word_bonus
        if self.lm and decoder.fusion is not None:
            fusion = decoder.fusion.config
            settings |= {"lm": str(self.lm), "lm_weight": fusion.lm_weight}
            settings |= {
                "unknown_penalty": fusion.unknown_log_penalty,
                "closed_vocabulary": fusion.closed_vocabulary,
            }
        if self.hotwords:
            settings["hotwords"] = ",".join(self.hotwords)
        for name in ("lexicon", "grammar", "reject_below"):
            value = getattr(self, name)
            settings[name] = str(value) if isinstance(value, Path) else value
        return {name: value for name, value in settings.items() if value is not None}


def takes_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `DecodingOptions` where it has the parameter `decoding`."""
    options = inspect.signature(DecodingOptions).parameters
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        said = {name: arguments.pop(name) for name in options}
        command(**arguments, decoding=DecodingOptions(**said))

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, own in signature.parameters.items()
        for parameter in (options.values() if name == "decoding" else [own])
    ]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run
