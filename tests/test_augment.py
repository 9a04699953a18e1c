"""Augmentation: repeatable from a seed, within its stated bounds, and off when switched off."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import dsp
from asr.signal.augment import (
    AugmentConfig,
    augment_waveform,
    coloured,
    coloured_noise,
    mask_features,
    trimmed,
    warp_features,
)

RATE = 16_000
OFF = AugmentConfig(speeds=(), time_masks=0, frequency_masks=0)
EVERYTHING = AugmentConfig(
    gain_db=6.0, colour_db=6.0, frequency_warp=0.2, noise_chance=0.5, trim_chance=0.5
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(samples: int = 1000, level: float = 0.1) -> Tensor:
    return level * torch.randn(samples, generator=seeded(99))


def test_same_seed_gives_the_same_utterance() -> None:
    waveforms = [augment_waveform(noise(), RATE, EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]
    masked = [mask_features(torch.ones(200, 40), EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]
    ramp = torch.arange(40.0).repeat(9, 1)
    warped = [warp_features(ramp, EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]

    for first, again, other in (waveforms, masked, warped):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()

    augment_waveform(noise(), RATE, EVERYTHING, seeded(1))
    mask_features(torch.ones(200, 40), EVERYTHING, seeded(1))

    assert torch.equal(torch.random.get_rng_state(), before)


def test_nothing_changes_when_all_is_off() -> None:
    waveform, features = noise(), torch.randn(50, 20, generator=seeded(0))

    assert torch.equal(augment_waveform(waveform, RATE, OFF, seeded(1)), waveform)
    assert torch.equal(mask_features(features, OFF, seeded(1)), features)
    assert torch.equal(warp_features(features, OFF, seeded(1)), features)


def test_what_is_given_is_not_altered() -> None:
    waveform, features = noise(), torch.ones(200, 40)
    waveform_before, features_before = waveform.clone(), features.clone()

    for seed in range(5):
        augment_waveform(waveform, RATE, EVERYTHING, seeded(seed))
        mask_features(features, EVERYTHING, seeded(seed))

    assert torch.equal(waveform, waveform_before)
    assert torch.equal(features, features_before)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_speed_divides_the_length(factor: float) -> None:
    faster = augment_waveform(noise(1001), RATE, OFF, seeded(0), speed=factor)

    assert len(faster) == math.ceil(1001 / factor)


def test_speed_is_given_not_drawn() -> None:
    config = dataclasses.replace(OFF, speeds=(0.5, 2.0))
    for seed in range(5):
        assert torch.equal(augment_waveform(noise(), RATE, config, seeded(seed)), noise())


def test_speed_comes_before_noise_and_gain_which_keep_their_draws() -> None:
    config = dataclasses.replace(OFF, gain_db=6.0, noise_chance=0.5)
    for seed in range(10):
        faster = augment_waveform(noise(), RATE, config, seeded(seed), speed=1.1)
        already = augment_waveform(dsp.speed(noise(), 1.1), RATE, config, seeded(seed))
        assert torch.equal(faster, already)


@pytest.mark.parametrize(("least", "greatest"), [(10.0, 30.0), (-5.0, 0.0), (15.0, 15.0)])
def test_noise_has_the_ratio_that_was_drawn(
    monkeypatch: pytest.MonkeyPatch, least: float, greatest: float
) -> None:
    drawn = []
    mix = dsp.add_noise

    def listen(waveform: Tensor, added: Tensor, snr_db: Tensor) -> Tensor:
        drawn.append(float(snr_db))
        return mix(waveform, added, snr_db)

    monkeypatch.setattr(dsp, "add_noise", listen)
    config = dataclasses.replace(OFF, noise_chance=1.0, noise_snr_db=(least, greatest))
    for seed in range(20):
        waveform = noise(2000)
        added = augment_waveform(waveform, RATE, config, seeded(seed)) - waveform
        measured = 10 * math.log10(float(waveform.square().sum() / added.square().sum()))
        assert measured == pytest.approx(drawn[-1], abs=0.1)
        assert least - 0.01 <= drawn[-1] <= greatest + 0.01
    assert len(set(drawn)) == (20 if least < greatest else 1)


def test_noise_is_added_to_the_stated_share() -> None:
    config = dataclasses.replace(OFF, noise_chance=0.3)
    generator, waveform = seeded(0), noise(64)

    noisy = sum(
        not torch.equal(augment_waveform(waveform, RATE, config, generator), waveform)
        for _ in range(400)
    )

    assert 90 < noisy < 150


@pytest.mark.parametrize("samples", [1, 2, 3, 1000])
def test_silence_and_short_recordings_stay_finite(samples: int) -> None:
    config = dataclasses.replace(EVERYTHING, noise_chance=1.0)
    for seed in range(10):
        for waveform in (torch.zeros(samples), noise(samples)):
            assert bool(augment_waveform(waveform, RATE, config, seeded(seed)).isfinite().all())


def test_gain_stays_within_its_bound() -> None:
    config = dataclasses.replace(OFF, gain_db=6.0)
    waveform = noise(10)

    ratios = [
        augment_waveform(waveform, RATE, config, seeded(seed)) / waveform for seed in range(100)
    ]
    gains = [20 * math.log10(float(ratio[0])) for ratio in ratios]

    assert all(float(ratio.max() - ratio.min()) < 1e-6 for ratio in ratios)
    assert all(-6.001 <= gain <= 6.001 for gain in gains)
    assert min(gains) < -4
    assert max(gains) > 4


def quiet_loud_quiet() -> Tensor:
    """Frames of 10 at 0.01, 0.1, 1, 0.1, 0.01 and half a frame at 0: 40, 20, 0, 20, 40 dB down."""
    levels = torch.tensor([0.01, 0.1, 1.0, 0.1, 0.01]).repeat_interleave(10)
    return torch.cat([levels, torch.zeros(5)])


@pytest.mark.parametrize(("floor_db", "kept"), [(10, (20, 30)), (30, (10, 40)), (50, (0, 50))])
def test_trimming_keeps_what_lies_above_the_floor(floor_db: int, kept: tuple[int, int]) -> None:
    waveform = quiet_loud_quiet()
    assert torch.equal(trimmed(waveform, 10, floor_db), waveform[slice(*kept)])


def test_trimming_silence_or_less_than_a_frame_changes_nothing() -> None:
    for waveform in (torch.zeros(50), torch.ones(9), torch.zeros(0)):
        assert torch.equal(trimmed(waveform, 10, 20.0), waveform)


def test_quiet_in_the_middle_stays() -> None:
    waveform = torch.cat([quiet_loud_quiet()[:50], quiet_loud_quiet()[:50]])
    assert torch.equal(trimmed(waveform, 10, 10.0), waveform[20:80])


def test_a_share_of_the_utterances_is_trimmed_and_never_too_far() -> None:
    config = dataclasses.replace(OFF, trim_chance=0.5, trim_floor_db=(5.0, 30.0))
    waveform = quiet_loud_quiet()

    def lengths(least_seconds: float) -> list[int]:
        return [
            len(augment_waveform(waveform, 1000, config, seeded(seed), 1.0, least_seconds))
            for seed in range(400)
        ]

    free = lengths(0.0)
    assert set(free) == {10, 30, 55}
    assert free.count(55) == pytest.approx(200, abs=40)
    assert free.count(10) == pytest.approx(120, abs=40)  # floors of 5 to 20 dB, of 5 to 30
    assert set(lengths(0.03)) == {30, 55}
    assert set(lengths(0.05)) == {55}


def test_colour_is_a_smooth_response_of_the_stated_size() -> None:
    click = torch.zeros(1024)
    click[0] = 1.0

    responses = torch.stack(
        [20 * torch.fft.rfft(coloured(click, 6.0, seeded(s))).abs().log10() for s in range(300)]
    )

    assert float(responses.square().mean().sqrt()) == pytest.approx(6.0, rel=0.1)
    assert float(responses[:, 16:].diff(dim=1).abs().max()) < 1.5  # dB from bin to bin, 31 Hz apart
    assert float(responses.mean(dim=0).abs().max()) < 2.0


@given(st.integers(1, 30), st.floats(0, 0.5), st.integers(0, 2**32))
def test_warp_stretches_a_ramp_by_at_most_its_share(mels: int, share: float, seed: int) -> None:
    config = dataclasses.replace(OFF, frequency_warp=share)
    ramp = torch.arange(float(mels)).repeat(3, 1)

    warped = warp_features(ramp, config, seeded(seed))

    assert warped.shape == ramp.shape
    assert torch.equal(warped[0], warped[2])
    lowest, highest = ((ramp[0] * (1 + side * share)).clamp(max=mels - 1) for side in (-1, 1))
    assert bool((warped[0] >= lowest - 1e-4).all())
    assert bool((warped[0] <= highest + 1e-4).all())


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


@given(
    st.integers(1, 120),
    st.integers(2, 40),
    st.integers(0, 4),
    st.integers(0, 50),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_time_masks_keep_their_bounds(
    frames: int, mels: int, masks: int, widest: int, share: float, seed: int
) -> None:
    config = dataclasses.replace(
        OFF, time_masks=masks, time_mask_frames=widest, time_mask_share=share
    )

    masked = mask_features(torch.ones(frames, mels), config, seeded(seed))

    assert bool((masked == masked[:, :1]).all())  # a frame is masked wholly or not at all
    hidden = masked[:, 0] == 0
    bound = min(widest, int(share * frames))
    assert int(hidden.sum()) <= masks * bound
    if masks == 1:
        positions = hidden.nonzero().flatten().tolist()
        assert positions == list(range(*_span(positions)))


@given(
    st.integers(1, 60), st.integers(1, 40), st.integers(0, 3), st.integers(0, 60), st.integers(0)
)
def test_frequency_masks_keep_their_bounds(
    frames: int, mels: int, masks: int, widest: int, seed: int
) -> None:
    config = dataclasses.replace(OFF, frequency_masks=masks, frequency_mask_mels=widest)

    masked = mask_features(torch.ones(frames, mels), config, seeded(seed % 2**63))

    assert bool((masked == masked[:1]).all())
    hidden = masked[0] == 0
    assert int(hidden.sum()) <= masks * min(widest, mels // 2)
    if masks == 1:
        positions = hidden.nonzero().flatten().tolist()
        assert positions == list(range(*_span(positions)))


def _span(positions: list[int]) -> tuple[int, int]:
    return (positions[0], positions[-1] + 1) if positions else (0, 0)


def test_masks_reach_their_widest_and_every_place() -> None:
    config = dataclasses.replace(OFF, time_masks=1, time_mask_frames=5, time_mask_share=1.0)
    widths, touched = set(), torch.zeros(12, dtype=torch.bool)

    for seed in range(200):
        hidden = mask_features(torch.ones(12, 3), config, seeded(seed))[:, 0] == 0
        widths.add(int(hidden.sum()))
        touched |= hidden

    assert widths == set(range(6))
    assert bool(touched.all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speeds": (0.4,)}, r"speeds: expected values in 0.5–2.0, found \(0.4,\)"),
        ({"speeds": (1.0, 2.1)}, "speeds"),
        ({"speeds": (math.nan,)}, "speeds"),
        ({"noise_snr_db": (30.0, 10.0)}, r"noise_snr_db: expected \[least, greatest\]"),
        ({"noise_chance": 1.5}, "noise_chance in 0–1"),
        ({"time_mask_share": -0.1}, "time_mask_share"),
        ({"time_masks": -1}, "0 or more"),
        ({"time_mask_frames": -1}, "0 or more"),
        ({"frequency_mask_mels": -1}, "0 or more"),
        ({"gain_db": -3.0}, "gain_db and colour_db of 0 or more"),
        ({"colour_db": -1.0}, "colour_db of 0 or more"),
        ({"frequency_warp": 0.6}, "frequency_warp"),
        ({"trim_chance": 1.1}, "trim_chance"),
        ({"trim_floor_db": (30.0, 10.0)}, r"trim_floor_db: expected \[least, greatest\]"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"augment.*{message}"):
        AugmentConfig(**settings)
