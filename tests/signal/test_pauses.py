"""Pauses, and where speech begins and ends, whatever the level, the noise and the rate."""

import pytest
import torch
from torch import Tensor

from asr.signal.pauses import (
    PAUSE_SECONDS,
    SILENCE_SECONDS,
    cuts_in,
    quiet_frames,
    speech_span,
)

RATE = 16_000


def sounds(*lengths: float, rate: int = RATE, noise: float = 0.001) -> Tensor:
    """Bursts of noise and, in turn, what is quiet, of so many seconds each."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(round(length * rate), generator=generator) * (0.1 if i % 2 == 0 else 0.0)
        for i, length in enumerate(lengths)
    ]
    waveform = torch.cat(parts)
    return waveform + noise * torch.randn(len(waveform), generator=generator)


def find_cuts(waveform: Tensor, rate: int) -> list[float]:
    return cuts_in(quiet_frames(waveform, rate))


@pytest.mark.parametrize("rate", [8000, 11025, 48000])
@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.03])
def test_pauses_between_sounds(rate: int, gain: float, noise: float) -> None:
    waveform = gain * sounds(1.0, 0.5, 2.0, 0.1, 0.5, 0.8, 1.0, rate=rate, noise=noise)
    assert find_cuts(waveform, rate) == pytest.approx([1.25, 4.5], abs=0.05)


def test_a_long_silence_is_cut_off_on_both_sides() -> None:
    waveform = sounds(1.0, 4.0, 1.0, 0.5, 1.0)
    expected = [1.0 + SILENCE_SECONDS, 5.0 - SILENCE_SECONDS, 6.25]
    assert find_cuts(waveform, RATE) == pytest.approx(expected, abs=0.05)
    ends = torch.cat([torch.zeros(3 * RATE), waveform, torch.zeros(2 * RATE)])
    expected = [3.0 - SILENCE_SECONDS, *(3.0 + cut for cut in expected), 10.5 + SILENCE_SECONDS]
    assert find_cuts(ends, RATE) == pytest.approx(expected, abs=0.05)


def test_quiet_ends_are_no_pauses() -> None:
    waveform = torch.cat([torch.zeros(RATE), sounds(1.0, 0.5, 1.0), torch.zeros(RATE)])
    assert find_cuts(waveform, RATE) == pytest.approx([2.25], abs=0.05)


def test_short_gaps_are_no_pauses() -> None:
    assert find_cuts(sounds(1.0, PAUSE_SECONDS - 0.1, 1.0), RATE) == []


@pytest.mark.parametrize("num_samples", [0, 1, 100, 5 * RATE])
def test_nothing_but_silence_or_noise(num_samples: int) -> None:
    assert find_cuts(torch.zeros(num_samples), RATE) == []
    generator = torch.Generator().manual_seed(0)
    assert find_cuts(0.1 * torch.randn(num_samples, generator=generator), RATE) == []


def test_what_is_quiet_is_what_is_quiet_nearby() -> None:
    loud, soft = sounds(*[2.0, 0.5] * 24), 0.03 * sounds(*[2.0, 0.5] * 24)
    assert len(find_cuts(torch.cat([loud, soft]), RATE)) >= 46


@pytest.mark.parametrize("rate", [8000, 11025, 48000])
@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_speech_is_from_its_first_to_its_last_sound(rate: int, gain: float, noise: float) -> None:
    waveform = gain * sounds(0.0, 1.5, 1.0, 2.0, 0.5, 3.0, rate=rate, noise=noise)
    start, end = speech_span(waveform, rate) or (0, 0)
    assert start / rate == pytest.approx(1.5, abs=0.07)
    assert end / rate == pytest.approx(5.0, abs=0.07)


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_clicks_and_hum_are_no_speech(level: float) -> None:
    waveform = sounds(0.0, 2.0, 1.0, 2.0)
    for second in (0.5, 1.0, 4.5):
        waveform[int(second * RATE) : int((second + 0.03) * RATE)] += level * torch.randn(480)
    seconds = torch.arange(len(waveform)) / RATE
    waveform += 0.1 * level * (2 * torch.pi * 50 * seconds).sin()
    start, end = speech_span(waveform, RATE) or (0, 0)
    assert start / RATE == pytest.approx(2.0, abs=0.07)
    assert end / RATE == pytest.approx(3.0, abs=0.07)


def test_soft_parts_are_speech() -> None:
    waveform = torch.cat([torch.zeros(RATE), 0.05 * sounds(0.4), sounds(1.0), torch.zeros(RATE)])
    start, _ = speech_span(waveform, RATE) or (0, 0)
    assert start / RATE == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("num_samples", [0, 1, 100, 5 * RATE])
def test_in_silence_nothing_may_be_speech(num_samples: int) -> None:
    assert speech_span(torch.zeros(num_samples), RATE) is None


def test_steady_noise_may_all_be_speech() -> None:
    assert speech_span(sounds(3.0), RATE) == (0, 3 * RATE)
