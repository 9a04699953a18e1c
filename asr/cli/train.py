"""`asr train`: a model from manifests."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import LARGEST_SEED, Device, Threads


def train(
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="Folder of the run; made if missing.")
    ],
    train_manifests: Annotated[
        list[str] | None, typer.Option("--train", help="Manifest to learn from; may be repeated.")
    ] = None,
    dev_manifest: Annotated[
        str | None, typer.Option("--dev", help="Manifest to validate on after each epoch.")
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="Settings as JSON, such as a run's own config.json."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting, e.g. encoder.hidden=256; repeatable."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of weights, order and noise."),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init_from",
            "--init-from",
            help="Start from the weights of this checkpoint, with its features and encoder.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the output folder.")
    ] = False,
    accept_changed_data: Annotated[
        bool,
        typer.Option(
            "--accept_changed_data", help="Resume even though the manifests have been edited."
        ),
    ] = False,
    find_batch: Annotated[
        bool,
        typer.Option(
            "--find_batch",
            "--find-batch",
            help="Do not train: find the largest optim.batch_seconds that fits this machine.",
        ),
    ] = False,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Train a recogniser; the run's folder holds logs, curves and, at the end, a checkpoint."""
    from asr.training.run import run_training

    run_training(
        output_dir=output_dir,
        config_file=config_file,
        train_manifests=train_manifests or [],
        dev_manifest=dev_manifest,
        settings=settings or [],
        seed=seed,
        init_from=init_from,
        resume=resume,
        accept_changed_data=accept_changed_data,
        only_find_batch=find_batch,
        device=device,
        threads=threads,
    )
