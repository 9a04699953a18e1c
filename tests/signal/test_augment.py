"""Augmentation: repeatable from a seed, within its stated bounds, and off when switched off."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import augment, distortions, dsp
from asr.signal.augment import AugmentConfig, augment_waveform, trim_silence
from asr.signal.noise import mix_at_snr
from asr.signal.spec_augment import mask_features, warp_features, warp_time

RATE = 16_000
OFF = AugmentConfig(speeds=(), time_masks=0, frequency_masks=0)
FORMER = AugmentConfig(
    gain_db=6.0, colour_db=6.0, frequency_warp=0.2, noise_chance=0.5, trim_chance=0.5
)
CHANCES: tuple[str, ...] = ("reverb_chance", "clip_chance", "band_limit_chance", "codec_chance")
HALF: dict[str, Any] = dict.fromkeys(CHANCES, 0.5)
EVERYTHING = dataclasses.replace(FORMER, time_warp=0.3, **HALF)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(samples: int = 1000, level: float = 0.1) -> Tensor:
    return level * torch.randn(samples, generator=seeded(99))


def test_same_seed_gives_the_same_utterance() -> None:
    waveforms = [augment_waveform(noise(), RATE, EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]
    masked = [mask_features(torch.ones(200, 40), EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]
    ramp = torch.arange(40.0).repeat(9, 1)
    warped = [warp_features(ramp, EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]
    bent = [warp_time(ramp.T, EVERYTHING, seeded(seed)) for seed in (5, 5, 6)]

    for first, again, other in (waveforms, masked, warped, bent):
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
    assert torch.equal(warp_time(features, OFF, seeded(1)), features)


def test_what_is_off_draws_nothing() -> None:
    generator = seeded(1)
    before = generator.get_state()

    augment_waveform(noise(), RATE, OFF, generator)
    for change in (warp_features, warp_time, mask_features):
        change(torch.ones(100, 8), OFF, generator)

    assert torch.equal(generator.get_state(), before)


# Of each seed: samples, mean square, mean absolute features once warped and once masked, next draw.
BEFORE = [
    (26312, 0.009749373386257865, 0.6487919413277672, 0.47803535285819737, 0.11411869525909424),
    (24000, 0.01508044918550573, 0.6774735407273854, 0.4321373047546432, 0.9263678789138794),
    (21819, 0.004883149853973087, 0.6741611112722118, 0.3068221542555451, 0.17005711793899536),
    (24534, 0.001505970294363721, 0.6501669677886578, 0.411735206788354, 0.94930499792099),
    (24000, 0.00868994231414096, 0.646389947002883, 0.3596210254053585, 0.5220290422439575),
    (21819, 0.008480168699095356, 0.6364558543315474, 0.27076688131396726, 0.6697648167610168),
    (26667, 0.05887688110140259, 0.6584325579557723, 0.4031565930731853, 0.36362069845199585),
    (24000, 0.014269730530772023, 0.6319651535060257, 0.34168273628275425, 0.8828775882720947),
]


@pytest.mark.parametrize("seed", range(len(BEFORE)))
def test_former_settings_give_what_they_gave_before_there_were_others(seed: int) -> None:
    """Values of the code of then; to the last bit they would depend on the processor's FFT.

    Those of the seeds 0 and 3, which are trimmed, are of when trimming began to listen below a
    random frequency.
    """
    envelope = torch.sin(torch.arange(24_000) / 4000).square()
    generator, speed = seeded(seed), (0.9, 1.0, 1.1)[seed % 3]
    random_features = torch.randn(90, 40, generator=seeded(seed))

    waveform = augment_waveform(noise(24_000) * envelope, RATE, FORMER, generator, speed, 0.1)
    warped = warp_time(warp_features(random_features, FORMER, generator), FORMER, generator)
    masked = mask_features(warped, FORMER, generator)

    samples, power, mean_warped, mean_masked, draw = BEFORE[seed]
    assert len(waveform) == samples
    assert float(waveform.double().square().mean()) == pytest.approx(power, rel=1e-4)
    assert float(warped.double().abs().mean()) == pytest.approx(mean_warped, rel=1e-4)
    assert float(masked.double().abs().mean()) == pytest.approx(mean_masked, rel=1e-4)
    assert float(torch.rand((), generator=generator)) == draw


def test_what_is_given_is_not_altered() -> None:
    waveform, features = noise(), torch.ones(200, 40)
    waveform_before, features_before = waveform.clone(), features.clone()

    for seed in range(5):
        augment_waveform(waveform, RATE, EVERYTHING, seeded(seed))
        mask_features(features, EVERYTHING, seeded(seed))
        warp_time(features, EVERYTHING, seeded(seed))

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


def test_noise_has_a_colour_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def octaves_db(waveform: Tensor) -> Tensor:
        power = torch.fft.rfft(waveform).abs().square()
        return 10 * torch.stack([power[2**k : 2 ** (k + 1)].mean() for k in range(6, 13)]).log10()

    heard: list[tuple[Tensor, Tensor]] = []

    def listen(waveform: Tensor, added: Tensor, snr_db: float, frame: int) -> Tensor:
        heard.append(
            (octaves_db(waveform) - octaves_db(hiss), octaves_db(added) - octaves_db(hiss))
        )
        return mix_at_snr(waveform, added, snr_db, frame)

    hiss = noise(16_000)
    monkeypatch.setattr(augment, "mix_at_snr", listen)
    config = dataclasses.replace(OFF, noise_chance=1.0, colour_db=6.0, noise_colour_db=6.0)
    for seed in range(20):
        augment_waveform(hiss, RATE, config, seeded(seed), recorded=lambda *_: hiss)
    assert len(heard) > 5  # in the others the noise is not recorded
    for of_speech, of_noise in heard:
        assert of_noise.std() > 1
        assert (of_noise - of_speech).std() > 1


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


@pytest.mark.parametrize("chance", [*CHANCES, "noise_chance"])
def test_a_change_comes_to_the_stated_share(chance: str) -> None:
    settings: dict[str, Any] = {chance: 0.3}
    config, waveform = dataclasses.replace(OFF, **settings), noise(320)

    changed = 0
    for seed in range(300):
        heard = augment_waveform(waveform, RATE, config, seeded(seed))
        assert len(heard) == len(waveform)
        changed += not torch.equal(heard, waveform)

    assert 65 < changed < 115


def test_changes_come_in_the_order_of_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def listening(name: str, change: Any) -> Any:
        def listen(*arguments: Any) -> Any:
            called.append(name)
            return change(*arguments)

        return listen

    for module, names in (
        (augment, ("trim_silence", "apply_codec")),
        (dsp, ("speed", "add_noise")),
        (distortions, ("reverberate", "random_equalise", "clip_peaks", "random_band_limit")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, listening(name, getattr(module, name)))
    everything: dict[str, Any] = dict.fromkeys((*CHANCES, "noise_chance", "trim_chance"), 1.0)

    everything |= {"colour_db": 3.0, "noise_colour_db": 3.0}
    augment_waveform(noise(), RATE, AugmentConfig(**everything), seeded(0))

    assert " ".join(called) == (
        "trim_silence speed reverberate random_equalise random_equalise add_noise clip_peaks "
        "random_band_limit apply_codec"
    )


def test_half_of_the_noise_is_recorded_if_there_are_recordings() -> None:
    config = dataclasses.replace(OFF, noise_chance=1.0, noise_snr_db=(5.0, 20.0))
    given: list[Tensor] = []

    def recorded(num_samples: int, generator: torch.Generator) -> Tensor:
        given.append(torch.rand(num_samples, generator=generator))
        return given[-1]

    waveform, count = noise(1600), 0
    for seed in range(200):
        added = augment_waveform(waveform, RATE, config, seeded(seed), recorded=recorded) - waveform
        assert float(added.abs().max()) > 0
        if len(given) > count:
            count = len(given)
            gain = float((added / given[-1]).median())
            assert torch.allclose(added, gain * given[-1], atol=1e-6)
    assert 75 < count < 125


@pytest.mark.parametrize("samples", [1, 2, 3, 1000])
def test_silence_and_short_recordings_stay_finite(samples: int) -> None:
    everything: dict[str, Any] = dict.fromkeys((*CHANCES, "noise_chance"), 1.0)
    config = dataclasses.replace(EVERYTHING, **everything)
    for seed in range(10):
        for recorded in (None, lambda num_samples, _: torch.ones(num_samples)):
            silence = augment_waveform(
                torch.zeros(samples), RATE, config, seeded(seed), recorded=recorded
            )
            sound = augment_waveform(noise(samples), RATE, config, seeded(seed), recorded=recorded)
            assert torch.equal(silence, torch.zeros(samples))
            assert 0 < len(sound) <= samples
            assert bool(sound.isfinite().all())


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
    assert torch.equal(trim_silence(waveform, 10, floor_db), waveform[slice(*kept)])


def test_what_is_quiet_may_be_heard_in_another_waveform() -> None:
    waveform = torch.linspace(0, 1, 100)
    heard = torch.zeros(100)
    heard[30:60] = 1.0
    assert torch.equal(trim_silence(waveform, 10, 20.0, heard), waveform[30:60])


def test_a_hiss_at_the_end_may_go_and_a_hum_stays() -> None:
    config = dataclasses.replace(OFF, trim_chance=1.0, trim_floor_db=(20.0, 20.0))
    seconds = torch.arange(16000) / 16000
    hum, hiss = ((2 * torch.pi * hz * seconds).sin() for hz in (500.0, 6000.0))
    lengths = {
        round(len(augment_waveform(torch.cat([hiss, hum]), 16000, config, generator)) / 16000)
        for generator in map(seeded, range(12))
    }
    assert lengths == {1, 2}


def test_trimming_silence_or_less_than_a_frame_changes_nothing() -> None:
    for waveform in (torch.zeros(50), torch.ones(9), torch.zeros(0)):
        assert torch.equal(trim_silence(waveform, 10, 20.0), waveform)


def test_quiet_in_the_middle_stays() -> None:
    waveform = torch.cat([quiet_loud_quiet()[:50], quiet_loud_quiet()[:50]])
    assert torch.equal(trim_silence(waveform, 10, 10.0), waveform[20:80])


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speeds": (0.4,)}, r"speeds: expected values in 0.5–2.0, found \(0.4,\)"),
        ({"speeds": (1.0, 2.1)}, "speeds"),
        ({"speeds": (math.nan,)}, "speeds"),
        ({"noise_snr_db": (30.0, 10.0)}, r"noise_snr_db: expected \[least, greatest\]"),
        ({"noise_chance": 1.5}, "noise_chance: expected 0 to 1, found 1.5"),
        ({"time_mask_share": -0.1}, "time_mask_share"),
        ({"time_masks": -1}, "0 or more"),
        ({"time_mask_frames": -1}, "0 or more"),
        ({"frequency_mask_mels": -1}, "0 or more"),
        ({"gain_db": -3.0}, "gain_db, colour_db and noise_colour_db of 0 or more"),
        ({"colour_db": -1.0}, "gain_db, colour_db and noise_colour_db of 0 or more"),
        ({"noise_colour_db": -1.0}, "gain_db, colour_db and noise_colour_db of 0 or more"),
        ({"frequency_warp": 0.6}, "frequency_warp"),
        ({"trim_chance": 1.1}, "trim_chance"),
        ({"reverb_chance": 1.1}, "reverb_chance: expected 0 to 1, found 1.1"),
        ({"clip_chance": math.nan}, "clip_chance"),
        ({"band_limit_chance": -0.1}, "band_limit_chance"),
        ({"codec_chance": 2.0}, "codec_chance"),
        ({"time_warp": 1.0}, "time_warp: expected 0 to 0.9, found 1.0"),
        ({"trim_floor_db": (30.0, 10.0)}, r"trim_floor_db: expected \[least, greatest\]"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"augment.*{message}"):
        AugmentConfig(**settings)
