"""Features against the same arithmetic written in numpy, and what they must not depend on."""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import features
from asr.signal.features import FeatureConfig, FeatureExtractor, stack_frames

Matrix = NDArray[np.float64]


def speechlike(samples: int, seed: int = 0) -> Tensor:
    """Harmonics of 120 Hz that swell and fade, with some noise, at 16 kHz."""
    time = torch.arange(samples) / 16_000
    voice = torch.stack([torch.sin(2 * math.pi * 120 * k * time) / k for k in range(1, 30)]).sum(0)
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return 0.1 * voice * (1.2 + torch.sin(2 * math.pi * 3 * time)) + 0.01 * noise


def reference_log_mel(waveform: Tensor, config: FeatureConfig) -> Matrix:
    """Log-mel energies, frame by frame and in double precision."""
    rate, hop = config.sample_rate, round(config.hop_seconds * config.sample_rate)
    length = round(config.window_seconds * rate)
    size = 2 ** math.ceil(math.log2(length))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    hertz = np.arange(size // 2 + 1) * rate / size
    mel_low, mel_high = (2595 * np.log10(1 + f / 700) for f in (config.low_hz, config.high_hz))
    corners = 700 * (10 ** (np.linspace(mel_low, mel_high, config.num_mels + 2) / 2595) - 1)
    filters = [np.interp(hertz, corners[i : i + 3], [0, 1, 0]) for i in range(config.num_mels)]
    samples = np.pad(waveform.double().numpy(), size)
    rows = []
    for frame in range(1 + len(waveform) // hop):
        first = size + frame * hop - length // 2
        spectrum = np.fft.rfft(samples[first : first + length] * window, size)
        rows.append(np.log(np.array(filters) @ np.abs(spectrum) ** 2 + 1e-6))
    return np.array(rows)


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(normalise="none"),
        FeatureConfig(normalise="none", num_mels=40, window_seconds=0.032, hop_seconds=0.016),
        FeatureConfig(normalise="none", sample_rate=8000, num_mels=30, high_hz=3800),
    ],
    ids=["16 kHz", "32 ms windows", "8 kHz"],
)
def test_log_mel_energies(config: FeatureConfig) -> None:
    waveform = speechlike(4321)

    computed = FeatureExtractor(config)(waveform)

    np.testing.assert_allclose(computed, reference_log_mel(waveform, config), atol=2e-3)


def test_cepstra_are_the_cosine_transform_of_log_mels() -> None:
    config = FeatureConfig(kind="mfcc", num_mels=40, num_ceps=13, normalise="none")
    waveform = speechlike(4321)

    computed = FeatureExtractor(config)(waveform)

    log_mel = reference_log_mel(waveform, config)
    angles = np.pi / 40 * np.outer(np.arange(40) + 0.5, np.arange(13))
    scale = np.where(np.arange(13) == 0, math.sqrt(1 / 40), math.sqrt(2 / 40))
    np.testing.assert_allclose(computed, log_mel @ (np.cos(angles) * scale), atol=5e-3)


def test_tone_lights_the_mel_around_it() -> None:
    config = FeatureConfig(normalise="none")
    tone = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 16_000)

    loudest = FeatureExtractor(config)(tone)[5:-5].argmax(dim=1)

    step = (2595 * math.log10(1 + 7600 / 700) - 2595 * math.log10(1 + 20 / 700)) / 81
    expected = (2595 * math.log10(1 + 1000 / 700) - 2595 * math.log10(1 + 20 / 700)) / step - 1
    assert set(loudest.tolist()) <= {math.floor(expected), math.ceil(expected)}


def test_default_filters_are_all_in_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = FeatureExtractor(FeatureConfig())

    assert bool((extractor.filters.sum(dim=0) > 0).all())


EXTRACTORS = [
    FeatureExtractor(FeatureConfig(num_mels=20, stack=stack, hop_seconds=hop))
    for stack, hop in [(1, 0.010), (3, 0.010), (4, 0.025), (2, 0.00333)]
]


@given(st.sampled_from(EXTRACTORS), st.integers(1, 9000))
def test_one_frame_a_hop(extractor: FeatureExtractor, samples: int) -> None:
    config = extractor.config
    hop = round(config.hop_seconds * 16_000)

    computed = extractor(torch.ones(samples))

    frames = 1 + samples // hop
    assert computed.shape == (-(-frames // config.stack), config.num_features)
    assert extractor.frames(torch.ones(samples)).shape[0] == frames


@pytest.mark.parametrize("kind", ["logmel", "mfcc"])
@pytest.mark.parametrize("normalise", ["utterance", "mean", "level", "none"])
@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(1), torch.ones(1), torch.zeros(16_000), torch.ones(16_000), torch.zeros(0)],
    ids=["silent sample", "one sample", "silence", "constant", "nothing"],
)
def test_odd_recordings_give_finite_features(kind: Any, normalise: Any, waveform: Tensor) -> None:
    extractor = FeatureExtractor(FeatureConfig(kind=kind, normalise=normalise, stack=3))

    assert bool(extractor(waveform).isfinite().all())


def test_digital_silence_has_the_floor_s_energy() -> None:
    computed = FeatureExtractor(FeatureConfig(normalise="none"))(torch.zeros(400))

    torch.testing.assert_close(computed, torch.full_like(computed, math.log(1e-6)))


@pytest.mark.parametrize("frames_per_block", [1, 7, 60, 61, 1000])
def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch, frames_per_block: int) -> None:
    extractor = FeatureExtractor(FeatureConfig())
    waveform = speechlike(9650)  # 61 frames
    whole = extractor.spectrum(waveform)
    monkeypatch.setattr(features, "_FRAMES_PER_BLOCK", frames_per_block)

    torch.testing.assert_close(extractor.spectrum(waveform), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normalise", ["utterance", "mean"])
@pytest.mark.parametrize("gain", [0.25, 8.0])
def test_normalised_features_do_not_depend_on_loudness(normalise: Any, gain: float) -> None:
    extractor = FeatureExtractor(FeatureConfig(normalise=normalise))
    waveform = torch.randn(8000, generator=torch.Generator().manual_seed(3)) * 0.1

    torch.testing.assert_close(extractor(gain * waveform), extractor(waveform), atol=2e-3, rtol=0)


def test_features_left_alone_move_with_loudness() -> None:
    extractor = FeatureExtractor(FeatureConfig(normalise="none"))
    waveform = torch.randn(8000, generator=torch.Generator().manual_seed(3)) * 0.1

    louder = extractor(4 * waveform) - extractor(waveform)

    torch.testing.assert_close(louder, torch.full_like(louder, math.log(16)), atol=2e-3, rtol=0)


def test_utterance_normalisation_gives_each_feature_mean_0_and_variance_1() -> None:
    normalised = FeatureExtractor(FeatureConfig(normalise="utterance"))(speechlike(16_000))

    ones = torch.ones(normalised.shape[1])
    torch.testing.assert_close(normalised.mean(dim=0), 0 * ones, atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised.var(dim=0, correction=0), ones, atol=1e-3, rtol=0)


def test_steady_feature_is_not_blown_up() -> None:
    extractor = FeatureExtractor(FeatureConfig(normalise="utterance"))
    almost_silent = 1e-6 * torch.randn(16_000, generator=torch.Generator().manual_seed(4))

    assert float(extractor(almost_silent).abs().max()) < 0.1


@given(st.integers(1, 30), st.integers(1, 6))
def test_stacking_joins_frames_in_order_and_pads_with_zeros(frames: int, stack: int) -> None:
    original = torch.randn(frames, 3, generator=torch.Generator().manual_seed(frames))

    stacked = stack_frames(original, stack)

    assert stacked.shape == (-(-frames // stack), 3 * stack)
    unstacked = stacked.reshape(-1, 3)
    assert torch.equal(unstacked[:frames], original)
    assert not unstacked[frames:].any()


def test_extractor_is_frames_then_stack() -> None:
    extractor = FeatureExtractor(FeatureConfig(stack=3))
    waveform = speechlike(5000)

    assert torch.equal(extractor(waveform), stack_frames(extractor.frames(waveform), 3))


def test_nothing_of_the_extractor_is_saved_with_weights() -> None:
    assert not FeatureExtractor(FeatureConfig()).state_dict()


def test_sizes_follow_from_the_configuration() -> None:
    log_mel = FeatureConfig(num_mels=40, stack=3, hop_seconds=0.0125)

    assert log_mel.num_features == 120
    assert log_mel.frame_seconds == pytest.approx(0.0375)
    assert dataclasses.replace(log_mel, kind="mfcc", num_ceps=13).num_features == 39


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"high_hz": 8001.0}, r"high_hz <= 8000 \(half the sample rate\), found 20 and 8001"),
        ({"low_hz": 7600.0}, "low_hz < high_hz"),
        ({"low_hz": -1.0}, "0 <= low_hz"),
        ({"sample_rate": 8000}, "high_hz <= 4000"),
        ({"sample_rate": 0}, "half the sample rate"),
        ({"hop_seconds": 0.0}, "0 < hop_seconds"),
        ({"hop_seconds": 0.03}, "hop_seconds <= window_seconds"),
        ({"hop_seconds": 1e-5}, "expected at least a sample at 16000 Hz"),
        ({"stack": 0}, "stack >= 1"),
        ({"num_ceps": 0}, "1 <= num_ceps"),
        ({"num_ceps": 81}, "num_ceps <= num_mels"),
        ({"num_mels": 0}, "num_ceps <= num_mels"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"features.*{message}"):
        FeatureConfig(**settings)


def test_level_normalisation_takes_out_loudness_and_leaves_the_colour() -> None:
    seconds = torch.arange(4000) / 16_000
    tones = {hz: torch.sin(2 * math.pi * hz * seconds) for hz in (500, 3000)}
    extractor = FeatureExtractor(FeatureConfig(normalise="level", num_mels=40))

    features = {hz: extractor(tone) for hz, tone in tones.items()}
    softer = extractor(0.5 * tones[500])

    assert features[500].mean().item() == pytest.approx(0.0, abs=1e-4)
    assert features[500].std().item() == pytest.approx(1.0, abs=1e-2)
    assert (features[500] - softer).abs().max() < 0.15
    # Per feature over the utterance, both tones would have an average spectrum of zeros.
    peaks = {hz: spectrum.mean(dim=0).argmax() for hz, spectrum in features.items()}
    assert peaks[500] < peaks[3000]


@pytest.mark.parametrize(
    "settings",
    [
        {"window_seconds": 1e6, "hop_seconds": 0.01},
        {"window_seconds": 1e308},
        {"hop_seconds": 1 / 16000},
        {"sample_rate": 10**9},
        {"num_mels": 10**6},
        {"stack": 10**6},
    ],
)
def test_sizes_beyond_any_use_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"features.{next(iter(settings))}: expected .* to "):
        FeatureConfig(**settings)
