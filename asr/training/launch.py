"""Starting a run: its settings gathered from files and options, its log, its interruption."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.checkpoint.run_folder import HISTORY, PLANNED, STARTS, read_lines
from asr.config import differences, from_dict, override, to_dict
from asr.errors import ConfigError
from asr.files import parse_json
from asr.model.device import torch_device
from asr.training.config import Config
from asr.training.find_batch import find_batch, render
from asr.training.fine_tune import match_checkpoint
from asr.training.interrupts import Interrupted
from asr.training.loop import train
from asr.training.options import TrainingOptions
from asr.training.run_folder import checkpoint_metrics, flat_settings
from asr.training.run_lock import run_lock
from asr.training.run_log import log_file
from asr.training.state import state_files

_log = logging.getLogger("asr.training")


def run_training(options: TrainingOptions, base: Config | None = None) -> None:
    """Gather the settings, and train; or find the largest batch and print it.

    Raises ConfigError on settings that are wrong or do not go together, other AsrErrors as `train`
    and `find_batch`, and SystemExit(130) when interrupted.
    """
    check_options(options)
    config = gather_settings(options, base)
    if not (options.find_batch or (config.data.train and config.data.dev)):
        raise ConfigError("expected at least one --train manifest and a --dev manifest")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch_device(options.device)
    if options.find_batch:
        print(render(find_batch(config, device, options.threads)))
        return
    with run_lock(options.output_dir), log_file(options.output_dir):
        if continues(options) and base:
            log_recipe_changes(config, apply_options(base, options), options.output_dir)
        try:
            train(
                config,
                options.output_dir,
                device,
                options.resume,
                options.accept_changed_data,
                options.finish,
            )
        except Interrupted as interruption:
            _log.info("%s", interruption)
            if (options.output_dir / HISTORY).exists():
                _log.info("--finish makes a checkpoint of the best epochs so far")
            raise SystemExit(130) from None


def continues(options: TrainingOptions) -> bool:
    """Whether the run is the one in the output folder."""
    return options.resume or options.finish


def check_options(options: TrainingOptions) -> None:
    """Raise ConfigError on options that do not go together, or where no run is to continue."""
    option = "--finish" if options.finish else "--resume"
    if options.finish and (options.resume or options.find_batch):
        other = "--resume" if options.resume else "--find_batch"
        raise ConfigError(f"--finish cannot be combined with {other}: choose one of them")
    if options.init_from and continues(options):
        raise ConfigError(f"--init_from cannot be combined with {option}: the run has its weights")
    if continues(options) and not state_files(options.output_dir):
        raise ConfigError(
            f"{options.output_dir}: nothing to {option[2:]}; start the run without {option}"
        )


def gather_settings(options: TrainingOptions, base: Config | None) -> Config:
    """The settings of a run: `base`, the JSON of `--config` or, of a run to continue, its own.

    Over these go the features, encoder and `text.units` of the checkpoint of `--init_from`, then
    the options.
    """
    source = options.config
    if continues(options) and source is None:
        source = options.output_dir / "config.json"
    config = read_config(source) if source else base or Config()
    if options.init_from:
        path = str(options.init_from)
        config = match_checkpoint(config, load_checkpoint(path), path)
    return apply_options(config, options)


def apply_options(config: Config, options: TrainingOptions) -> Config:
    """Settings changed by the manifests, the seed and the `--set` of a command line, in this order.

    Raises ConfigError on an unknown setting or a wrong value.
    """
    data = dataclasses.replace(
        config.data,
        train=options.train or config.data.train,
        dev=options.dev or config.data.dev,
    )
    seed = config.seed if options.seed is None else options.seed
    return override(dataclasses.replace(config, data=data, seed=seed), options.settings)


def read_config(path: Path) -> Config:
    """A `Config` from JSON. Raises ConfigError naming the file and the key."""
    try:
        values: Any = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read the settings ({error}); expected JSON") from error
    return from_dict(Config, values, str(path))


def log_recipe_changes(config: Config, recipe: Config, folder: Path) -> None:
    """Log where a resumed run keeps settings that differ from its recipe, which may be newer.

    A setting that an earlier resumption changed differs without the recipe having been edited; it
    is logged only if the recipe differs from how the run was first started, too.
    """
    starts, _ = read_lines(folder / STARTS)
    first = starts[0].get("config") if starts else None
    started = flat_settings(first) if isinstance(first, dict) else {}
    for name, (kept, other) in differences(to_dict(config), to_dict(recipe)).items():
        changed_since = name in started and started[name] != kept
        if changed_since and started[name] == other:
            continue
        origin = "when it was resumed" if changed_since else "when it was started"
        _log.info(
            "keeping %s = %s, which the run was given %s; its recipe now has %s",
            *(name, kept, origin, other),
        )


def train_unless_finished(
    output_dir: Path,
    base: Config,
    *,
    train: Sequence[str] = (),
    dev: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    threads: int = 0,
) -> Path:
    """Train a recipe in `output_dir`, resuming an interrupted run; returns the checkpoint's folder.

    A run that has finished is left as it is; one of which `--finish` made a checkpoint before its
    end is resumed. Raises as `run_training`.
    """
    checkpoint = output_dir / "checkpoint"
    made = checkpoint_metrics(output_dir)
    if made is None or PLANNED in made:
        options = TrainingOptions(
            output_dir=output_dir,
            train=tuple(train),
            dev=dev,
            settings=tuple(settings),
            seed=seed,
            resume=bool(state_files(output_dir)),
            threads=threads,
        )
        run_training(options, base)
    return checkpoint
