"""What a run needs to go on as if it had not been interrupted."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.errors import CheckpointError
from asr.files import atomic_write

STATE_FILE = "state.pt"


@dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0
    batch: int = 0
    """Batches done within the epoch."""
    step: int = 0
    """Updates done in all."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""
    totals: dict[str, float] = field(default_factory=dict)
    """Sums over the current epoch so far."""


def save_state(
    folder: Path, progress: Progress, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write model, optimizer, position and random state atomically to `folder`/state.pt."""
    state = {
        "progress": vars(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_write(folder / STATE_FILE) as temporary:
        temporary.write_bytes(buffer.getvalue())


def restore_state(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    """Bring model, optimizer and random state to where `save_state` left them.

    Raises CheckpointError when the file is missing, torn, or of a model of another shape.
    """
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return Progress(**state["progress"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: nothing to resume; start the run without --resume"
        ) from error
    except Exception as error:
        # torch answers what is no state with a page on how to load it all the same.
        foreign = type(error).__name__ == "UnpicklingError"
        reason = "not a run's state" if foreign else " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: cannot resume from this state ({type(error).__name__}: {reason}); was the "
            "run started with the same settings? Otherwise start anew in another folder"
        ) from error


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights (Polyak & Juditsky 1992); counters keep the first's."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }
