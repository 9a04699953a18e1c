"""Codecs: length, time and level stay, and what is lost is what each codec loses."""

import math

import pytest
import soundfile
import torch
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import codec
from asr.signal.codec import CODECS, apply_codec, round_trip
from asr.signal.distortions import band_pass

RATE = 16_000
LEVELS = [
    (name, level)
    for name, one in CODECS.items()
    for level in ([None] if one.compression is None else [0.0, 0.5, one.compression])
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(samples: int, rate: int = RATE, peak: float = 0.5) -> Tensor:
    """Noise of speech's band and rhythm."""
    noise = torch.randn(samples, generator=seeded(samples))
    syllables = 0.2 + torch.sin(torch.arange(samples) / rate * 12).square()
    waveform = band_pass(noise * syllables, rate, 100.0, 1500.0)
    return waveform * (peak / waveform.abs().max())


def lag(received: Tensor, sent: Tensor) -> int:
    """Samples by which one follows the other, by cross-correlation."""
    size = 2 * len(sent)
    spectrum = torch.fft.rfft(received, size) * torch.fft.rfft(sent, size).conj()
    place = int(torch.fft.irfft(spectrum, size).argmax())
    return place if place < len(sent) else place - size


def snr_db(sent: Tensor, received: Tensor) -> float:
    return 10 * math.log10(float(sent.square().sum() / (sent - received).square().sum()))


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_codecs_keep_time_and_lose_something(name: str, level: float | None) -> None:
    least_db = {"mu-law": 34, "a-law": 34, "pcm8": 24, "adpcm": 20}.get(name, 8)
    sent = speech(CODECS[name].sample_rate * 2, CODECS[name].sample_rate)

    received = round_trip(sent, CODECS[name], level)

    assert received.shape == sent.shape
    assert received.dtype == torch.float32
    assert lag(received, sent) == 0
    assert least_db < snr_db(sent, received) < 45
    assert torch.equal(round_trip(sent, CODECS[name], level), received)


@pytest.mark.parametrize("name", ["mu-law", "a-law", "pcm8"])
def test_eight_bits_have_256_values(name: str) -> None:
    received = round_trip(speech(32_000, peak=1.0), CODECS[name])
    assert 60 < len(set(received.tolist())) <= 256


def test_more_compression_loses_more() -> None:
    sent = speech(32_000)
    for name in ("vorbis", "mp3"):
        losses = [snr_db(sent, round_trip(sent, CODECS[name], level)) for level in (0.0, 0.9)]
        assert losses[0] > losses[1] + 3


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_any_length_comes_back(name: str, level: float | None) -> None:
    for samples in (1, 2, 10, 161, 1000, 3001):
        received = round_trip(speech(samples), CODECS[name], level)
        assert received.shape == (samples,)
        assert bool(received.isfinite().all())


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
def test_level_and_time_are_kept_at_any_rate(rate: int) -> None:
    for seed in range(10):
        sent = speech(rate // 4 + 1, rate, peak=0.003 * 10 ** (seed % 4))

        received = apply_codec(sent, rate, seeded(seed))

        assert received.shape == sent.shape
        assert abs(lag(received, sent)) <= 1
        power, expected = received.square().mean(), sent.square().mean()
        assert float((power / expected).sqrt()) == pytest.approx(1.0, abs=0.15)


def test_all_codecs_are_drawn_at_many_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[codec.Codec, float | None, float]] = []

    def listen(waveform: Tensor, one: codec.Codec, level: float | None) -> Tensor:
        seen.append((one, level, 20 * math.log10(float(waveform.abs().max()))))
        return waveform

    monkeypatch.setattr(codec, "round_trip", listen)
    for seed in range(200):
        apply_codec(speech(400), RATE, seeded(seed))

    assert {one for one, _, _ in seen} == set(CODECS.values())
    peaks = [peak for _, _, peak in seen]
    assert -20.01 < min(peaks) < -18
    assert -3 < max(peaks) < -0.99
    for one, level, _ in seen:
        assert (level is None) == (one.compression is None)
        assert level is None or 0 <= level <= (one.compression or 0)


def test_silence_stays_silent() -> None:
    for seed in range(20):
        assert torch.equal(apply_codec(torch.zeros(500), RATE, seeded(seed)), torch.zeros(500))


def test_a_library_without_the_codec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    with pytest.raises(ConfigError, match=r"codec_chance: expected a libsndfile that encodes MP3 "):
        round_trip(speech(100), CODECS["mp3"])
