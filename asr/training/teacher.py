"""The teacher of a run: a larger model from whose outputs a smaller one learns, besides from the
transcripts (knowledge distillation, Hinton et al. 2015, arXiv 1503.02531)."""

from dataclasses import dataclass

import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.checkpoint.model import model_of
from asr.config import differences, to_dict
from asr.errors import ConfigError
from asr.model.acoustic import IntermediateOutputs
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.lineage import Source, source_of


@dataclass(frozen=True)
class Teacher:
    """A model that is not trained, its tokens, and where it comes from."""

    path: str
    """As the settings name it."""
    network: IntermediateOutputs
    tokens: TokenTable
    source: Source

    def check_tokens(self, tokens: TokenTable) -> None:
        """Raise ConfigError unless a run with these tokens can learn from it."""
        if tokens == self.tokens:
            return
        lacking = sorted(set(tokens.characters) - set(self.tokens.characters))
        raise ConfigError(
            f"teacher={self.path}: expected the tokens of this run, found others"
            + (f", without {', '.join(map(repr, lacking))}" if lacking else "")
            + "; fine-tune the teacher on these transcripts first, or correct them"
        )


def load_teacher(config: Config, device: torch.device) -> Teacher | None:
    """The model of `config.teacher`, if it names one.

    Raises ConfigError if its features or the frames of its output are not those of the run,
    CheckpointError if it is not a valid checkpoint.
    """
    if not config.teacher:
        return None
    checkpoint = load_checkpoint(config.teacher)
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
    network = IntermediateOutputs(model).to(device).eval().requires_grad_(False)
    source = source_of(checkpoint, config.teacher)
    return Teacher(config.teacher, network, checkpoint.tokens, source)
