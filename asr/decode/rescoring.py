"""The second pass: what a beam found is put in a better order by a recurrent language model.

The model reads whole sentences, which a search that compares their beginnings cannot wait for. Its
weighted log-probability is added to what the first pass says, language knowledge included. A word
that it lacks counts as <unk>: the fixed price of unknown words is in the first pass's score.
Source: Mikolov et al., "Recurrent Neural Network Based Language Model", Interspeech 2010.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.text.tokens import TokenTable

if TYPE_CHECKING:
    from asr.language.neural import NeuralModel


@dataclass(frozen=True)
class RescoringConfig:
    """Which language model counts how much in the second pass."""

    lm_sha256: str
    """Of its file."""
    weight: float
    """Of its natural log-probabilities."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"rescore_weight: expected 0 or more, found {self.weight}")


@dataclass(frozen=True, eq=False)
class Rescorer:
    """Adds `weight · log p(words, </s>)` to hypotheses. Read only: threads may share it."""

    config: RescoringConfig
    model: "NeuralModel"
    table: TokenTable

    def weighted(self, weight: float) -> "Rescorer":
        """The same model with another weight."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, weight=weight))

    def __call__(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The hypotheses with their new scores, best first; equals stay in their order."""
        sentences = [self.table.decode(hypothesis.tokens).split() for hypothesis in hypotheses]
        rescored = []
        for hypothesis, score in zip(
            hypotheses, self.model.score_sentences(sentences), strict=True
        ):
            gained = self.config.weight * score.log_prob
            rescored.append(
                dataclasses.replace(
                    hypothesis,
                    log_score=hypothesis.log_score + gained,
                    log_language=hypothesis.log_language + gained,
                )
            )
        return sorted(rescored, key=lambda hypothesis: -hypothesis.log_score)
