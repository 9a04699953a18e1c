"""The blank's penalty for any list, from the sentences of a dev set."""

import dataclasses

import numpy as np
import pytest
import torch

from asr.tuning.blank import BLANK_PENALTIES, list_penalty
from asr.tuning.dev_set import DevSet
from tests.oracles import forward_score
from tests.tuning.synthetic import TABLE, dev_set_of

TEXTS = ["A", "AN", "BAN", "BAND", "BE", "BEAD", "DEAN", "CAN", "CANE"]


def with_blank(dev: DevSet, nats: float) -> DevSet:
    emissions = [log_probs.clone() for log_probs in dev.emissions]
    for log_probs in emissions:
        log_probs[:, 0] += nats
    return dataclasses.replace(dev, emissions=tuple(e.log_softmax(dim=1) for e in emissions))


def test_what_the_blank_has_too_much_is_taken_from_it() -> None:
    dev = dev_set_of(TEXTS * 5, clarity=2.0)
    found = [list_penalty(with_blank(dev, nats), TABLE) for nats in (-9.0, 1.0, 2.5)]
    assert found[0] == 0
    assert found[2] - found[1] == pytest.approx(1.5, abs=0.5)
    assert list_penalty(with_blank(dev, 7.0), TABLE) == BLANK_PENALTIES[-1]


def test_the_right_sentences_are_likeliest_by_the_oracle() -> None:
    dev = with_blank(dev_set_of(TEXTS, clarity=1.0), 1.5)
    means = []
    for penalty in BLANK_PENALTIES:
        chances = []
        for text, log_probs in zip(dev.references, dev.emissions, strict=True):
            emissions = log_probs.numpy().copy()
            emissions[:, 0] -= penalty
            scores = {one: forward_score(emissions, TABLE.encode(one)) for one in TEXTS}
            chances.append(scores[text] - np.logaddexp.reduce(list(scores.values())))
        means.append(np.mean(chances))
    assert min(means[0], means[-1]) < max(means) - 0.1
    assert list_penalty(dev, TABLE) == BLANK_PENALTIES[int(np.argmax(means))]


def test_what_says_nothing_is_passed_over() -> None:
    dev = with_blank(dev_set_of(TEXTS, clarity=2.0), 2.0)
    frame = dev.emissions[0][:1]
    more = DevSet(
        (*dev.references, "", "X", "BEAD"),
        (*dev.emissions, frame, frame, frame),  # the last is too short for any sentence but A
        1.0,
    )
    assert list_penalty(more, TABLE) == list_penalty(dev, TABLE) > 0
    assert list_penalty(DevSet(("", "A"), (frame, frame), 1.0), TABLE) == 0
    none = DevSet(("AN", "BE"), (frame, torch.zeros(0, len(TABLE))), 1.0)
    assert list_penalty(none, TABLE) == 0
