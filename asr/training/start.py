"""Beginning with the weights of a checkpoint: to go on with it, for other speech or letters."""

import dataclasses
import logging
from collections.abc import Collection

import torch

from asr.checkpoint.checkpoint import Checkpoint
from asr.config import differences, from_dict, to_dict
from asr.errors import CheckpointError, ConfigError
from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.signal.features import FeatureConfig
from asr.text.tokens import BLANK, TokenTable
from asr.training.config import Config

_TOKEN_AXES = {"output.weight": 0, "output.bias": 0, "feedback.weight": 1}
"""The axis along which a tensor of the model has an entry for each token."""
_FREE = ("encoder.dropout", "encoder.subsampling")
"""Settings that no weight's shape depends on. What is learnt at 25 frames a second serves 50, at
half the cost while there is most to learn."""

_log = logging.getLogger("asr.training")


def alike(config: Config, bundle: Checkpoint, where: str) -> Config:
    """The settings, with what has to be as in the checkpoint to start from it, which is `where`.

    Raises ConfigError if what the checkpoint says of itself cannot be understood.
    """
    return dataclasses.replace(
        config,
        init_from=where,
        features=from_dict(FeatureConfig, bundle.config["features"], f"{where}: features"),
        encoder=from_dict(EncoderConfig, bundle.config["encoder"], f"{where}: encoder"),
    )


def tokens_to_start_with(characters: Collection[str], bundle: Checkpoint | None) -> TokenTable:
    """The checkpoint's tokens if they spell the data, else the characters of the data.

    A few recordings may lack a letter that the checkpoint has long known.
    """
    if bundle is not None and set(characters) <= set(bundle.config["tokens"]):
        return TokenTable(tuple(bundle.config["tokens"]))
    return TokenTable.from_texts(characters)


def start_from(
    bundle: Checkpoint, config: Config, model: AcousticModel, tokens: TokenTable
) -> None:
    """Take over the weights of a checkpoint; tokens that it lacks start as in a new model.

    Raises ConfigError if its features or encoder are not those of this run, CheckpointError if its
    weights are not those of its encoder.
    """
    where = config.init_from
    differing = [
        name
        for name in differences(to_dict(config), to_dict(alike(config, bundle, where)))
        if name not in _FREE
    ]
    if differing:
        raise ConfigError(
            f"init_from={where}: it differs from this run in {', '.join(differing)}; set them "
            f"alike (`asr describe {where}`), or let --init_from do so"
        )
    weights = dict(bundle.weights)
    old = TokenTable(tuple(bundle.config["tokens"]))
    if old != tokens:
        shared = [c for c in tokens.characters if not old.unknown(c)]
        here = torch.tensor([BLANK, *tokens.encode("".join(shared))])
        there = torch.tensor([BLANK, *old.encode("".join(shared))])
        for name, axis in _TOKEN_AXES.items():
            if name in weights:
                known = weights[name].index_select(axis, there)
                weights[name] = model.state_dict()[name].index_copy(axis, here, known)
        _log.info(
            "%s has other tokens: %d are new and start anew", where, len(tokens) - 1 - len(shared)
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"init_from={where}: config.json and model.safetensors do not describe one model"
        ) from error
