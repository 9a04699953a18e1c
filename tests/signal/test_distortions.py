"""Rooms, bands, clipping: each change measured for what it says it does."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from asr.signal import dsp
from asr.signal.distortions import (
    band_pass,
    clip_peaks,
    random_band_limit,
    random_equalise,
    reverberate,
    room_impulse_response,
)
from asr.signal.noise import active_part
from asr.signal.rng import randint, uniform

RATE = 16_000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(samples: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(samples, generator=seeded(99))


def click(samples: int, place: int) -> Tensor:
    waveform = torch.zeros(samples)
    waveform[place] = 1.0
    return waveform


def test_colour_is_a_smooth_response_of_the_stated_size() -> None:
    click = torch.zeros(4096)
    click[2048] = 1.0

    responses = torch.stack(
        [
            20 * torch.fft.rfft(random_equalise(click, 6.0, seeded(s))).abs().log10()
            for s in range(300)
        ]
    )

    assert float(responses.square().mean().sqrt()) == pytest.approx(6.0, rel=0.1)
    assert float(responses[:, 16:].diff(dim=1).abs().max()) < 1.5  # dB from bin to bin, 31 Hz apart
    assert float(responses.mean(dim=0).abs().max()) < 2.0


@pytest.mark.parametrize("rt60_seconds", [0.1, 0.3, 0.6])
def test_a_room_falls_by_60_db_in_its_time(rt60_seconds: float) -> None:
    """By Schroeder's (1965) backward integration, from 5 to 25 dB below the start."""
    measured = []
    for seed in range(5):
        tail = room_impulse_response(rt60_seconds, 0.0, RATE, seeded(seed))[1:].double()
        left = tail.square().flip(0).cumsum(0).flip(0)
        left_db = 10 * (left / left[0]).log10()
        first, last = (int((left_db < level).nonzero()[0]) for level in (-5, -25))
        measured.append(60 / 20 * (last - first) / RATE)

    assert sum(measured) / 5 == pytest.approx(rt60_seconds, rel=0.1)


@pytest.mark.parametrize("direct_db", [0.0, 7.5, 15.0])
def test_a_room_has_the_direct_sound_that_was_asked_for(direct_db: float) -> None:
    response = room_impulse_response(0.4, direct_db, RATE, seeded(1)).double()

    ratio = float(response[0].square() / response[1:].square().sum())
    assert 10 * math.log10(ratio) == pytest.approx(direct_db, abs=0.01)
    assert float(response.square().sum()) == pytest.approx(1.0, abs=1e-5)


def test_reverberation_is_the_convolution_with_a_room() -> None:
    waveform = noise(3001)
    for seed in range(5):
        generator = seeded(seed)
        drawn = uniform(0.1, 0.6, generator), uniform(0.0, 15.0, generator)
        response = room_impulse_response(*drawn, RATE, generator)
        expected = np.convolve(waveform.double(), response.double())[:3001]

        heard = reverberate(waveform, RATE, seeded(seed))

        assert np.allclose(heard.numpy(), expected, atol=1e-5)


def test_the_direct_sound_stays_where_it_was() -> None:
    for seed in range(20):
        heard = reverberate(click(5000, 1234), RATE, seeded(seed))
        assert int(heard.abs().argmax()) == 1234
        assert float(heard[:1234].abs().max()) < 1e-5


def gain_db_at(heard: Tensor, hz: float) -> float:
    """Of a click, how loud a frequency is that was 0 dB."""
    place = round(hz / (RATE / 2) * (len(heard) // 2))
    return 20 * math.log10(float(torch.fft.rfft(heard.double()).abs()[place]) + 1e-9)


@pytest.mark.parametrize(
    ("low_hz", "high_hz"), [(300.0, 3400.0), (0.0, 4000.0), (400.0, 8000.0), (0.0, 8000.0)]
)
def test_a_band_is_kept_and_nothing_beside_it(low_hz: float, high_hz: float) -> None:
    heard = band_pass(click(16_000, 8000), RATE, low_hz, high_hz)

    if low_hz:
        assert gain_db_at(heard, low_hz) == pytest.approx(-6.02, abs=0.2)
        assert gain_db_at(heard, 0.7 * low_hz) < -50
    if high_hz < 8000:
        assert gain_db_at(heard, high_hz) == pytest.approx(-6.02, abs=0.2)
        assert gain_db_at(heard, 1.05 * high_hz) < -50
        assert gain_db_at(heard, 7900) < -60
    for hz in np.linspace(1.25 * low_hz + 10, 0.96 * high_hz, 20):
        assert gain_db_at(heard, hz) == pytest.approx(0.0, abs=0.1)


PASSED = {  # Hz that surely pass and that surely do not, by the kind that is drawn first
    0: ((400, 1000, 3200), (200, 3700, 7000)),
    1: ((50, 1000, 3000), (5000, 7000)),
    2: ((30, 100, 2300), (7300,)),
    3: ((600, 3000, 7900), (40,)),
    4: ((600, 2300), (40, 7300)),
}


def test_bands_are_those_of_other_recordings() -> None:
    kinds = []
    for seed in range(60):
        kinds.append(randint(5, seeded(seed)))
        passing, stopped = PASSED[kinds[-1]]

        heard = random_band_limit(click(16_000, 8000), RATE, seeded(seed))

        assert all(abs(gain_db_at(heard, hz)) < 0.6 for hz in passing), (seed, kinds[-1])
        assert all(gain_db_at(heard, hz) < -40 for hz in stopped), (seed, kinds[-1])
    assert set(kinds) == set(PASSED)


def test_a_recording_at_8_khz_is_upsampled_as_it_would_be_when_read() -> None:
    seed = next(seed for seed in range(100) if randint(5, seeded(seed)) == 1)
    waveform = noise(8001)

    narrow = dsp.resample(dsp.resample(waveform, RATE, 8000), 8000, RATE)

    assert torch.equal(random_band_limit(waveform, RATE, seeded(seed)), narrow[:8001])


@pytest.mark.parametrize("rate", [2000, 4000, 8000, 11_025, 44_100])
def test_any_rate_and_length_is_kept(rate: int) -> None:
    for samples in (1, 2, 999, 5000):
        for seed in range(12):
            for change in (random_band_limit, reverberate):
                heard = change(noise(samples), rate, seeded(seed))
                assert heard.shape == (samples,)
                assert bool(heard.isfinite().all())


def test_clipping_flattens_the_share_that_was_drawn() -> None:
    speech = torch.cat([torch.zeros(30_000), noise(16_000), 1e-3 * noise(2000)])
    for seed in range(30):
        share = 0.001 * 50 ** uniform(0, 1, seeded(seed))

        heard = clip_peaks(speech, 160, seeded(seed))

        level = float(heard.abs().max())
        flat = heard.abs() == level
        active = len(active_part(speech, 160))
        assert active < 16_500
        assert int(flat.sum()) / active == pytest.approx(share, abs=2 / active)
        assert torch.equal(heard[~flat], speech[~flat])
        assert bool((speech[flat] * heard[flat] > 0).all())


def test_clipping_leaves_silence_and_a_single_sample() -> None:
    assert torch.equal(clip_peaks(torch.zeros(500), 160, seeded(0)), torch.zeros(500))
    assert torch.equal(clip_peaks(torch.tensor([-0.5]), 160, seeded(0)), torch.tensor([-0.5]))
