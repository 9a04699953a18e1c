"""The second pass: exact, and of use."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder, TunedSettings, build_decoder
from asr.decode.hypothesis import Hypothesis
from asr.decode.rescoring import Rescorer, RescoringConfig
from asr.errors import ConfigError
from asr.language.neural import NeuralConfig, NeuralModel
from asr.language.neural_training import TrainingConfig, train_neural
from asr.text.tokens import TokenTable
from asr.tuning.bench import Bench, DevSet
from asr.tuning.choice import RESCORE_WEIGHTS, passes, tune_rescoring
from tests.oracles import log_softmax

TABLE = TokenTable(tuple(" ABCDE"))
SPOKEN = ["BAD BED", "A BED", "DEAD BED", "BAD CAB", "A CAB", "DEAD CAB"]


def hypothesis(text: str, log_score: float) -> Hypothesis:
    return Hypothesis(tuple(TABLE.encode(text)), log_score, log_language=-1.0)


@pytest.fixture(scope="module")
def model() -> NeuralModel:
    sentences = [text.split() for text in SPOKEN * 8]
    size = NeuralConfig(hidden=16, dropout=0.0)
    config = TrainingConfig(epochs=30, rate=2e-2, weight_decay=0.0)
    return train_neural(sentences, sentences, size, config).model


def rescorer_of(model: NeuralModel, weight: float) -> Rescorer:
    return Rescorer(RescoringConfig("0" * 64, weight), model, TABLE)


FOUND = [
    hypothesis(text, log_score)
    for text, log_score in [("BED BED", -3.0), ("BAD BED", -3.1), ("", -3.2), ("CAB A", -3.3)]
]


def test_a_weight_of_zero_changes_nothing(model: NeuralModel) -> None:
    assert rescorer_of(model, 0.0)(FOUND) == FOUND
    assert rescorer_of(model, 0.0)([]) == []


@pytest.mark.parametrize("weight", [0.01, 0.3, 5.0])
def test_the_order_is_that_of_the_sums(model: NeuralModel, weight: float) -> None:
    rescored = rescorer_of(model, weight)(FOUND)
    expected = {
        found.tokens: found.log_score
        + weight * model.score_sentences([TABLE.decode(found.tokens).split()])[0].log_prob
        for found in FOUND
    }
    assert {one.tokens: one.log_score for one in rescored} == pytest.approx(expected, abs=1e-4)
    assert [one.tokens for one in rescored] == sorted(expected, key=lambda key: -expected[key])
    assert [one.log_acoustic for one in rescored] == pytest.approx(
        [next(f.log_acoustic for f in FOUND if f.tokens == one.tokens) for one in rescored]
    )


def test_equals_stay_in_their_order(model: NeuralModel) -> None:
    twins = [hypothesis("A  BED", -2.0), hypothesis("A BED", -2.0)]
    rescored = rescorer_of(model, 0.5)(twins)
    assert [one.tokens for one in rescored] == [one.tokens for one in twins]


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_impossible_weights_are_refused(model: NeuralModel, weight: float) -> None:
    with pytest.raises(ConfigError, match="rescore_weight: expected 0 or more, found"):
        rescorer_of(model, weight)


def heard(text: str, seed: int) -> Tensor:
    """Emissions of a text, two frames a character, with noise in which much is misheard."""
    generator = np.random.default_rng(seed)
    tokens = TABLE.encode(text)
    logits = generator.normal(scale=1.5, size=(2 * len(tokens), len(TABLE)))
    logits[np.arange(0, len(logits), 2), tokens] += 2.5
    logits[1::2, 0] += 2.5
    return torch.from_numpy(log_softmax(logits))


def test_a_decoder_takes_the_best_of_the_whole_beam(model: NeuralModel) -> None:
    search = SearchConfig(beam_size=12, nbest=2)
    rescorer = rescorer_of(model, 0.8)
    whole = Decoder(dataclasses.replace(search, nbest=12))
    moved = 0
    for seed, text in enumerate(SPOKEN * 2):
        log_probs = heard(text, seed)
        found = whole(log_probs)
        for at_least in (1, 5, 50):
            rescored = Decoder(search, rescorer=rescorer)(log_probs, at_least)
            assert rescored == rescorer(found)[: min(max(2, at_least), 12)]
        moved += rescored[0].tokens != found[0].tokens
    assert moved >= 3


@pytest.fixture(scope="module")
def bench() -> Bench:
    emissions = tuple(heard(text, seed) for seed, text in enumerate(SPOKEN * 3))
    return Bench(DevSet(tuple(SPOKEN * 3), emissions, audio_seconds=1.0), TABLE, threads=2)


def test_the_weight_that_mends_most_is_chosen(bench: Bench, model: NeuralModel) -> None:
    decoder = Decoder(SearchConfig(beam_size=32))
    rescorer = rescorer_of(model, 0.0)
    passed: list[int] = []
    bench.advance = lambda: passed.append(1)
    chosen = tune_rescoring(bench, decoder, rescorer)
    assert chosen.decoder.rescorer is not None
    assert chosen.decoder.rescorer.config.weight in RESCORE_WEIGHTS[1:]
    assert chosen.word_errors < bench.trial(decoder).word_errors - 3
    assert len(passed) - 1 == len(RESCORE_WEIGHTS) == passes(decoder, rescorer) - passes(decoder)


def test_settings_agree_with_their_own_second_pass_alone() -> None:
    search, fusion = SearchConfig(), build_decoder(TABLE).fusion
    assert fusion is None
    settings = TunedSettings(search=search, rescoring=RescoringConfig("0" * 64, 0.3))
    assert settings.agrees_with(search, settings.fusion, RescoringConfig("0" * 64, 0.3))
    assert not settings.agrees_with(search, settings.fusion, RescoringConfig("0" * 64, 0.2))
    assert not settings.agrees_with(search, settings.fusion)
