"""The options of `asr.inference.options.DecodingOptions` on a command line."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from asr.cli.hotwords import parse_hotwords


def _option(name: str, help_text: str, **settings: Any) -> Any:
    return typer.Option(
        name, help=help_text, rich_help_panel="Decoding", show_default=False, **settings
    )


LanguageModel = Annotated[
    str,
    _option(
        "--lm",
        "ARPA language model (.gz too), of words, or of characters and <space>; none: decode "
        "without one. Default: the checkpoint's own, unless there is a grammar or lexicon.",
        metavar="FILE|none",
    ),
]
BeamSize = Annotated[
    int | None,
    _option(
        "--beam_size",
        "Prefixes kept by the beam search; 1 is greedy, without a language model. Default: as "
        "tuned for the checkpoint; else 1000 with a grammar or lexicon, 50 with a language model "
        "or any other option below, 1 without.",
        min=1,
    ),
]


def _decoding_options(
    beam_size: BeamSize = None,
    nbest: Annotated[
        int, _option("--nbest", "Hypotheses with distinct texts to return in JSON. Default: 1.")
    ] = 1,
    lm: LanguageModel = "auto",
    lm_weight: Annotated[
        float | None,
        _option(
            "--lm_weight",
            "Weight of the language model's log-probabilities. Default: as tuned, or 0.5.",
        ),
    ] = None,
    word_bonus: Annotated[
        float | None, _option("--word_bonus", "Log-score of each word. Default: as tuned, or 0.")
    ] = None,
    unknown_penalty: Annotated[
        float | None,
        _option(
            "--unknown_penalty",
            "Log-score of a word that the language model lacks, 0 or less. Default: as tuned, or "
            "-10.",
        ),
    ] = None,
    closed_vocabulary: Annotated[
        bool | None,
        _option(
            "--closed_vocabulary/--open_vocabulary",
            "Whether words that the language model lacks are impossible. Default: as tuned, or "
            "open.",
        ),
    ] = None,
    prior_weight: Annotated[
        float | None,
        _option(
            "--prior_weight",
            "The power of the label priors by which the model's outputs are divided, 0 or more, "
            "for more letters. Default: as tuned, with a grammar or lexicon also as tuned for any, "
            "or 0.5; 0 without these and a language model, or in a checkpoint without priors.",
        ),
    ] = None,
    hotwords: Annotated[
        list[str] | None,
        _option(
            "--hotwords",
            "Words and phrases to listen for, as WORD:BOOST with commas between, or @FILE with one "
            "a line; repeatable. BOOST is a log-score, 5 where it is left out.",
            metavar="WORD:BOOST,...",
        ),
    ] = None,
    lexicon: Annotated[
        str | None,
        _option("--lexicon", "Text file of the only possible words, one a line.", metavar="FILE"),
    ] = None,
    grammar: Annotated[
        str | None,
        _option(
            "--grammar",
            "The only possible sentences: a JSGF grammar, or a .txt with one a line.",
            metavar="FILE",
        ),
    ] = None,
    reject_below: Annotated[
        float | None,
        _option(
            "--reject_below",
            "With --grammar or --lexicon: the text is empty where the mean log-ratio of what they "
            "allow to the likeliest path is lower than this, 0 or less. `asr tune` finds a value; "
            "JSON shows the ratio. Default: as tuned for these, or else as the checkpoint says for "
            "any, or never; -1000 rejects nothing.",
        ),
    ] = None,
    no_speech_below: Annotated[
        float | None,
        _option(
            "--no_speech_below",
            "Without --grammar and --lexicon: words between pauses are noise, and left out, where "
            "they are less than so many nats a letter likelier than that nothing was said, 0 or "
            "more. Default: 2; 0 leaves nothing out.",
        ),
    ] = None,
) -> None:
    """The list of options; commands take them over."""


_PARAMETERS = inspect.signature(_decoding_options).parameters


def takes_decoding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options where it has the parameter `decoding`.

    The command gets the fields of `DecodingOptions` as a dictionary of keywords.
    """
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in _PARAMETERS}
        options["hotwords"] = parse_hotwords(options["hotwords"] or []) or None
        command(**arguments, decoding=options)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, own in signature.parameters.items()
        for parameter in (_PARAMETERS.values() if name == "decoding" else [own])
    ]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
