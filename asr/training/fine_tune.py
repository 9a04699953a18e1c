"""Fine-tuning: a run that starts from the weights of a checkpoint, for other speech or letters."""

import dataclasses
import logging
import unicodedata
from collections.abc import Collection

import torch

from asr.checkpoint.checkpoint import Checkpoint
from asr.checkpoint.model import model_of
from asr.config import differences, to_dict
from asr.errors import ConfigError
from asr.model.acoustic import AcousticModel
from asr.text.tokens import BLANK, TokenTable, Units
from asr.training.config import Config, TextConfig

_TOKEN_AXES = {"output.weight": 0, "output.bias": 0, "feedback.weight": 1}
"""The axis along which a weight of the model has an entry for each token."""
_FREE = ("encoder.dropout", "encoder.subsampling", "text.units")
"""Settings that no weight's shape depends on. Weights trained at 25 frames a second also serve at
50, and the epochs at 25 cost half as much."""

_NAMED = 6
"""Tokens that a message names before it leaves the others out."""

_log = logging.getLogger("asr.training")


def match_checkpoint(config: Config, checkpoint: Checkpoint, path: str) -> Config:
    """The settings to start from the checkpoint at `path`: its features, encoder and `text.units`.

    Raises CheckpointError if its settings and weights do not belong together.
    """
    features, model = model_of(checkpoint, f"init_from={path}")
    return dataclasses.replace(
        config,
        init_from=path,
        text=TextConfig(checkpoint.tokens.units),
        features=features,
        encoder=model.config,
    )


def choose_tokens(
    characters: Collection[str], units: Units, tokens: TokenTable | None
) -> TokenTable:
    """A checkpoint's tokens if they can spell the data, else the characters of the data.

    A few recordings may lack a letter that the checkpoint was trained on and should keep. Tokens of
    other units than the run's are split or left out, as the letters and marks of a text would be.
    """
    if tokens is not None:
        if tokens.units != units:
            tokens = TokenTable.from_texts(tokens.characters, units)
        if set(characters) <= set(tokens.characters):
            return tokens
    return TokenTable.from_texts(characters, units)


def load_initial_weights(
    model: AcousticModel, tokens: TokenTable, checkpoint: Checkpoint, config: Config
) -> None:
    """Load the weights of a checkpoint, those of the tokens that it lacks as in `_origin`.

    Raises ConfigError if its features or encoder are not those of this run, CheckpointError if its
    settings and weights do not belong together.
    """
    path = config.init_from
    matching = match_checkpoint(config, checkpoint, path)
    changed = differences(to_dict(config), to_dict(matching))
    differing = [name for name in changed if name not in _FREE]
    if differing:
        raise ConfigError(
            f"init_from={path}: the checkpoint differs from this run in {', '.join(differing)}; "
            f"use its settings (`asr describe {path}` shows them), or start with --init_from, "
            "which takes them over"
        )
    model.load_state_dict(_weights_for(tokens, checkpoint, model, path))


def _weights_for(
    tokens: TokenTable, checkpoint: Checkpoint, model: AcousticModel, path: str
) -> dict[str, torch.Tensor]:
    """The checkpoint's weights, those of each token taken from that of its `_origin`, if any."""
    weights = dict(checkpoint.weights)
    old = checkpoint.tokens
    if old.characters == tokens.characters:
        return weights
    old_place = {character: i for i, character in enumerate(old.characters, start=1)}
    origins = {c: _origin(c, old_place) for c in tokens.characters}
    pairs = [
        (place, old_place[origin])
        for place, origin in enumerate(origins.values(), start=1)
        if origin is not None
    ]
    new_places, old_places = torch.tensor([(BLANK, BLANK), *pairs]).T
    initial = model.state_dict()
    for name, axis in _TOKEN_AXES.items():
        if name in weights:
            trained = weights[name].index_select(axis, old_places)
            weights[name] = initial[name].index_copy(axis, new_places, trained)
    related = [f"{c!r} from {origin!r}" for c, origin in origins.items() if origin not in (None, c)]
    named = f" ({', '.join(related[:_NAMED])})" if related else ""
    _log.info(
        "%s has other tokens: of this run's, %d start from the weights of the same letter in "
        "another case or without its marks%s, %d from random weights",
        *(path, len(related), named, list(origins.values()).count(None)),
    )
    return weights


def _origin(character: str, known: Collection[str]) -> str | None:
    """The known character that another one starts from: itself, or else the same letter in another
    case, with fewer marks, or both; None if there is none, as for letters of another script."""
    letter = unicodedata.normalize("NFD", character)
    for end in range(len(letter), 0, -1):
        fewer = unicodedata.normalize("NFC", letter[:end])
        for candidate in (fewer, fewer.upper(), fewer.lower()):
            if candidate in known:
                return candidate
    return None
