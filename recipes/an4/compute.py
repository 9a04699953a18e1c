"""WER against minutes of training and against the number of parameters.

    python -m recipes.an4.compute -o runs/an4-compute --threads 1
    python -m recipes.an4.compute -o runs/an4-compute --threads 2 --only 180min

trains the configuration of `train.py` unchanged, which takes about an hour on one core; for as many
epochs as take 5, 15, 30 and 180 minutes at `--epoch_seconds` per epoch; and with 1, 3 and 12
million parameters instead of 7. Each model is scored on the test set once. Its results are kept in
`recipes/an4/compute.json`, printed as a table and plotted in `compute.png`. Minutes are measured
and counted twice for two cores. Runs with results in that file are not trained again: an
interrupted call can be continued, also on another machine, and two calls with different `--only`
can run at the same time.
"""

import json
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import torch
import typer

import asr
from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import from_dict, to_dict
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.files import atomic_write, write_json_atomic
from asr.inference.evaluation import evaluate
from asr.training import log_to_stderr, train_unless_finished
from recipes.an4.train import CONFIG
from recipes.command import run_command

RECIPE = "recipe"
MINUTES = (5, 15, 30, 180)
HIDDEN = {"1M": 100, "3M": 200, "12M": 436}
"""Cells in each direction of each of three layers, by millions of parameters."""


@dataclass(frozen=True)
class Figures:
    """Cost and test results of a finished run; `low` to `high` is the interval of the WER."""

    minutes: float
    """Core minutes: with two threads twice the elapsed minutes."""
    parameters: int
    wer: float
    low: float
    high: float
    cer: float


def plan(epoch_seconds: float) -> dict[str, list[str]]:
    """The settings of each run by name: the recipe, runs by minutes, runs by size."""
    runs: dict[str, list[str]] = {RECIPE: []}
    for minutes in MINUTES:
        epochs = max(2, round(60 * minutes / epoch_seconds))
        # A twelfth of the epochs, close to the share in the recipe, and at most as in the recipe.
        warmup = min(CONFIG.optim.warmup_epochs, epochs / 12)
        runs[f"{minutes}min"] = [f"optim.epochs={epochs}", f"optim.warmup_epochs={warmup:.2f}"]
    for name, hidden in HIDDEN.items():
        runs[name] = [f"encoder.hidden={hidden}"]
    return runs


def train_and_score(run: Path, settings: list[str], test: Path, threads: int) -> Figures:
    """Finish a run and score it on the test set."""
    checkpoint = train_unless_finished(run, CONFIG, settings=settings, threads=threads)
    cores = threads or torch.get_num_threads()
    recognizer = asr.load(checkpoint)
    score = evaluate(recognizer, read_manifest(test)).score
    low, high = score.wer_interval
    return Figures(
        minutes=load_checkpoint(checkpoint).metrics["training_seconds"] / 60 * cores,
        parameters=sum(p.numel() for p in recognizer.model.parameters()),
        wer=score.wer,
        low=low,
        high=high,
        cer=score.cer,
    )


def read_results(path: Path) -> dict[str, Figures]:
    """Results of finished runs by name. Raises AsrError, naming the file."""
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_bytes())
        return {name: from_dict(Figures, own, f"{path}: {name}") for name, own in kept.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise AsrError(
            f"{path}: expected the figures of finished runs as JSON ({error})"
        ) from error


def table(results: dict[str, Figures]) -> list[str]:
    """A Markdown table of the results."""
    lines = ["| run | minutes | parameters | test WER (95 %) | CER |", "|" + "---|" * 5]
    for name, r in results.items():
        lines.append(
            f"| {name} | {r.minutes:.0f} | {r.parameters / 1e6:.1f} M "
            f"| {r.wer:.2%} ({r.low:.2%} to {r.high:.2%}) | {r.cer:.2%} |"
        )
    return lines


def draw(results: dict[str, Figures], path: Path) -> None:
    """Write a PNG of WER with error bars over minutes and over millions of parameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, runs, key, scale in (
        (panels[0], [f"{minutes}min" for minutes in MINUTES], "minutes", 1.0),
        (panels[1], list(HIDDEN), "parameters", 1e6),
    ):
        chosen = [r for name, r in results.items() if name in (RECIPE, *runs)]
        chosen.sort(key=attrgetter(key))
        x = [getattr(r, key) / scale for r in chosen]
        y = [100 * r.wer for r in chosen]
        below = [100 * (r.wer - r.low) for r in chosen]
        above = [100 * (r.high - r.wer) for r in chosen]
        axes.errorbar(x, y, yerr=[below, above], marker="o", capsize=3)
        axes.set_xscale("log")
        axes.set_xticks(x, [f"{value:.3g}" for value in x])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    panels[0].set(xlabel="minutes of one core", ylabel="AN4 test, greedy WER (%), 95 %", ylim=0)
    panels[1].set(xlabel="million parameters")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def compute(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/an4-compute"),
    epoch_seconds: Annotated[float, typer.Option("--epoch_seconds", min=0.1)] = 90.0,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Train only the run of this name; repeatable."),
    ] = None,
    test: Annotated[Path, typer.Option("--manifest")] = Path("data/an4/test.jsonl"),
    kept: Annotated[Path, typer.Option("--results")] = Path("recipes/an4/compute.json"),
    picture: Annotated[Path, typer.Option("--picture")] = Path("recipes/an4/compute.png"),
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
) -> None:
    """Train the missing runs; print and plot all results."""
    log_to_stderr()
    runs = plan(epoch_seconds)
    if unknown := set(only or []) - set(runs):
        raise AsrError(f"--only: expected {', '.join(runs)}, found {', '.join(sorted(unknown))}")
    results = read_results(kept)
    for name in only or runs:
        if name not in results:
            new = train_and_score(output_dir / name, runs[name], test, threads)
            results = read_results(kept) | {name: new}  # another call may have written it
            write_json_atomic(kept, {name: to_dict(own) for name, own in results.items()})
    typer.echo("\n".join(table({name: results[name] for name in runs if name in results})))
    draw(results, picture)


if __name__ == "__main__":
    run_command(compute)
