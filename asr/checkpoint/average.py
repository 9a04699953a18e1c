"""The mean of checkpoints that have weights in common: of a model and what it became, say.

Between a model and the same model after more training, often neither is as good as the point
midway: what the one knew is kept, what the other learnt is there (Wortsman et al. 2022,
arXiv 2109.01903). Models that began apart have nothing in between.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from asr.checkpoint.checkpoint import (
    STORED_TYPES,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from asr.config import differences
from asr.errors import CheckpointError

_FREE = ("encoder.dropout",)
"""Settings that mean nothing after training."""


def average_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights (Polyak & Juditsky 1992); counters keep the first's."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def average_checkpoints(checkpoints: Sequence[Path], output: Path) -> None:
    """Write the checkpoint whose weights are the mean of those of two or more.

    It tells of its training what the last of them does, with the licences of all, and lists them
    by their SHA-256; its seconds of training are theirs together. It has no other figures and no
    tuned search: it is another model.

    Raises CheckpointError if one is no sound checkpoint, if two are the same, or if they are not
    models of one kind: features, encoder, tokens. AsrError if it cannot be written.
    """
    bundles = [load_checkpoint(checkpoint) for checkpoint in checkpoints]
    for checkpoint, bundle in zip(checkpoints[1:], bundles[1:], strict=True):
        _check_alike(checkpoints[0], bundles[0], checkpoint, bundle)
    digests = [bundle.config["files"][WEIGHTS]["sha256"] for bundle in bundles]
    for place, digest in enumerate(digests):
        if digest in digests[:place]:
            raise CheckpointError(
                f"{checkpoints[place]}: expected checkpoints that differ, found the weights of "
                f"{checkpoints[digests.index(digest)]} again"
            )
    last = bundles[-1].config
    licences = [bundle.config["training"].get("licence") for bundle in bundles]
    names = dict(zip(map(str, checkpoints), digests, strict=True))
    save_checkpoint(
        output,
        features=last["features"],
        encoder=last["encoder"],
        tokens=last["tokens"],
        weights=average_weights([bundle.weights for bundle in bundles]),
        metrics={
            "weights": f"mean of {len(bundles)} checkpoints",
            "training_seconds": sum(b.metrics.get("training_seconds", 0.0) for b in bundles),
        },
        recipe=last["recipe"],
        seed=last["seed"],
        training={
            **last["training"],
            "licence": "; ".join(dict.fromkeys(filter(None, licences))),
            "mean_of": names,
        },
        notes=last["notes"],
        dtype=STORED_TYPES[last["weights"]["dtype"]],
    )


def _check_alike(first: Path, one: Checkpoint, second: Path, other: Checkpoint) -> None:
    parts = ("features", "encoder", "tokens")
    differing = [
        name
        for name in differences(*({part: b.config[part] for part in parts} for b in (one, other)))
        if name not in _FREE
    ]
    if differing:
        raise CheckpointError(
            f"{second}: it differs from {first} in {', '.join(differing)}; only a model and what "
            "it became have a mean"
        )
    wanted, found = ({name: t.shape for name, t in b.weights.items()} for b in (one, other))
    if wanted != found:
        raise CheckpointError(
            f"{second}: its config.json and model.safetensors do not describe one model, or those "
            f"of {first} do not"
        )
