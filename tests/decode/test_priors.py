"""Label priors: measured, kept in a checkpoint, and what emissions are divided by."""

import math

import numpy as np
import pytest
import torch

from asr.decode.priors import LOG_PRIORS, divided_by_priors, log_priors, measure_log_priors
from asr.errors import ConfigError
from asr.text.tokens import TokenTable
from tests.oracles import random_emissions

TABLE = TokenTable(("a", "b"))


def test_priors_are_mean_probabilities_with_a_frame_more_of_each_token() -> None:
    first = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log()
    second = torch.tensor([[0.25, 0.5, 0.25]]).log()
    expected = [(1.75 + 1) / 6, (1.0 + 1) / 6, (0.25 + 1) / 6]
    assert np.exp(measure_log_priors([first, second], 3)) == pytest.approx(expected, abs=0.005)


def test_priors_of_a_checkpoint() -> None:
    kept = [-0.1, -3, -4.25]
    assert log_priors({LOG_PRIORS: kept}, TABLE) == (-0.1, -3.0, -4.25)
    assert log_priors({}, TABLE) is None


@pytest.mark.parametrize(
    "record", [[-1.0, -2.0], [-1.0, -2.0, 0.5], [-1.0, math.nan, -1.0], ["a", "b", "c"], 3, {}]
)
def test_malformed_priors_are_refused(record: object) -> None:
    with pytest.raises(ConfigError, match="log_priors: expected 3 numbers of -100 to 0, found"):
        log_priors({LOG_PRIORS: record}, TABLE)


@pytest.mark.parametrize("weight", [0.5, 1.0, 300.0])
def test_probabilities_are_divided_and_sum_to_1_again(weight: float) -> None:
    emissions = random_emissions(1, 12, 3, peakiness=3)
    emissions[3, 1] = -math.inf
    emissions[3] -= np.logaddexp.reduce(emissions[3])
    priors = (-0.25, -1.75, -3.0)
    divided = divided_by_priors(emissions, priors, weight)
    assert np.logaddexp.reduce(divided, axis=1) == pytest.approx(0.0, abs=1e-9)
    ratios = (divided[:, 0] - divided[:, 2]) - (emissions[:, 0] - emissions[:, 2])
    assert ratios == pytest.approx(np.full(12, weight * (priors[2] - priors[0])))
    assert divided[3, 1] == -math.inf


def test_a_weight_needs_the_priors_of_all_tokens() -> None:
    emissions = random_emissions(1, 5, 3)
    assert divided_by_priors(emissions, None, 0.0) is emissions
    for priors, found in ((None, "none"), ((-1.0, -1.0), "those of 2")):
        with pytest.raises(ConfigError, match=f"expected the priors of 3 tokens, found {found}"):
            divided_by_priors(emissions, priors, 0.5)
