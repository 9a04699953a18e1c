"""Starting a run: settings from files and flags, logs, interruption.

A recipe's train.py is `main(CONFIG)` with one `Config` literal; its flags are those of `asr train`.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from asr.config import from_dict, override
from asr.errors import AsrError, ConfigError
from asr.files import make_folder
from asr.model.device import torch_device
from asr.training.config import Config
from asr.training.loop import Interrupted, train
from asr.training.state import STATE_FILE

_log = logging.getLogger("asr.training")


def run_training(
    output_dir: Path,
    base: Config | None = None,
    config_file: Path | None = None,
    train_manifests: Sequence[str] = (),
    dev_manifest: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    resume: bool = False,
    device: str = "cpu",
    threads: int = 0,
) -> Path:
    """Gather the settings, train, and return the checkpoint's folder.

    `base`, or the JSON of `config_file`, or with `resume` the run's own settings, is changed by
    the manifests, `settings` and `seed` given. Raises SystemExit(130) when interrupted.
    """
    if resume and not (output_dir / STATE_FILE).exists():
        raise ConfigError(f"{output_dir}: nothing to resume; start the run without --resume")
    source = output_dir / "config.json" if resume and config_file is None else config_file
    config = read_config(source) if source else base or Config()
    data = dataclasses.replace(
        config.data,
        train=tuple(train_manifests) or config.data.train,
        dev=dev_manifest or config.data.dev,
    )
    config = dataclasses.replace(config, data=data)
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    config = override(config, settings)
    if not config.data.train or not config.data.dev:
        raise ConfigError("expected at least one --train manifest and a --dev manifest")
    if threads:
        torch.set_num_threads(threads)
    make_folder(output_dir)
    log_file = logging.FileHandler(output_dir / "train.log", encoding="utf-8")
    log_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger("asr").addHandler(log_file)
    try:
        return train(config, output_dir, torch_device(device), resume)
    except Interrupted as interruption:
        _log.info("%s", interruption)
        raise SystemExit(130) from None
    finally:
        logging.getLogger("asr").removeHandler(log_file)
        log_file.close()


def read_config(path: Path) -> Config:
    """A `Config` from JSON. Raises ConfigError naming the file and the key."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read the settings ({error}); expected JSON") from error
    return from_dict(Config, values, str(path))


def main(config: Config) -> None:
    """The command line of a recipe: `python recipes/NAME/train.py -o runs/NAME`."""

    def command(
        output_dir: Annotated[
            Path, typer.Option("--output_dir", "-o", help="Folder of the run.")
        ] = Path("runs") / config.name,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", help="Change one setting, e.g. encoder.hidden=256; repeatable."),
        ] = None,
        seed: Annotated[int | None, typer.Option("--seed")] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with the run.")] = False,
        device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
        threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
    ) -> None:
        run_training(
            output_dir,
            base=config,
            settings=settings or [],
            seed=seed,
            resume=resume,
            device=device,
            threads=threads,
        )

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    command.__doc__ = f"Train the recipe {config.name}."
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    try:
        app()
    except AsrError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
