"""Settings out of range are refused."""

import pytest

from asr.errors import ConfigError
from asr.training import DataConfig, OptimConfig


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
