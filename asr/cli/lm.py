"""`asr lm`: train language models on text, and evaluate them."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import echo
from asr.cli.options import check_folder
from asr.errors import ConfigError
from asr.files import write_json_atomic
from asr.language.ngram.arpa import LARGEST_ORDER

if TYPE_CHECKING:
    from asr.language.ngram.kneser_ney import Estimate
    from asr.language.ngram.perplexity import SentenceScore, TextScore
    from asr.text.tokens import Units

app = typer.Typer(
    help="Train n-gram language models on text, and measure their perplexity.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_TEXT_HELP = "Text with one sentence per line (may be .gz), or a manifest (.jsonl)."
_Characters = Annotated[
    bool,
    typer.Option("--characters", help="Model characters instead of words; the space is <space>."),
]
_Graphemes = Annotated[
    bool,
    typer.Option(
        "--graphemes",
        help="Model grapheme clusters instead of words, for checkpoints whose tokens they are.",
    ),
]


def _units(characters: bool, graphemes: bool) -> "Units | None":
    if characters and graphemes:
        raise typer.BadParameter("expected --characters or --graphemes, found both")
    return "characters" if characters else "graphemes" if graphemes else None


def _counts(value: str) -> list[int]:
    try:
        return [int(count) for count in value.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"expected counts separated by commas, such as 0,0,1; found {value!r}"
        ) from None


@app.command()
def train(
    texts: Annotated[
        list[Path], typer.Argument(metavar="TEXT...", help=_TEXT_HELP, show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="ARPA file to write; .gz compresses it.")
    ],
    order: Annotated[
        int,
        typer.Option("--order", min=1, max=LARGEST_ORDER, help="Words in the longest n-gram."),
    ] = 3,
    prune: Annotated[
        str,
        typer.Option(
            "--prune",
            metavar="COUNTS",
            help="For each order, leave out n-grams that occur at most this often; the last count "
            "applies to all higher orders. 0,0,1 drops n-grams of order 3 and up that occur once.",
        ),
    ] = "0",
    characters: _Characters = False,
    graphemes: _Graphemes = False,
) -> None:
    """Train a model with interpolated modified Kneser-Ney smoothing and write it as ARPA."""
    from asr.language.ngram.arpa import write_arpa
    from asr.language.ngram.kneser_ney import estimate
    from asr.language.ngram.text import read_sentences

    thresholds, units = _counts(prune), _units(characters, graphemes)
    check_folder(output)
    sentences = [sentence for text in texts for sentence in read_sentences(text, units)]
    try:
        result = estimate(sentences, order, thresholds)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--prune") from None
    write_arpa(output, result.table)
    echo(_summary(result))


def _summary(result: "Estimate") -> str:
    """Counts of the text and the model, and the discounts, as a table."""
    lines = [
        f"sentences {result.sentences}",
        f"words     {result.running_words}",
        f"{'order':<9} {'n-grams':>10} {'in model':>10} {'D1':>7} {'D2':>7} {'D3+':>7}",
    ]
    for order, (distinct, grams, discounts) in enumerate(
        zip(result.distinct_ngrams, result.table.grams, result.discounts, strict=True), start=1
    ):
        taken = " ".join(f"{discount:7.4f}" for discount in discounts[:3])
        note = "" if discounts.is_estimated else " (fallback)"
        lines.append(f"{order:<9} {distinct:>10} {len(grams):>10} {taken}{note}")
    return "\n".join(lines)


@app.command()
def score(
    model_file: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="ARPA file, plain or .gz."),
    ],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help=_TEXT_HELP)],
    characters: _Characters = False,
    graphemes: _Graphemes = False,
    by_sentence: Annotated[
        bool,
        typer.Option(
            "--by_sentence",
            help="First print each sentence: natural log-probability, words, OOV words, text.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Print the perplexity of a model on TEXT and its rate of out-of-vocabulary words (OOV)."""
    from asr.language.ngram.perplexity import sum_scores
    from asr.language.ngram.text import read_sentences

    sentences = read_sentences(text, _units(characters, graphemes))
    scores, has_unknown = _scores(model_file, sentences)
    figures = sum_scores(scores)
    if json_file:
        write_json_atomic(json_file, _as_json(figures))
    if by_sentence:
        for sentence, result in zip(sentences, scores, strict=True):
            echo(f"{result.log_prob:.6f}\t{result.words}\t{result.oov}\t{' '.join(sentence)}")
    echo(_report(figures))
    if not has_unknown and figures.oov:
        logging.getLogger(__name__).warning(
            "%s has no <unk>: a text with out-of-vocabulary words has probability 0", model_file
        )


def _scores(model_file: Path, sentences: list[list[str]]) -> tuple[list["SentenceScore"], bool]:
    """The scores of the sentences, and whether the model has <unk>."""
    from asr.language.ngram.model import read_arpa
    from asr.language.ngram.perplexity import score_sentence

    model = read_arpa(model_file)
    return [score_sentence(model, sentence) for sentence in sentences], model.unknown_word >= 0


def _report(figures: "TextScore") -> str:
    return "\n".join(
        [
            f"sentences              {figures.sentences}",
            f"words                  {figures.words}",
            f"OOV words              {figures.oov} ({figures.oov_rate:.2%})",
            f"perplexity             {figures.perplexity:.4f}",
            f"perplexity without OOV {figures.perplexity_without_oov:.4f}",
        ]
    )


def _as_json(figures: "TextScore") -> dict[str, float | None]:
    """The figures; an infinite perplexity becomes null."""
    return {
        "sentences": figures.sentences,
        "words": figures.words,
        "oov_words": figures.oov,
        "oov_rate": figures.oov_rate,
        "perplexity": _finite(figures.perplexity),
        "perplexity_without_oov": _finite(figures.perplexity_without_oov),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
