"""Synthetic noise, and mixing at a signal-to-noise ratio of active speech."""

import torch
from torch import Tensor

from asr.signal import dsp
from asr.signal.rng import uniform

_ACTIVE = 10**-1.59
"""15.9 dB as an energy ratio."""


def coloured_noise(num_samples: int, generator: torch.Generator) -> Tensor:
    """Stationary noise `(S,)` of power 1/f^k, k drawn between white (0) and brown (2).

    Flat below 1/160 of the band (50 Hz at 16 kHz) and of mean 0: otherwise inaudible frequencies
    would contain most of the energy of brown noise.
    """
    size = dsp.fft_size(num_samples)
    spectrum = torch.fft.rfft(torch.randn(size, generator=generator))
    share_of_band = torch.linspace(0, 1, len(spectrum))
    colour = uniform(0, 2, generator)
    shaped = spectrum * share_of_band.clamp(min=1 / 160).pow(-colour / 2)
    noise: Tensor = torch.fft.irfft(shaped, size)[:num_samples]
    if num_samples > 1:
        noise = noise - noise.mean()
    return noise / noise.square().mean().sqrt().clamp(min=1e-8)


def mix_at_snr(waveform: Tensor, noise: Tensor, snr_db: float, frame: int) -> Tensor:
    """Add noise to `(S,)` so that its active frames are `snr_db` louder than the noise.

    Measured over the whole utterance instead, one with a long pause would get less noise than one
    without. If either is digital silence, nothing is added. `frame` is in samples.
    """
    noise_power = noise.square().mean()
    if noise_power == 0:
        return waveform
    power = active_part(waveform, frame).square().mean()
    return waveform + noise * (power / noise_power * 10 ** (-snr_db / 10)).sqrt()


def active_part(waveform: Tensor, frame: int) -> Tensor:
    """The active frames of `(S,)`, joined; `frame` is their length in samples.

    A frame is active if its energy is at most 15.9 dB below the mean of all active frames: the
    margin of ITU-T P.56 (2011), here over frames instead of a smoothed envelope. The whole waveform
    if it is silent or shorter than a frame.
    """
    energies = dsp.frame_power(waveform, frame)
    if not energies.any():
        return waveform
    active, before = energies >= 0, len(energies) + 1
    # Dropping quiet frames raises the mean, which may make more frames fall below the margin.
    while (count := int(active.sum())) < before:
        active, before = energies >= energies[active].mean() * _ACTIVE, count
    return waveform[: len(active) * frame].view(-1, frame)[active].flatten()
