"""`asr lm`: language models, made from text and measured on it."""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.options import check_folder
from asr.files import write_json_atomic
from asr.language.ngram.arpa import LARGEST_ORDER

if TYPE_CHECKING:
    from asr.language.ngram.kneser_ney import Estimate
    from asr.language.ngram.perplexity import SentenceScore, TextScore

app = typer.Typer(
    help="Estimate an n-gram language model from text, and measure it on other text.",
    no_args_is_help=True,
)

_TEXT_HELP = "Text with one sentence a line (.gz too), or a manifest (.jsonl)."
_Characters = Annotated[
    bool, typer.Option("--characters", help="Words are characters; the space is <space>.")
]


def _counts(value: str) -> list[int]:
    try:
        return [int(count) for count in value.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"expected counts parted by commas, such as 0,0,1; found {value!r}"
        ) from None


@app.command()
def train(
    texts: Annotated[
        list[Path], typer.Argument(metavar="TEXT...", help=_TEXT_HELP, show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="ARPA file to write, .gz to compress it.")
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
            help="For each order, the highest count at which n-grams are left out; the last is for "
            "all higher orders too. 0,0,1 leaves out what occurs once from order 3 on.",
        ),
    ] = "0",
    characters: _Characters = False,
) -> None:
    """Estimate a model by interpolated modified Kneser-Ney smoothing and write it as ARPA."""
    from asr.language.ngram.arpa import write_arpa
    from asr.language.ngram.kneser_ney import estimate
    from asr.language.ngram.text import read_sentences

    thresholds = _counts(prune)
    check_folder(output)
    sentences = [sentence for text in texts for sentence in read_sentences(text, characters)]
    result = estimate(sentences, order, thresholds)
    write_arpa(output, result.table)
    typer.echo(_summary(result))


def _summary(result: "Estimate") -> str:
    """What was counted, what of it is in the model, and the discounts."""
    lines = [
        f"sentences {result.sentences}",
        f"words     {result.running_words}",
        f"{'order':<9} {'n-grams':>10} {'in model':>10} {'D1':>7} {'D2':>7} {'D3+':>7}",
    ]
    for order, (found, grams, discounts) in enumerate(
        zip(result.found, result.table.grams, result.discounts, strict=True), start=1
    ):
        taken = " ".join(f"{discount:7.4f}" for discount in discounts[:3])
        note = "" if discounts.is_estimated else " (fallback)"
        lines.append(f"{order:<9} {found:>10} {len(grams):>10} {taken}{note}")
    return "\n".join(lines)


@app.command()
def score(
    model_file: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="ARPA file, plain or .gz."),
    ],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help=_TEXT_HELP)],
    characters: _Characters = False,
    by_sentence: Annotated[
        bool,
        typer.Option(
            "--by_sentence",
            help="First print each sentence: natural log-probability, words, unknown words, text.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Print the perplexity of a model on TEXT and the rate of words it does not know (OOV)."""
    from asr.language.ngram.perplexity import total
    from asr.language.ngram.text import read_sentences

    sentences = read_sentences(text, characters)
    scores, has_unknown = _scores(model_file, sentences)
    if by_sentence:
        for sentence, result in zip(sentences, scores, strict=True):
            typer.echo(
                f"{result.log_prob:.6f}\t{result.words}\t{result.unknown}\t{' '.join(sentence)}"
            )
    figures = total(scores)
    typer.echo(_report(figures))
    if not has_unknown and figures.unknown:
        logging.getLogger(__name__).warning(
            "%s has no <unk>: a text with unknown words is impossible to it", model_file
        )
    if json_file:
        write_json_atomic(json_file, _as_json(figures))


def _scores(model_file: Path, sentences: list[list[str]]) -> tuple[list["SentenceScore"], bool]:
    """What a model says of each sentence, and whether it has <unk>."""
    from asr.language.ngram.model import read_arpa
    from asr.language.ngram.perplexity import score_sentence

    model = read_arpa(model_file)
    return [score_sentence(model, sentence) for sentence in sentences], model.unknown_word >= 0


def _report(figures: "TextScore") -> str:
    return "\n".join(
        [
            f"sentences              {figures.sentences}",
            f"words                  {figures.words}",
            f"OOV words              {figures.unknown} ({figures.unknown_rate:.2%})",
            f"perplexity             {figures.perplexity:.4f}",
            f"perplexity without OOV {figures.perplexity_known:.4f}",
        ]
    )


def _as_json(figures: "TextScore") -> dict[str, float | None]:
    """The figures; an infinite perplexity becomes null."""
    return {
        "sentences": figures.sentences,
        "words": figures.words,
        "oov_words": figures.unknown,
        "oov_rate": figures.unknown_rate,
        "perplexity": _finite(figures.perplexity),
        "perplexity_without_oov": _finite(figures.perplexity_known),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
