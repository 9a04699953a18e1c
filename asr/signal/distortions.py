"""What rooms, microphones and telephones do to a waveform.

Every function draws from the generator it is given. `S` samples stay `S`, each at its time.
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
    """Pass `(S,)` through a random smooth frequency response: four cosines over the band.

    The band is bent by a square root, which gives low frequencies the finer share that ears do.
    """
    size = dsp.fft_size(len(waveform))
    spectrum = torch.fft.rfft(waveform, size)
    place = math.pi * torch.linspace(0, 1, len(spectrum)).sqrt()
    waves = torch.cos(torch.arange(1, 5).unsqueeze(1) * place)
    gain_db = (colour_db / math.sqrt(2)) * torch.randn(4, generator=generator) @ waves
    filtered: Tensor = torch.fft.irfft(spectrum * 10 ** (gain_db / 20), size)
    return filtered[: len(waveform)]


def reverberate(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Let `(S,)` sound in a random room: RT60 of 0.1 to 0.6 s, direct sound 0 to 15 dB above."""
    rt60_seconds = uniform(*_RT60_SECONDS, generator)
    direct_db = uniform(*_DIRECT_DB, generator)
    response = room_impulse_response(rt60_seconds, direct_db, sample_rate, generator)
    size = dsp.fft_size(len(waveform) + len(response) - 1)
    spectrum = torch.fft.rfft(waveform, size) * torch.fft.rfft(response, size)
    heard: Tensor = torch.fft.irfft(spectrum, size)
    return heard[: len(waveform)]


def room_impulse_response(
    rt60_seconds: float, direct_db: float, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """An impulse response `(R,)` of unit energy: the direct sound at once, then decaying noise.

    Noise that falls by 60 dB in `rt60_seconds` (Polack 1988), its energy `direct_db` below that of
    the direct sound, up to where it has fallen so far.
    """
    length = max(1, round(rt60_seconds * sample_rate))
    decay_db = torch.linspace(0, -60, length)
    tail = torch.randn(length, generator=generator) * 10 ** (decay_db / 20)
    tail = tail * 10 ** (-direct_db / 20) / torch.linalg.vector_norm(tail)
    response = torch.cat([torch.ones(1), tail])
    norm: Tensor = torch.linalg.vector_norm(response)
    return response / norm


def random_band_limit(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Give `(S,)` the band of another recording, one of five with equal chance.

    The telephone's (300 to 3400 Hz); that of a recording at 8 kHz; without what lies above 2.5 to
    7 kHz; without what lies below 60 to 400 Hz; without either.
    """
    half = sample_rate / 2
    kind = randint(5, generator)
    if kind == 0:
        return band_pass(waveform, sample_rate, *_TELEPHONE_HZ)
    if kind == 1:  # made as such a recording is read, the filter's leaks and all
        low_rate = min(8000, sample_rate)
        narrow = dsp.resample(waveform, sample_rate, low_rate)
        return dsp.resample(narrow, low_rate, sample_rate)[: len(waveform)]
    least, greatest = _HIGHEST_HZ
    high_hz = half if kind == 3 else uniform(min(least, half), min(greatest, half), generator)
    low_hz = 0.0 if kind == 2 else uniform(*_LOWEST_HZ, generator)
    return band_pass(waveform, sample_rate, low_hz, high_hz)


def band_pass(waveform: Tensor, sample_rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Keep of `(S,)` what lies between two frequencies, where the gain is -6 dB.

    Nothing is left below 0.8 of the lower and above 1.03 of the higher one.
    """
    size = dsp.fft_size(len(waveform))
    hz = torch.linspace(0, sample_rate / 2, size // 2 + 1)
    gain = torch.ones(len(hz))
    if low_hz > 0:
        gain *= _step((hz - low_hz) / (0.4 * low_hz))
    if high_hz < sample_rate / 2:
        gain *= _step((high_hz - hz) / (0.06 * high_hz))
    limited: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, size) * gain, size)
    return limited[: len(waveform)]


def _step(place: Tensor) -> Tensor:
    """From 0 at -1/2 to 1 at 1/2, smoothly."""
    return (math.pi / 2 * (place + 0.5).clamp(0, 1)).sin().square()


def clip_peaks(waveform: Tensor, frame: int, generator: torch.Generator) -> Tensor:
    """Cut the loudest 0.1 to 5 % of what is active in `(S,)` off at one level, either side.

    Shares are drawn evenly by their logarithm. `frame` is the length in samples of the pieces that
    are active or not; of silence, a share of the whole might be all of the speech.
    """
    least, greatest = _CLIPPED_SHARE
    share = least * (greatest / least) ** uniform(0, 1, generator)
    heights = active_part(waveform, frame).abs()
    level = float(heights.kthvalue(max(1, round((1 - share) * len(heights)))).values)
    return waveform.clamp(-level, level)
