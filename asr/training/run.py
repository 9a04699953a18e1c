"""Starting a run: settings from files and flags, logs, interruption.

A recipe's train.py is `main(CONFIG)` with one `Config` literal; its flags are those of `asr train`.
"""

import contextlib
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from asr.checkpoint.checkpoint import CONFIG, load_checkpoint
from asr.config import from_dict, override
from asr.errors import AsrError, ConfigError
from asr.files import make_folder, write_error
from asr.model.device import torch_device
from asr.training.config import Config
from asr.training.find_batch import find_batch, render
from asr.training.loop import Interrupted, train
from asr.training.resume import say_kept
from asr.training.start import alike
from asr.training.state import state_files

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
    accept_changed_data: bool = False,
    only_find_batch: bool = False,
    init_from: Path | None = None,
    device: str = "cpu",
    threads: int = 0,
) -> None:
    """Gather the settings, and train; or find the largest batch, print it, and stop.

    `base`, or the JSON of `config_file`, or with `resume` the run's own settings, is changed by
    the manifests, `settings` and `seed` given; first of all, with `init_from`, by the features and
    the encoder of that checkpoint. Raises SystemExit(130) when interrupted.
    """
    if init_from and resume:
        raise ConfigError("--init_from means nothing with --resume: the run has its weights")
    if resume and not state_files(output_dir):
        raise ConfigError(f"{output_dir}: nothing to resume; start the run without --resume")
    source = output_dir / "config.json" if resume and config_file is None else config_file
    config = read_config(source) if source else base or Config()
    config = alike(config, load_checkpoint(init_from), str(init_from)) if init_from else config

    def changed(config: Config) -> Config:
        data = dataclasses.replace(
            config.data,
            train=tuple(train_manifests) or config.data.train,
            dev=dev_manifest or config.data.dev,
        )
        config = dataclasses.replace(config, data=data, seed=config.seed if seed is None else seed)
        return override(config, settings)

    config = changed(config)
    if not (only_find_batch or (config.data.train and config.data.dev)):
        raise ConfigError("expected at least one --train manifest and a --dev manifest")
    if threads:
        torch.set_num_threads(threads)
    if only_find_batch:
        typer.echo(render(find_batch(config, torch_device(device), threads)))
        return
    with log_file(output_dir):
        if resume and base:
            say_kept(config, changed(base))
        try:
            train(config, output_dir, torch_device(device), resume, accept_changed_data)
        except Interrupted as interruption:
            _log.info("%s", interruption)
            raise SystemExit(130) from None


def train_unless_finished(
    output_dir: Path,
    base: Config,
    train_manifests: Sequence[str] = (),
    dev_manifest: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    threads: int = 0,
) -> Path:
    """The checkpoint of a run, one of several: begun, gone on with, or finished long ago."""
    checkpoint = output_dir / "checkpoint"
    if not (checkpoint / CONFIG).exists():
        run_training(
            output_dir,
            base=base,
            train_manifests=train_manifests,
            dev_manifest=dev_manifest,
            settings=settings,
            seed=seed,
            resume=bool(state_files(output_dir)),
            threads=threads,
        )
    return checkpoint


def log_to_stderr() -> None:
    """Show what a program that trains has to say, as the command line does."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


@contextlib.contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Keep the log in the run's folder too; of several processes, the first one's alone."""
    logger = logging.getLogger("asr")
    if os.environ.get("RANK", "0") != "0":
        logger.setLevel(logging.ERROR)
        yield
        return
    make_folder(folder)
    try:
        handler = _LogFile(folder / "train.log", encoding="utf-8")
    except OSError as error:
        raise AsrError(write_error(folder / "train.log", error)) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # has been said
            handler.close()


class _LogFile(logging.FileHandler):
    """A log that says it once when it cannot be written, and then is silent."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logging.getLogger("asr").removeHandler(self)
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        _log.warning("%s; until then, without it", write_error(Path(self.baseFilename), error))


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
        seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
        init_from: Annotated[
            Path | None,
            typer.Option("--init_from", "--init-from", help="Start from this checkpoint."),
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with the run.")] = False,
        accept_changed_data: Annotated[
            bool, typer.Option("--accept_changed_data", help="Resume though manifests changed.")
        ] = False,
        find_batch: Annotated[
            bool,
            typer.Option("--find_batch", "--find-batch", help="Only find the largest batch."),
        ] = False,
        device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
        threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
    ) -> None:
        run_training(
            output_dir,
            base=config,
            settings=settings or [],
            seed=seed,
            init_from=init_from,
            resume=resume,
            accept_changed_data=accept_changed_data,
            only_find_batch=find_batch,
            device=device,
            threads=threads,
        )

    log_to_stderr()
    command.__doc__ = f"Train the recipe {config.name}."
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    try:
        app()
    except AsrError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
