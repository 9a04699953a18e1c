"""Settings out of range are refused."""

import pytest

from asr.errors import ConfigError
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.training import Config, DataConfig, OptimConfig


@pytest.mark.parametrize("weight", [-0.1, 1.0])
def test_an_impossible_share_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"early_weight: expected 0 to below 1"):
        OptimConfig(early_weight=weight)


def test_unusable_settings_are_refused() -> None:
    for changes in (
        *({"epochs": 0}, {"batch_seconds": 0.0}, {"peak_rate": -1.0}, {"average": 0}),
        *({"workers": -1}, {"save_minutes": -0.5}, {"keep_states": 0}),
    ):
        with pytest.raises(ConfigError, match=rf"optim: .*{next(iter(changes))}"):
            OptimConfig(**changes)
    with pytest.raises(ConfigError, match=r"data\.shard_window: expected at least 1, found 0"):
        DataConfig(shard_window=0)


def test_right_context_is_limited_for_encoders_that_have_some() -> None:
    limited = AugmentConfig(right_context_seconds=0.5)
    assert Config(augment=limited).encoder.bidirectional
    with pytest.raises(ConfigError, match=r"right_context_seconds=0\.5: .*bidirectional=true"):
        Config(augment=limited, encoder=EncoderConfig(bidirectional=False))
    for seconds in (-0.1, 10.5):
        with pytest.raises(ConfigError, match=r"right_context_seconds: expected 0 to 10, found"):
            AugmentConfig(right_context_seconds=seconds)
