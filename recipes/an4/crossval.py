r"""Cross-validation over AN4's training speakers, to choose settings without the test set.

    python -m recipes.an4.crossval -o runs/an4-cv/recipe
    python -m recipes.an4.crossval -o runs/an4-cv/locked --set encoder.locked_dropout=0.2
    python -m recipes.an4.crossval --table runs/an4-cv/recipe runs/an4-cv/locked

The official 948 training utterances (train and dev) are split by speaker into folds of similar
size; each fold is evaluated with a model trained on the others, with the number of the fold as its
seed. Every choice is thus based on 948 utterances instead of dev's 100, and on as many seeds as
there are folds. Finished folds are kept, so that an interrupted run can be continued.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError
from asr.training import log_to_stderr, train_unless_finished
from recipes.an4.prepare import person
from recipes.an4.train import CONFIG
from recipes.command import run_command

MANIFESTS = (Path("data/an4/train.jsonl"), Path("data/an4/dev.jsonl"))


def split_speakers(utterances: Sequence[Utterance], folds: int) -> list[set[str]]:
    """Speakers by fold, with women and men (the first letter of a code) spread evenly.

    The split is deterministic: in the order of the SHA-256 of their codes, each person is added to
    the fold with the fewest utterances of their sex.
    """
    counts = Counter(person(u.speaker or "") for u in utterances)
    parts: list[set[str]] = [set() for _ in range(folds)]
    sizes: Counter[tuple[int, str]] = Counter()
    for code in sorted(counts, key=lambda code: hashlib.sha256(code.encode()).hexdigest()):
        fold = min(range(folds), key=lambda k: sizes[k, code[0]])
        parts[fold].add(code)
        sizes[fold, code[0]] += counts[code]
    return parts


def write_folds(folder: Path, folds: int) -> None:
    """Write `train{K}.jsonl` and `dev{K}.jsonl` for each fold."""
    utterances = [u for manifest in MANIFESTS for u in read_manifest(manifest)]
    for fold, part in enumerate(split_speakers(utterances, folds)):
        held_out = [person(u.speaker or "") in part for u in utterances]
        for name, wanted in (("train", False), ("dev", True)):
            chosen = [u for u, held in zip(utterances, held_out, strict=True) if held is wanted]
            write_manifest(folder / f"{name}{fold}.jsonl", chosen)


def table(runs: Sequence[Path]) -> list[str]:
    """A Markdown table: for each run its folds, the mean and the range of their error rates."""
    lines = ["| run | folds | WER | range | CER | range | loss | minutes |", "|" + "---|" * 8]
    for run in runs:
        checkpoints = [
            load_checkpoint(c.parent) for c in sorted(run.glob("fold*/checkpoint/config.json"))
        ]
        if not checkpoints:
            raise AsrError(f"{run}: no finished fold here; expected fold0/checkpoint in it")
        metrics = [checkpoint.metrics for checkpoint in checkpoints]
        cells = [run.name, str(len(metrics))]
        for rate in ("wer", "cer"):
            values = [m["dev"][rate] for m in metrics]
            mean = sum(values) / len(values)
            cells += [f"{mean:.2%}", f"{min(values):.2%} to {max(values):.2%}"]
        cells.append(f"{sum(m['dev']['loss'] for m in metrics) / len(metrics):.2f}")
        cells.append(f"{sum(m['training_seconds'] for m in metrics) / len(metrics) / 60:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def crossval(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...")] = None,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/an4-cv/recipe"),
    data_dir: Annotated[Path, typer.Option("--data_dir")] = Path("data/an4-cv"),
    folds: Annotated[int, typer.Option("--folds", min=2)] = 3,
    only: Annotated[
        list[int] | None, typer.Option("--fold", help="Train only this fold; repeatable.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="Further manifest to train on; {fold} stands for the number."),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
    print_table: Annotated[bool, typer.Option("--table", help="Compare finished runs.")] = False,
) -> None:
    """Train and evaluate the recipe on each fold, or print the results of finished runs."""
    log_to_stderr()
    if print_table:
        typer.echo("\n".join(table(runs or [output_dir])))
        return
    write_folds(data_dir, folds)
    for fold in only or range(folds):
        others = [manifest.format(fold=fold) for manifest in also or []]
        train_unless_finished(
            output_dir / f"fold{fold}",
            CONFIG,
            train=[str(data_dir / f"train{fold}.jsonl"), *others],
            dev=str(data_dir / f"dev{fold}.jsonl"),
            settings=settings or [],
            seed=fold,
            threads=threads,
        )
    typer.echo("\n".join(table([output_dir])))


if __name__ == "__main__":
    run_command(crossval)
