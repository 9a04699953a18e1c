"""Noise that is made, and mixed in at the ratio that was asked for."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.signal.noise import active_part, coloured_noise, mix_at_snr


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(samples: int = 8000) -> Tensor:
    """Noise that comes and goes."""
    envelope = torch.sin(torch.arange(samples) / 700).clamp(min=0)
    return 0.2 * torch.randn(samples, generator=seeded(7)) * envelope


def test_coloured_noise_has_unit_power() -> None:
    for seed in range(10):
        power = coloured_noise(4000, seeded(seed)).square().mean()
        assert float(power) == pytest.approx(1, abs=1e-3)


def test_coloured_noise_falls_by_0_to_6_db_an_octave() -> None:
    slopes = []
    for seed in range(20):
        power = torch.fft.rfft(coloured_noise(1 << 14, seeded(seed))).abs().square()
        octaves = [power[1 << i : 2 << i].mean().log2() for i in range(5, 13)]
        falls = [float(high - low) for low, high in pairwise(octaves)]
        slopes.append(sum(falls) / len(falls))

    assert all(-2.2 < slope < 0.2 for slope in slopes)
    assert max(slopes) - min(slopes) > 1


def ratio_db(power: Tensor, other: Tensor) -> float:
    return 10 * math.log10(float(power.square().mean() / other.square().mean()))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
def test_what_is_active_lies_so_far_above_the_noise(snr_db: float) -> None:
    waveform, noise = speech(), torch.rand(8000, generator=seeded(1))

    added = mix_at_snr(waveform, noise, snr_db, 160) - waveform

    assert ratio_db(active_part(waveform, 160), added) == pytest.approx(snr_db, abs=0.1)
    assert torch.allclose(added / added.abs().max(), noise / noise.max(), atol=1e-4)


@pytest.mark.parametrize("pause", [0.0, 1e-4])
def test_a_long_pause_does_not_make_the_noise_softer(pause: float) -> None:
    silence = pause * torch.randn(32_000, generator=seeded(2))
    padded = torch.cat([silence, speech(), silence])
    noise = torch.randn(len(padded), generator=seeded(3))

    added = mix_at_snr(padded, noise, 10.0, 160) - padded
    alone = mix_at_snr(speech(), noise[:8000], 10.0, 160) - speech()

    assert ratio_db(added, alone) == pytest.approx(0.0, abs=0.2)


def test_silence_on_either_side_adds_nothing() -> None:
    silence = torch.zeros(8000)
    for waveform, noise in ((speech(), silence), (silence, speech()), (silence, silence)):
        assert torch.equal(mix_at_snr(waveform, noise, 10.0, 160), waveform)


@given(st.lists(st.floats(-90, 0), min_size=1, max_size=40))
def test_active_frames_lie_within_16_db_below_their_own_mean(levels_db: list[float]) -> None:
    levels = 10 ** (torch.tensor(levels_db, dtype=torch.float64) / 20)
    waveform = torch.cat([levels.repeat_interleave(10), torch.ones(3)])

    active = active_part(waveform, 10)

    chosen = active.view(-1, 10)[:, 0]
    floor = chosen.square().mean() * 10**-1.59
    expected = levels[levels.square() >= floor * (1 - 1e-9)]
    assert torch.equal(chosen, expected)


def test_without_a_sounding_frame_all_counts() -> None:
    for waveform in (torch.zeros(50), torch.ones(9)):
        assert torch.equal(active_part(waveform, 10), waveform)
