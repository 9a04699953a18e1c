"""A checkpoint for tests, small and quickly saved."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.checkpoint.checkpoint import save_checkpoint


def small_weights(value: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "layer.weight": value * torch.randn(4, 3, generator=generator),
        "layer.bias": torch.full((4,), value),
        "norm.batches": torch.tensor(7),
    }


def save_small(folder: Path, value: float = 1.0, **changes: Any) -> None:
    """Save a checkpoint of 16 parameters; `changes` replace arguments of `save_checkpoint`."""
    arguments: dict[str, Any] = {
        "features": {"kind": "log_mel", "mels": 80, "stack": 3},
        "encoder": {"cell": "lstm", "hidden": 320, "subsampling": [2, 1]},
        "tokens": [" ", "A", "É"],
        "weights": small_weights(value),
        "metrics": {"an4-test": {"wer": 0.0825, "wer_interval": [0.065, 0.101]}, "value": value},
        "recipe": "an4",
        "seed": 3,
        "training": {"data": "CMU AN4", "licence": "free for any purpose", "optim": {"rate": 3e-3}},
    }
    save_checkpoint(folder, **(arguments | changes))
