"""The teacher of a run: a larger model from whose outputs a smaller one learns, besides from the
transcripts (knowledge distillation, Hinton et al. 2015, arXiv 1503.02531)."""

from dataclasses import dataclass

import torch

from asr.checkpoint.checkpoint import Checkpoint
from asr.checkpoint.model import model_of
from asr.config import differences, to_dict
from asr.errors import ConfigError
from asr.model.acoustic import IntermediateOutputs
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.lineage import Source, source_of


@dataclass(frozen=True)
class Teacher:
    """A model that is not trained, and where it comes from."""

    network: IntermediateOutputs
    source: Source


def make_teacher(
    config: Config, checkpoint: Checkpoint, tokens: TokenTable, device: torch.device
) -> Teacher:
    """The model of `config.teacher`, whose checkpoint was read, for a run with these tokens.

    Raises ConfigError if its features, the frames of its output or its tokens are not those of the
    run, CheckpointError if its settings and weights do not belong together.
    """
    where = f"teacher={config.teacher}"
    features, model = model_of(checkpoint, where)
    changed = differences(to_dict(config.features), to_dict(features))
    differing = [f"features.{name}" for name in changed]
    if model.config.subsampling != config.encoder.subsampling:
        differing.append("encoder.subsampling")
    if differing:
        raise ConfigError(
            f"{where}: the checkpoint differs from this run in {', '.join(differing)}; use its "
            f"settings (`asr describe {config.teacher}` shows them)"
        )
    lacking = sorted(set(tokens.characters) - set(checkpoint.tokens.characters))
    if checkpoint.tokens != tokens:
        raise ConfigError(
            f"{where}: expected the tokens of this run, found others"
            + (f", without {', '.join(map(repr, lacking))}" if lacking else "")
            + "; fine-tune the teacher on these transcripts first, or correct them"
        )
    network = IntermediateOutputs(model).to(device).eval().requires_grad_(False)
    return Teacher(network, source_of(checkpoint, config.teacher))
