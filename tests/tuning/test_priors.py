"""The weight of the priors for any list, from the sentences of a dev set."""

import dataclasses

import numpy as np
import pytest
import torch

from asr.decode.priors import PRIOR_WEIGHT, measure_log_priors
from asr.tuning.dev_set import DevSet
from asr.tuning.priors import PRIOR_WEIGHTS, list_prior_weight
from tests.oracles import forward_score
from tests.tuning.synthetic import TABLE, dev_set_of

TEXTS = ["A", "AN", "BAN", "BAND", "BE", "BEAD", "DEAN", "CAN", "CANE"]


def with_blank(dev: DevSet, nats: float) -> DevSet:
    emissions = [log_probs.clone() for log_probs in dev.emissions]
    for log_probs in emissions:
        log_probs[:, 0] += nats
    return dataclasses.replace(dev, emissions=tuple(e.log_softmax(dim=1) for e in emissions))


def weight_of(dev: DevSet, priors: tuple[float, ...]) -> float:
    return list_prior_weight(dev, TABLE, priors)


def test_what_the_blank_has_too_much_is_taken_from_it() -> None:
    dev = dev_set_of(TEXTS * 5, clarity=2.0)
    priors = (0.0, *[-2.5] * (len(TABLE) - 1))
    assert weight_of(with_blank(dev, -9.0), priors) == 0
    found = [weight_of(with_blank(dev, nats), priors) for nats in (0.5, 2.0)]
    assert found[1] - found[0] == pytest.approx(1.5 / 2.5, abs=0.2)
    assert weight_of(with_blank(dev, 7.0), priors) == PRIOR_WEIGHTS[-1]


@pytest.mark.parametrize("nats", [-1.0, 0.0])
def test_the_right_sentences_are_likeliest_by_the_oracle(nats: float) -> None:
    dev = with_blank(dev_set_of(TEXTS * 3, clarity=2.0), nats)
    priors = measure_log_priors(dev.emissions, len(TABLE))
    chances = np.zeros((len(dev.references), len(PRIOR_WEIGHTS)))
    for row, (text, log_probs) in enumerate(zip(dev.references, dev.emissions, strict=True)):
        for column, weight in enumerate(PRIOR_WEIGHTS):
            emissions = log_probs.numpy() - weight * np.array(priors)
            scores = {one: forward_score(emissions, TABLE.encode(one)) for one in TEXTS}
            chances[row, column] = scores[text] - np.logaddexp.reduce(list(scores.values()))
    best = chances.mean(axis=0).argmax()
    losses = chances[:, [best]] - chances
    as_good = losses.mean(axis=0) <= losses.std(axis=0) / len(chances) ** 0.5
    assert 0 < as_good.sum() < len(PRIOR_WEIGHTS)
    found = PRIOR_WEIGHTS.index(weight_of(dev, priors))
    assert as_good[found]
    assert abs(as_good[:found].sum() - as_good[found + 1 :].sum()) <= 1


def test_what_says_nothing_is_passed_over() -> None:
    dev = with_blank(dev_set_of(TEXTS, clarity=2.0), 2.0)
    priors = measure_log_priors(dev.emissions, len(TABLE))
    frame = dev.emissions[0][:1]
    more = DevSet(
        (*dev.references, "", "X", "BEAD"),
        (*dev.emissions, frame, frame, frame),  # the last is too short for any sentence but A
        1.0,
    )
    assert weight_of(more, priors) == weight_of(dev, priors) > 0
    assert weight_of(DevSet(("", "A"), (frame, frame), 1.0), priors) == PRIOR_WEIGHT
    none = DevSet(("AN", "BE"), (frame, torch.zeros(0, len(TABLE))), 1.0)
    assert weight_of(none, priors) == PRIOR_WEIGHTS[len(PRIOR_WEIGHTS) // 2]
