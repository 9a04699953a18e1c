"""A run's saved state: writing, finding and loading it, and what has to match for a run to resume.

The newest few states are kept in `states/`. A state file is a line with the SHA-256 of what follows
it, then what `torch.save` wrote. The random number generators need no state: every step seeds them.
"""

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asr.config import differences, from_dict, to_dict
from asr.errors import AsrError, CheckpointError, ConfigError, ManifestError
from asr.files import atomic_write, make_folder
from asr.model.acoustic import AcousticModel
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.distributed import Group
from asr.training.lineage import Source
from asr.training.run import Progress, Run

STATES = "states"
_MAGIC = b"asr-state 2 "
_BATCHING = ("seed", "data.shard_window", "optim.batch_seconds", "augment.speeds")
"""Settings that decide which utterances are batched together."""
_OF_THE_MODEL = ("features.", "encoder.", "text.")
"""How the settings begin that decide what the model is."""

_log = logging.getLogger("asr.training")


# --- Saving


def save_state(run: Run, progress: Progress) -> None:
    """Write everything that the run needs to continue from here."""
    if not run.group.is_main:
        return
    state = {
        "progress": vars(progress),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "config": to_dict(run.config),
        "manifests": run.manifests,
        "tokens": list(run.tokens.characters),
        "units": run.tokens.units,
        "world_size": run.group.size,
        "source": vars(run.source) if run.source else None,
    }
    write_state(run.folder, progress.step, state, run.config.optim.keep_states)
    if run.writer is not None:
        run.writer.flush()  # a resumed run appends to the events from this step on


def try_to_save_state(run: Run, progress: Progress) -> None:
    """Save the state while another error is being handled; a failure to save is only logged."""
    try:
        save_state(run, progress)
    except (AsrError, OSError) as error:
        _log.warning("%s", error)


def write_state(folder: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Write a state atomically to `folder`/states, and remove all but the `keep` up to this one.

    States of later steps are removed as well: they were damaged when the run resumed from an
    earlier one.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    make_folder(folder / STATES)
    path = folder / STATES / f"step-{step:09d}.pt"
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(_MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n")
        file.write(content)
    files = state_files(folder)
    newest = files.index(path)
    left_by_kills = (folder / STATES).glob(".part-*")
    for other in (*files[:newest], *files[newest + keep :], *left_by_kills):
        other.unlink(missing_ok=True)


# --- Finding and loading


def state_files(folder: Path) -> list[Path]:
    """The state files of a run, newest first."""
    return sorted((folder / STATES).glob("step-*.pt"), reverse=True)


def find_state(folder: Path, group: Group, resume: bool) -> dict[str, Any] | None:
    """The state to resume from, as the main process finds it; None for a new run.

    Makes the folder. Raises ConfigError if the folder holds a run and `resume` is not set (a
    restart by torchrun resumes by itself), CheckpointError as `load_state`.
    """
    state = None
    if group.is_main:
        exists = bool(state_files(folder))
        if exists and not (resume or group.restarts):
            raise ConfigError(
                f"{folder}: already holds a run; add --resume to continue it, or choose another "
                "folder"
            )
        make_folder(folder)
        if exists or resume:
            state = load_state(folder)
    return group.broadcast(state)


def load_state(folder: Path) -> dict[str, Any]:
    """The newest intact state of a run; damaged ones are skipped with a warning.

    Raises CheckpointError when there is none.
    """
    files = state_files(folder)
    reasons = []
    for path in files:
        try:
            state = read_state(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            _log.warning("%s; falling back to the state before it, %s", reason, path.name)
        return state
    if not files:
        raise CheckpointError(f"{folder}: nothing to resume; start the run without --resume")
    raise CheckpointError(
        f"{folder / STATES}: none of the {len(files)} states is intact: {'; '.join(reasons)}; "
        "start again in another folder, with --init_from CHECKPOINT if there is one"
    )


def read_state(path: Path) -> dict[str, Any]:
    """The content of one state file. Raises CheckpointError if it is unreadable or damaged."""
    try:
        first, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read ({error.strerror or error})") from error
    if not first.startswith(_MAGIC):
        raise CheckpointError(f"{path}: not the state of a run, or of an incompatible version")
    if hashlib.sha256(content).hexdigest().encode() != first.removeprefix(_MAGIC):
        raise CheckpointError(f"{path}: truncated or altered: its SHA-256 does not match")
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:
        # The message of torch is a page long and advises to load the file unsafely.
        raise CheckpointError(f"{path}: not a run's state ({type(error).__name__})") from error
    return state


def restore_state(
    state: dict[str, Any],
    folder: Path,
    model: AcousticModel,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> Progress:
    """Load a state into model, optimizer and loss scaler. Raises CheckpointError if it does not
    fit them.
    """
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler.is_enabled() and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        return Progress(**state["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: cannot resume from this state ({' '.join(str(error).split())[:200]}); "
            "start again in another folder"
        ) from error


def saved_tokens(state: Mapping[str, Any]) -> TokenTable:
    """The tokens of the run; single characters in states of older versions."""
    return TokenTable(tuple(state["tokens"]), state.get("units", "characters"))


def saved_source(state: Mapping[str, Any]) -> Source | None:
    """The checkpoint that the run was initialised from; None also for states of older versions."""
    source = state.get("source")
    return Source(**source) if source else None


# --- Is it still the same run?


def check_resumable(
    state: Mapping[str, Any],
    config: Config,
    manifests: Mapping[str, str],
    world_size: int,
    accept_changed_data: bool,
) -> bool:
    """Whether an interrupted epoch can continue where it stopped; if not, it has to start over.

    `manifests` maps the path of each manifest to its SHA-256. Every difference between the run and
    its state is logged. Raises CheckpointError if the model differs, and ManifestError if the data
    has changed and `accept_changed_data` is not set.
    """
    # Settings that older versions did not have get the defaults that they had in effect.
    saved = to_dict(from_dict(Config, state["config"], "the state's settings"))
    changed = differences(saved, to_dict(config))
    of_the_model = [name for name in changed if name.startswith(_OF_THE_MODEL)]
    if of_the_model:
        raise CheckpointError(
            f"cannot resume with another model: {', '.join(of_the_model)} differ from the run's "
            "own settings; leave them as they are, or start again in another folder"
        )
    same_batches = not any(name in changed for name in _BATCHING)
    for name, (before, now) in changed.items():
        if not name.startswith("data."):
            _log.info("resuming with %s = %s, previously %s", name, now, before)
    if list(state["manifests"].values()) != list(manifests.values()):
        _check_changed_data(state["manifests"], manifests, accept_changed_data)
        same_batches = False
    if state["world_size"] != world_size:
        _log.info(
            "resuming on %d processes, previously %d: the batches stay the same, sums differ in "
            "their last digits",
            *(world_size, state["world_size"]),
        )
    return same_batches


def _check_changed_data(before: Mapping[str, str], now: Mapping[str, str], accepted: bool) -> None:
    old_digests = set(before.values())
    changed = [path for path, digest in now.items() if digest not in old_digests] or list(now)
    message = (
        f"{', '.join(changed)}: not the data that this run was trained on (the SHA-256 of the "
        "manifests differs)"
    )
    if not accepted:
        raise ManifestError(
            f"{message}; restore the former manifests, or add --accept_changed_data to continue "
            "with the present ones"
        )
    _log.warning("%s: continuing with it, as requested", message)
