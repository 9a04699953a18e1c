"""The ratio of each frame to the noise: about 1 in stationary noise, and high in what is new."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.signal.noise import coloured_noise
from asr.signal.rng import seeded_generator
from asr.signal.snr import FrameSnr

RATES = [8000, 11025, 16_000, 44_100]


def ratios(waveform: Tensor, rate: int, block: int | None = None) -> NDArray[np.float32]:
    snr = FrameSnr(rate)
    parts = [snr.feed(piece) for piece in torch.split(waveform, block or max(1, len(waveform)))]
    return np.concatenate([*parts, snr.finish()])


def noise(seconds: float, rate: int, seed: int = 0) -> Tensor:
    return coloured_noise(round(seconds * rate), seeded_generator(seed))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("gain", [3e-4, 0.01, 1.0])
def test_stationary_noise_stands_out_nowhere(rate: int, gain: float) -> None:
    for seed in range(3):
        found = ratios(gain * noise(60, rate, seed), rate)
        assert found.mean() == pytest.approx(0.9, abs=0.15)
        assert (found > 2).mean() < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_what_is_20_db_louder_stands_out_at_once(rate: int) -> None:
    waveform = 0.001 * noise(6, rate)
    waveform[3 * rate : 4 * rate] *= 10
    found = ratios(waveform, rate)
    frames = np.arange(len(found)) * FrameSnr(rate).hop / rate
    assert found[(frames > 3.05) & (frames < 3.95)].min() > 5
    assert found[(frames < 2.95) | (frames > 4.05)].max() < 2.5


def test_a_steady_sound_becomes_noise_after_three_seconds() -> None:
    waveform = 0.001 * noise(10, 16_000)
    waveform[3 * 16_000 :] *= 10
    found = ratios(waveform, 16_000)
    assert found[310:580].min() > 5
    assert found[620:].max() < 2.5


@pytest.mark.parametrize("block", [1, 159, 160, 1601, 4096, 48_000])
def test_blocks_of_any_size_give_the_same_ratios(block: int) -> None:
    seconds = 1.5 if block == 1 else 7.3
    waveform = torch.cat([torch.zeros(2345), noise(seconds, 16_000), torch.zeros(5000)])
    assert np.array_equal(ratios(waveform, 16_000, block), ratios(waveform, 16_000))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num_samples", [0, 1, 79, 800, 12_345])
def test_there_is_a_frame_for_every_hop(rate: int, num_samples: int) -> None:
    hop = FrameSnr(rate).hop
    for waveform in (torch.zeros(num_samples), noise(1, rate)[:num_samples]):
        assert len(ratios(waveform, rate)) == -(-len(waveform) // hop)


def test_digital_silence_says_nothing_about_the_noise() -> None:
    quiet = 0.001 * noise(2, 16_000)
    waveform = torch.cat([quiet, torch.zeros(5 * 16_000), quiet, torch.zeros(37), quiet])
    assert ratios(waveform, 16_000).max() < 2.5


def test_results_come_soon() -> None:
    """A frame is known 0.15 s after it is heard, apart from the first second."""
    snr, known = FrameSnr(16_000), 0
    for number, block in enumerate(torch.split(noise(3, 16_000), 800), 1):
        known += len(snr.feed(block))
        if number > 20 + 3:
            assert known * snr.hop >= 800 * number - 0.15 * 16_000
