"""The table of RESULTS.md: `python -m recipes.an4.results runs/an4-all-s0 runs/an4-all-s1 …`.

Scores AN4's test set with the checkpoint of each run, by greedy search and with a language model
and the weights tuned for it, on all sentences and on those not in the training transcripts. Prints
a Markdown table with a row for each run and their means.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import Utterance, read_manifest
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.model.device import torch_device
from asr.scoring.wer import Score, summarise
from recipes.an4.crossval import MANIFESTS
from recipes.command import run_command

TRAIN = list(MANIFESTS)
"""Training manifests of the models."""

HEAD = (
    *("seed", "minutes", "WER (95 %)", "CER", "new sentences"),
    *("WER with the 3-gram (95 %)", "CER", "new sentences"),
)


def scores(
    recognizer: Recognizer, utterances: Sequence[Utterance], known: set[str], lm: Path | None
) -> tuple[Score, Score]:
    """Scores of all sentences, and of those not in `known`."""
    decoder = recognizer.prepare(lm=lm).decoder
    aligned = evaluate(recognizer, utterances, decoder=decoder).aligned
    pairs = zip(aligned, utterances, strict=True)
    return summarise(aligned), summarise([a for a, u in pairs if u.text not in known])


def line(name: str, minutes: float, found: Sequence[tuple[Score, Score]]) -> str:
    """A row of the Markdown table."""
    cells = [name, f"{minutes:.0f}"]
    for all_, new in found:
        low, high = all_.wer_interval
        cells += [f"{all_.wer:.2%} ({low:.2%} to {high:.2%})", f"{all_.cer:.2%}", f"{new.wer:.2%}"]
    return f"| {' | '.join(cells)} |"


def means(found: Sequence[Sequence[tuple[Score, Score]]]) -> str:
    """The last row of the Markdown table: means and ranges over the runs."""

    def cell(rate: Callable[[tuple[Score, Score]], float], decoder: int) -> str:
        rates = [rate(run[decoder]) for run in found]
        return f"{mean(rates):.2%} ({min(rates):.2%} to {max(rates):.2%})"

    cells = ["mean (range)", ""]
    for decoder in range(len(found[0])):
        cells += [
            cell(lambda pair: pair[0].wer, decoder),
            cell(lambda pair: pair[0].cer, decoder),
            cell(lambda pair: pair[1].wer, decoder),
        ]
    return f"| {' | '.join(cells)} |"


def results(
    runs: list[Path],
    manifest: Annotated[Path, typer.Option("--manifest")] = Path("data/an4/test.jsonl"),
    train: Annotated[
        list[Path],
        typer.Option(
            "--train", help="Training manifest, which defines the known sentences; repeatable."
        ),
    ] = TRAIN,
    lm: Annotated[
        Path | None, typer.Option("--lm", help="Decode with this language model as well.")
    ] = None,
) -> None:
    """Print the test figures of finished runs."""
    utterances = read_manifest(manifest)
    known = {u.text for path in train for u in read_manifest(path, require_audio=False)}
    head = HEAD if lm else HEAD[:5]
    typer.echo(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    found = []
    for run in runs:
        checkpoint = load_checkpoint(run / "checkpoint")
        recognizer = Recognizer.from_checkpoint(checkpoint, torch_device("cpu"))
        found.append(
            [
                scores(recognizer, utterances, known, model)
                for model in ([None, lm] if lm else [None])
            ]
        )
        minutes = checkpoint.metrics["training_seconds"] / 60
        typer.echo(line(str(checkpoint.config["seed"]), minutes, found[-1]))
    typer.echo(means(found))


if __name__ == "__main__":
    run_command(results)
