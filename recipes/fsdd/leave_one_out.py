"""FSDD with each speaker left out in turn: six models, each tested on the speaker left out.

`python -m recipes.fsdd.leave_one_out`, after prepare.py. Finished speakers are kept: an interrupted
run continues with the next one. Strings repeat the same recordings and are not used. Five speakers
are too few to generalise to a sixth: `--also MANIFEST` adds recorded or synthesised speech.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.corpus.manifest import read_manifest
from asr.files import write_json_atomic
from asr.inference.evaluation import evaluate
from asr.training import log_to_stderr, train_unless_finished
from recipes.command import run_command
from recipes.fsdd.train import CONFIG

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def leave_one_out(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("runs/fsdd-loo"),
    data_dir: Annotated[Path, typer.Option("--data_dir")] = Path("data/fsdd"),
    also: Annotated[
        list[str] | None, typer.Option("--also", help="Further manifest to train on; repeatable.")
    ] = None,
    speakers: Annotated[list[str] | None, typer.Option("--speaker")] = None,
    start_from: Annotated[
        Path | None, typer.Option("--start_from", help="Start from the models of another such run.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
) -> None:
    """Train without each speaker in turn and test on that speaker's single digits."""
    log_to_stderr()
    rates: dict[str, float] = {}
    for speaker in speakers or SPEAKERS:
        data = data_dir / "loso" / speaker
        start = [f"init_from={start_from / speaker / 'checkpoint'}"] if start_from else []
        checkpoint = train_unless_finished(
            output_dir / speaker,
            dataclasses.replace(CONFIG, name=f"fsdd-without-{speaker}"),
            train=[str(data / "train.jsonl"), *(also or [])],
            dev=str(data / "dev.jsonl"),
            settings=[*start, *(settings or [])],
            threads=threads,
        )
        test = read_manifest(data / "test.jsonl")
        rates[speaker] = evaluate(asr.load(checkpoint), test).score.wer
        typer.echo(f"{speaker:10}{rates[speaker]:8.2%}")
    mean = sum(rates.values()) / len(rates)
    typer.echo(f"{'mean':10}{mean:8.2%}")
    write_json_atomic(output_dir / "results.json", {"mean": mean, **rates})


if __name__ == "__main__":
    run_command(leave_one_out)
