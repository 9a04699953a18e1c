"""A dev set and its tuning, made once."""

import pytest

from asr.decode.decoder import Decoder
from asr.tuning import choice
from asr.tuning.choice import Tuning, tune
from asr.tuning.dev_set import DevEvaluator, DevSet
from tests.tuning.synthetic import TABLE, noisy_dev_set, word_decoder


@pytest.fixture(scope="package")
def dev() -> DevSet:
    return noisy_dev_set()


@pytest.fixture(scope="package")
def decoder() -> Decoder:
    return word_decoder()


@pytest.fixture(scope="package")
def tuning(dev: DevSet, decoder: Decoder) -> Tuning:
    return tune(DevEvaluator(dev, TABLE), decoder)


@pytest.fixture
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole procedure over small grids."""
    monkeypatch.setattr(choice, "LM_WEIGHTS", (0.0, 0.5, 1.0))
    monkeypatch.setattr(choice, "WORD_BONUSES", (0.0, 2.0))
    monkeypatch.setattr(choice, "BONUSES_ALONE", (-2.0, 0.0, 2.0))
    monkeypatch.setattr(choice, "UNKNOWN_LOG_PENALTIES", (-10.0, -5.0))
    monkeypatch.setattr(choice, "EMPTY_WORD_LOG_PENALTIES", (-10.0, -5.0))
    monkeypatch.setattr(choice, "TOKEN_LOG_THRESHOLDS", (-8.0, -6.0))
    monkeypatch.setattr(choice, "BEAM_LOG_THRESHOLDS", (15.0, 12.0))
    monkeypatch.setattr(choice, "BEAM_SIZES", (16, 8))
