"""The mean of checkpoints of which one was fine-tuned from another, or all from the same one.

The mean of a model and its fine-tuned version is often better than either: it keeps much of what
the first could do and has much of what the second learnt (Wortsman et al. 2022, arXiv 2109.01903).
The mean of models that were initialised independently is useless.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.checkpoint.checkpoint import (
    STORED_TYPES,
    UNITS,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from asr.checkpoint.model_card import COMMANDS, HISTORY
from asr.config import differences, to_dict
from asr.decode.priors import LOG_PRIORS, log_priors, log_priors_of_mean
from asr.errors import CheckpointError
from asr.model.acoustic import EncoderConfig
from asr.printing import shown
from asr.signal.features import FeatureConfig

_MAY_DIFFER = ("encoder.dropout",)
"""Settings that have no effect after training."""


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

    Its training settings are those of the last one, with the licences of all and the SHA-256 of
    each; its training time is the sum of theirs, and its label priors are the mean of theirs, where
    all have some. It has no other figures and no tuned decoding settings, since it is a different
    model.

    Raises CheckpointError if one is not a valid checkpoint, if two are the same, or if they differ
    in features, encoder or tokens; ConfigError if the record of its priors is malformed; AsrError
    if the mean cannot be written.
    """
    loaded = [load_checkpoint(path) for path in checkpoints]
    for path, other in zip(checkpoints[1:], loaded[1:], strict=True):
        _check_same_model(checkpoints[0], loaded[0], path, other)
    digests = [c.config["files"][WEIGHTS]["sha256"] for c in loaded]
    for index, digest in enumerate(digests):
        if digest in digests[:index]:
            raise CheckpointError(
                f"{checkpoints[index]}: expected checkpoints that differ, found the weights of "
                f"{checkpoints[digests.index(digest)]} again"
            )
    last = loaded[-1].config
    licences = [
        licence
        for path, c in zip(checkpoints, loaded, strict=True)
        for licence in _licences(c, path)
    ]
    seconds = [_training_seconds(c, path) for path, c in zip(checkpoints, loaded, strict=True)]
    names = dict(zip(map(str, checkpoints), digests, strict=True))
    # How the last one was made is not how the mean was.
    training = {k: v for k, v in last["training"].items() if k not in (COMMANDS, HISTORY)}
    save_checkpoint(
        output,
        features=last["features"],
        encoder=last["encoder"],
        tokens=last["tokens"],
        units=last.get(UNITS, "characters"),
        weights=average_weights([c.weights for c in loaded]),
        metrics={
            "weights": f"mean of {len(loaded)} checkpoints",
            "training_seconds": sum(seconds),
            **_priors(loaded),
        },
        recipe=last["recipe"],
        seed=last["seed"],
        training={
            **training,
            "licence": "; ".join(dict.fromkeys(licences)),
            "mean_of": names,
        },
        notes=last["notes"],
        dtype=STORED_TYPES[last["weights"]["dtype"]],
    )


def _priors(loaded: Sequence[Checkpoint]) -> dict[str, list[float]]:
    """The metric that holds the label priors of the mean, if all of its parts have some."""
    found = [log_priors(checkpoint.metrics, checkpoint.tokens) for checkpoint in loaded]
    known = [priors for priors in found if priors is not None]
    return {LOG_PRIORS: list(log_priors_of_mean(known))} if len(known) == len(found) else {}


def _licences(checkpoint: Checkpoint, path: Path) -> list[str]:
    """The licences that a checkpoint's training settings state."""
    stated = checkpoint.config["training"].get("licence") or []
    licences = [stated] if isinstance(stated, str) else stated
    if not (isinstance(licences, list) and all(isinstance(one, str) for one in licences)):
        raise CheckpointError(
            f"{path}: expected the licence of its training data as text, found {shown(stated)}"
        )
    return licences


def _training_seconds(checkpoint: Checkpoint, path: Path) -> float:
    """How long a checkpoint was trained; 0 where it does not say."""
    seconds = checkpoint.metrics.get("training_seconds") or 0.0
    if not isinstance(seconds, int | float) or not 0 <= seconds < 1e12:
        raise CheckpointError(
            f"{path}: expected training_seconds as a number of seconds, found {shown(seconds)}"
        )
    return seconds


def _described(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a model; settings that are newer than a checkpoint have their defaults in it."""
    return {
        "features": to_dict(FeatureConfig()) | config["features"],
        "encoder": to_dict(EncoderConfig()) | config["encoder"],
        "tokens": config["tokens"],
        UNITS: config.get(UNITS),
    }


def _check_same_model(first: Path, one: Checkpoint, second: Path, other: Checkpoint) -> None:
    differing = [
        name
        for name in differences(_described(one.config), _described(other.config))
        if name not in _MAY_DIFFER
    ]
    if differing:
        raise CheckpointError(
            f"{second}: it differs from {first} in {', '.join(differing)}; only a model and what "
            "was fine-tuned from it can be averaged"
        )
    wanted, found = ({name: t.shape for name, t in b.weights.items()} for b in (one, other))
    if wanted != found:
        raise CheckpointError(
            f"{second}: its config.json and model.safetensors do not describe the same model, or "
            f"those of {first} do not"
        )
