"""An AN4 model trained in an hour on two cores: first with coarse frames, then with fine ones.

    python -m recipes.an4.hour -o runs/an4-hour --seed 0 --threads 2

`RUN/first` is trained on the 848 utterances of train at 25 frames per second, with one view of
each. It aligns all 948 for splicing (splice.py, `RUN/spliced`). `RUN/final` starts from its weights
and is trained with two views, half of its epochs at 25 frames per second and half at 50. Coarse
frames serve as well at first, at half the cost; fast letters need the fine ones. As in
train_on_all.py, dev is part of the training data, so that only the test set gives valid error
rates. Finished stages are kept: an interrupted run can be continued.
"""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import read_manifest
from asr.training import Config, log_to_stderr, train_unless_finished
from recipes.an4.crossval import MANIFESTS
from recipes.an4.splice import splice
from recipes.an4.train import CONFIG as AN4
from recipes.an4.train_on_all import CONFIG as ALL
from recipes.command import run_command

UTTERANCES = 1900
"""Number of spliced utterances: twice as many as recorded ones."""


def stages(run: Path) -> dict[str, Config]:
    """The stages of training in order, by the name of their folder in `run`."""
    # Training uses all cores; a worker process for reading would slow it down.
    optim = dataclasses.replace(AN4.optim, workers=0)
    train = (*map(str, MANIFESTS), str(run / "spliced" / "manifest.jsonl"))
    return {
        "first": dataclasses.replace(
            AN4,
            encoder=dataclasses.replace(AN4.encoder, subsampling=4),
            optim=dataclasses.replace(
                optim, epochs=20, warmup_epochs=2.0, consistency=0.0, average=1
            ),
        ),
        "final": dataclasses.replace(
            ALL,
            init_from=str(run / "first" / "checkpoint"),
            data=dataclasses.replace(ALL.data, train=train),
            encoder=dataclasses.replace(AN4.encoder, dropout=0.2),
            optim=dataclasses.replace(
                optim, epochs=22, coarse_epochs=11, peak_rate=2e-3, warmup_epochs=0.5, average=3
            ),
        ),
    }


def train(run: Path, configs: Mapping[str, Config], seed: int, threads: int) -> dict[str, float]:
    """Finish every stage; return the minutes of each (of splicing only if it was done now)."""
    minutes = {}
    for name, config in configs.items():
        checkpoint = train_unless_finished(run / name, config, seed=seed, threads=threads)
        minutes[name] = load_checkpoint(checkpoint).metrics["training_seconds"] / 60
        spliced = run / "spliced"
        if name == "first" and not (spliced / "manifest.jsonl").exists():
            start = time.monotonic()
            utterances = [u for manifest in MANIFESTS for u in read_manifest(manifest)]
            splice(asr.load(checkpoint), utterances, UTTERANCES, seed, spliced)
            minutes["spliced"] = (time.monotonic() - start) / 60
    return minutes


def hour(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/an4-hour"),
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
) -> None:
    """Train both stages and print how long they took."""
    log_to_stderr()
    minutes = train(output_dir, stages(output_dir), seed, threads)
    parts = ", ".join(f"{name} {taken:.1f}" for name, taken in minutes.items())
    typer.echo(f"{parts}: {sum(minutes.values()):.1f} minutes")


if __name__ == "__main__":
    run_command(hour)
