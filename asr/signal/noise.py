"""Noise that is made, and how loud speech is beside it."""

import torch
from torch import Tensor

from asr.signal import dsp
from asr.signal.rng import uniform

_ACTIVE = 10**-1.59


def coloured_noise(num_samples: int, generator: torch.Generator) -> Tensor:
    """Stationary noise `(S,)` of power 1/f^k, k drawn between white (0) and brown (2).

    Flat below 1/160 of the band (50 Hz at 16 kHz) and without a mean: what cannot be heard would
    take most of a brown noise's energy.
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
    """Add noise to `(S,)` so that what is active in it is `snr_db` louder than all of the noise.

    Measured on the whole, an utterance with a long pause would get less noise than one without.
    Where either is digital silence, nothing is added.
    """
    noise_power = noise.square().mean()
    if noise_power == 0:
        return waveform
    power = active_part(waveform, frame).square().mean()
    return waveform + noise * (power / noise_power * 10 ** (-snr_db / 10)).sqrt()


def active_part(waveform: Tensor, frame: int) -> Tensor:
    """The frames of `(S,)` in which something sounds, joined; `frame` is their length in samples.

    Those are active whose energy lies at most 15.9 dB below the mean of all active ones: the margin
    of ITU-T P.56 (2011), here over frames instead of a smoothed envelope. All of it, where there is
    no sound or not even a frame.
    """
    frames = waveform[: len(waveform) // frame * frame].view(-1, frame)
    energies = frames.square().mean(dim=1)
    if not energies.any():
        return waveform
    active, before = energies >= 0, len(energies) + 1
    # Leaving quiet frames out raises the mean, which may leave out more, until none goes.
    while (count := int(active.sum())) < before:
        active, before = energies >= energies[active].mean() * _ACTIVE, count
    return frames[active].flatten()
