"""The learning rate over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.training.schedule import learning_rate


@given(
    epochs=st.integers(1, 20),
    warmup=st.floats(0, 10),
    peak=st.floats(1e-5, 1.0),
    steps=st.integers(1, 9),
)
def test_the_rate_rises_to_its_peak_and_falls(
    epochs: int, warmup: float, peak: float, steps: int
) -> None:
    positions = [(step + 1) / steps for step in range(epochs * steps)]
    rates = [learning_rate(position, epochs, warmup, peak) for position in positions]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    rising = [rate for rate, x in zip(rates, positions, strict=True) if x < warmup]
    falling = rates[len(rising) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert learning_rate(warmup, epochs + warmup, warmup, peak) == pytest.approx(peak)
    assert learning_rate(10.0 * epochs + warmup, epochs, warmup, peak) == pytest.approx(0.01 * peak)


def test_the_rate_at_chosen_places() -> None:
    rates = [learning_rate(position, 10, 2, 1.0) for position in (0.5, 1.0, 2.0, 6.0, 10.0)]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 0.01 + 0.99 / 2, 0.01])
