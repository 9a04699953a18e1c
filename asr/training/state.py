"""What a run needs to go on as if it had not been interrupted.

The newest few states stand in `states/`, each a line with the digest of what follows it. Random
numbers need no state: each step seeds its own.
"""

import hashlib
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr.errors import CheckpointError
from asr.files import atomic_write, make_folder

STATES = "states"
_MAGIC = b"asr-state 2 "

_log = logging.getLogger("asr.training")


@dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0
    batch: int = 0
    """Batches done within the epoch."""
    step: int = 0
    """Batches done in all."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""
    totals: dict[str, float] = field(default_factory=dict)
    """Sums over the current epoch so far, of all processes."""
    weights: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the kept weights, by epoch."""


def state_files(folder: Path) -> list[Path]:
    """The states of a run, newest first."""
    return sorted((folder / STATES).glob("step-*.pt"), reverse=True)


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Write a state atomically to `folder`/states, and remove all but the `keep` up to this one.

    A state of a later step is one that was not whole when the run went on from before it.
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


def load_state(folder: Path) -> dict[str, Any]:
    """The newest state of a run that is whole; each that is not is said and left out.

    Raises CheckpointError when there is none.
    """
    files = state_files(folder)
    reasons = []
    for path in files:
        try:
            state = _read_state(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            _log.warning("%s; going back to the one before, %s", reason, path.name)
        return state
    if not files:
        raise CheckpointError(f"{folder}: nothing to resume; start the run without --resume")
    raise CheckpointError(
        f"{folder / STATES}: none of its {len(files)} states is whole: {'; '.join(reasons)}; start "
        "anew in another folder, with --set init_from=CHECKPOINT if there is one"
    )


def _read_state(path: Path) -> dict[str, Any]:
    try:
        first, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read ({error.strerror or error})") from error
    if not first.startswith(_MAGIC):
        raise CheckpointError(f"{path}: not the state of a run, or of another version")
    if hashlib.sha256(content).hexdigest().encode() != first.removeprefix(_MAGIC):
        raise CheckpointError(f"{path}: torn or changed: its content is not what was written")
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except Exception as error:
        # torch answers what is no state with a page on how to load it all the same.
        raise CheckpointError(f"{path}: not a run's state ({type(error).__name__})") from error
    return state
