"""FSDD with each speaker left out in turn: six models, each tested on a voice it never heard.

`python -m recipes.fsdd.leave_one_out`, after prepare.py. Finished speakers are
kept: a run that was stopped goes on with the next.
"""

import dataclasses
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.corpus.manifest import read_manifest
from asr.evaluation import evaluate
from asr.files import write_json_atomic
from asr.training.run import run_training
from asr.training.state import STATE_FILE
from recipes.fsdd.train import CONFIG

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def leave_one_out(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/fsdd-loo"),
    data_dir: Annotated[Path, typer.Option("--data_dir")] = Path("data/fsdd"),
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
) -> None:
    """Train without each speaker, test on that speaker's single digits and digit strings."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    results: dict[str, dict[str, float]] = {}
    for speaker in SPEAKERS:
        run, data = output_dir / speaker, data_dir / "loso" / speaker
        checkpoint = run / "checkpoint"
        if not (checkpoint / "config.json").exists():
            config = dataclasses.replace(CONFIG, name=f"fsdd-without-{speaker}")
            run_training(
                run,
                base=config,
                train_manifests=[str(data / "train.jsonl"), str(data / "strings_train.jsonl")],
                dev_manifest=str(data / "dev.jsonl"),
                settings=settings or [],
                resume=(run / STATE_FILE).exists(),
                threads=threads,
            )
        recognizer = asr.load(checkpoint)
        results[speaker] = {
            part: evaluate(recognizer, read_manifest(data / f"{name}.jsonl")).score.wer
            for part, name in (("digits", "test"), ("strings", "strings_test"))
        }
        typer.echo(
            f"{speaker:10} digits {results[speaker]['digits']:7.2%}"
            f"   strings {results[speaker]['strings']:7.2%}"
        )
    mean = {
        part: sum(result[part] for result in results.values()) / len(results)
        for part in ("digits", "strings")
    }
    typer.echo(f"{'mean':10} digits {mean['digits']:7.2%}   strings {mean['strings']:7.2%}")
    write_json_atomic(output_dir / "results.json", {"mean": mean, **results})


if __name__ == "__main__":
    typer.run(leave_one_out)
