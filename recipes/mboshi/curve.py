"""Letter error rate against minutes of recordings, from nothing and from a checkpoint.

    python -m recipes.mboshi.curve -o runs/mboshi-curve
    python -m recipes.mboshi.curve -o runs/mboshi-curve --init_from checkpoints/english

trains the encoder of `train.py` on 15, 30, 60 and 120 minutes, with more epochs the fewer there
are, and on all of train. Each model is scored once on the test set, greedily. Results are
kept below `recipes/mboshi/results`, printed as a table and plotted in `curve.png`; runs with
results there are not trained again, so that an interrupted call can be continued.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.files import atomic_write
from asr.inference.evaluation import evaluate
from asr.training import Config, log_to_stderr, train_unless_finished
from recipes.command import run_command
from recipes.mboshi.train import CONFIG
from recipes.recurrent.experiments import Result, Results, core_minutes, table

NOTHING = "nothing"
EPOCHS = {15: 60, 30: 40, 60: 30, 120: 30, 228: CONFIG.optim.epochs}
"""By minutes of recordings; the last is all of train."""
LITTLE = 60
"""Up to so many minutes, which a model soon knows by heart, batches are of 20 s, for more steps,
masks are many and wide, and the second half of the epochs has two views of each utterance
(CR-CTC)."""


def manifest_of(minutes: int) -> str:
    """The name of the manifest of so many minutes of train."""
    return f"train-{minutes}.jsonl" if minutes < max(EPOCHS) else "train.jsonl"


def configuration(minutes: int, init_from: str = "") -> Config:
    """The settings of a run."""
    epochs = EPOCHS[minutes]
    # Random weights would diverge, or stay with the blank, if the rate rose quickly.
    warmup = CONFIG.optim.warmup_epochs if init_from else epochs / 12
    optim = dataclasses.replace(CONFIG.optim, epochs=epochs, warmup_epochs=warmup)
    augment = CONFIG.augment
    if minutes <= LITTLE:
        optim = dataclasses.replace(
            optim, batch_seconds=20.0, consistency=0.2, single_view_epochs=epochs // 2
        )
        augment = dataclasses.replace(
            augment, time_masks=4, time_mask_frames=20, frequency_mask_mels=15
        )
    data = dataclasses.replace(CONFIG.data, train=(f"data/mboshi/trimmed/{manifest_of(minutes)}",))
    return dataclasses.replace(CONFIG, data=data, augment=augment, optim=optim, init_from=init_from)


def train_and_score(folder: Path, minutes: int, init_from: str, threads: int) -> Result:
    """Finish a run and score it on the test set."""
    config = configuration(minutes, init_from)
    began = core_minutes()
    checkpoint = train_unless_finished(folder, config, threads=threads)
    spent = core_minutes() - began
    utterances = read_manifest(Path("data/mboshi/test.jsonl"))
    score = evaluate(asr.load(checkpoint), utterances, beam_size=1).score
    return {
        "minutes": minutes,
        "core_minutes": spent,
        "cer": 100 * score.cer,
        "wer": 100 * score.wer,
        "wer_interval": [100 * bound for bound in score.wer_interval],
    }


def curves(results: Results) -> dict[str, list[Result]]:
    """The results by what was started from, in the order of the minutes."""
    found = {
        folder.name: list(results.finished(folder.name).values())
        for folder in sorted(results.folder.iterdir())
    }
    return {start: sorted(own, key=lambda one: int(one["minutes"])) for start, own in found.items()}


def report(results: Results) -> str:
    """A Markdown table."""
    rows = [
        [
            start,
            one["minutes"],
            f"{one['core_minutes']:.0f}",
            f"{one['cer']:.2f}",
            "{:.2f} ({:.2f} to {:.2f})".format(one["wer"], *one["wer_interval"]),
        ]
        for start, own in curves(results).items()
        for one in own
    ]
    return table(["start", "minutes", "core minutes", "CER %", "WER % (95 %)"], rows)


def draw(results: Results, path: Path) -> None:
    """Write a PNG of CER and WER over minutes, a line for each start."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key, name in zip(panels, ("cer", "wer"), ("letter", "word"), strict=True):
        for start, own in curves(results).items():
            axes.plot([one["minutes"] for one in own], [one[key] for one in own], "o-", label=start)
        axes.set_xscale("log")
        axes.set_xticks(list(EPOCHS), [str(minutes) for minutes in EPOCHS])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="minutes of recordings", ylabel=f"Mboshi test, {name} errors (%)", ylim=0)
        axes.grid(alpha=0.3)
    panels[0].legend(title="trained from")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def curve(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/mboshi-curve"),
    init_from: Annotated[str, typer.Option("--init_from", metavar="CHECKPOINT")] = "",
    only: Annotated[
        list[int] | None, typer.Option("--only", help="Only so many minutes; repeatable.")
    ] = None,
    kept: Annotated[Path, typer.Option("--results")] = Path("recipes/mboshi/results"),
    picture: Annotated[Path, typer.Option("--picture")] = Path("recipes/mboshi/curve.png"),
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
) -> None:
    """Train the missing runs; print and plot all results."""
    log_to_stderr()
    start, results = Path(init_from).name or NOTHING, Results(kept)
    if unknown := set(only or []) - set(EPOCHS):
        raise AsrError(f"--only: expected {', '.join(map(str, EPOCHS))}, found {unknown}")
    for minutes in only or EPOCHS:
        folder = output_dir / f"{start}-{minutes}"
        work = partial(train_and_score, folder, minutes, init_from, threads)
        results.get(f"{start}/{minutes}", work)
    typer.echo(report(results))
    draw(results, picture)


if __name__ == "__main__":
    run_command(curve)
