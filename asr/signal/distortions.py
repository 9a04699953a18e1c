"""Random distortions of a waveform by rooms, microphones, converters and telephones.

Every function draws from the generator it is given. The number of samples stays the same, and so
does the time of each sound, so that transcripts and alignments still hold.
"""

import math

import torch
from torch import Tensor

from asr.signal import dsp
from asr.signal.noise import active_part
from asr.signal.rng import randint, uniform

_RT60_SECONDS = (0.1, 0.6)
_DIRECT_DB = (0.0, 15.0)
_TELEPHONE_HZ = (300.0, 3400.0)
_LOWEST_HZ = (60.0, 400.0)
_HIGHEST_HZ = (2500.0, 7000.0)
_CLIPPED_SHARE = (0.001, 0.05)


def random_equalise(waveform: Tensor, colour_db: float, generator: torch.Generator) -> Tensor:
    """Filter `(S,)` with a random smooth frequency response: a sum of four cosines over the band.

    The frequency axis is warped by a square root, for the finer resolution of hearing at low
    frequencies. `colour_db` is the standard deviation of the gain.
    """
    size = dsp.fft_size(len(waveform))
    spectrum = torch.fft.rfft(waveform, size)
    angle = math.pi * torch.linspace(0, 1, len(spectrum)).sqrt()
    waves = torch.cos(torch.arange(1, 5).unsqueeze(1) * angle)
    gain_db = (colour_db / math.sqrt(2)) * torch.randn(4, generator=generator) @ waves
    filtered: Tensor = torch.fft.irfft(spectrum * 10 ** (gain_db / 20), size)
    return filtered[: len(waveform)]


def reverberate(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Add the reverberation of a random room to `(S,)`.

    Reverberation time (RT60) of 0.1 to 0.6 s, direct sound 0 to 15 dB above the reverberation.
    """
    rt60_seconds = uniform(*_RT60_SECONDS, generator)
    direct_db = uniform(*_DIRECT_DB, generator)
    response = room_impulse_response(rt60_seconds, direct_db, sample_rate, generator)
    size = dsp.fft_size(len(waveform) + len(response) - 1)
    spectrum = torch.fft.rfft(waveform, size) * torch.fft.rfft(response, size)
    reverberant: Tensor = torch.fft.irfft(spectrum, size)
    return reverberant[: len(waveform)]


def room_impulse_response(
    rt60_seconds: float, direct_db: float, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """An impulse response `(R,)` of unit energy: the direct sound, followed by decaying noise.

    The noise falls by 60 dB in `rt60_seconds`, where it ends (Polack 1988); its total energy is
    `direct_db` below that of the direct sound.
    """
    length = max(1, round(rt60_seconds * sample_rate))
    decay_db = torch.linspace(0, -60, length)
    tail = torch.randn(length, generator=generator) * 10 ** (decay_db / 20)
    tail = tail * 10 ** (-direct_db / 20) / torch.linalg.vector_norm(tail)
    response = torch.cat([torch.ones(1), tail])
    norm: Tensor = torch.linalg.vector_norm(response)
    return response / norm


def random_band_limit(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Limit `(S,)` to one of five kinds of frequency band, with equal probability.

    A telephone's (300 to 3400 Hz); that of a recording at 8 kHz; a low pass at 2.5 to 7 kHz; a high
    pass at 60 to 400 Hz; both.
    """
    half = sample_rate / 2
    kind = randint(5, generator)
    if kind == 0:
        return band_pass(waveform, sample_rate, *_TELEPHONE_HZ)
    if kind == 1:  # resampled rather than filtered, as such a recording is when it is read
        low_rate = min(8000, sample_rate)
        narrow = dsp.resample(waveform, sample_rate, low_rate)
        return dsp.resample(narrow, low_rate, sample_rate)[: len(waveform)]
    least, greatest = _HIGHEST_HZ
    high_hz = half if kind == 3 else uniform(min(least, half), min(greatest, half), generator)
    low_hz = 0.0 if kind == 2 else uniform(*_LOWEST_HZ, generator)
    return band_pass(waveform, sample_rate, low_hz, high_hz)


def band_pass(waveform: Tensor, sample_rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Band-pass filter `(S,)` between two frequencies in Hz, at which the gain is -6 dB.

    The gain is 0 below 0.8 times the lower and above 1.03 times the higher frequency. A low
    frequency of 0, or a high one of half the sample rate, leaves that side open.
    """
    size = dsp.fft_size(len(waveform))
    hz = torch.linspace(0, sample_rate / 2, size // 2 + 1)
    gain = torch.ones(len(hz))
    if low_hz > 0:
        gain *= _smooth_step((hz - low_hz) / (0.4 * low_hz))
    if high_hz < sample_rate / 2:
        gain *= _smooth_step((high_hz - hz) / (0.06 * high_hz))
    limited: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, size) * gain, size)
    return limited[: len(waveform)]


def _smooth_step(position: Tensor) -> Tensor:
    """A smooth step from 0 at -1/2 to 1 at 1/2; an abrupt one would ring."""
    return (math.pi / 2 * (position + 0.5).clamp(0, 1)).sin().square()


def clip_peaks(waveform: Tensor, frame: int, generator: torch.Generator) -> Tensor:
    """Clip `(S,)` at the level that the loudest 0.1 to 5 % of its active samples exceed.

    The share is drawn uniformly on a logarithmic scale. Of the active samples only, because in an
    utterance that is mostly silence, 5 % of all samples may be all of the speech. `frame` is the
    length in samples of the frames that are active or not.
    """
    least, greatest = _CLIPPED_SHARE
    share = least * (greatest / least) ** uniform(0, 1, generator)
    magnitudes = active_part(waveform, frame).abs()
    rank = max(1, round((1 - share) * len(magnitudes)))
    level = float(magnitudes.kthvalue(rank).values)
    return waveform.clamp(-level, level)
