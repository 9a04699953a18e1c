"""Random changes to training utterances that a listener would forgive.

Every function draws from the generator it is given, so that a seed repeats them exactly.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import dsp


@dataclass(frozen=True)
class AugmentConfig:
    """How far training utterances are bent; zeros and empty lists switch a change off."""

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Playing speeds drawn from with equal chance (Ko et al. 2015), by the plan of the batches,
    which puts together what then is of like length."""
    trim_chance: float = 0.0
    """The share of utterances that lose the quiet at both ends, as some corpora are cut."""
    trim_floor_db: tuple[float, float] = (15.0, 50.0)
    """How far below the loudest 10 ms quiet begins, at least and at most."""
    gain_db: float = 0.0
    """Loudness is moved by up to this much, up or down."""
    colour_db: float = 0.0
    """Typical rise or fall of a smooth random frequency response: another microphone or room."""
    frequency_warp: float = 0.0
    """The mel axis is stretched or squeezed by up to this share, as by a shorter or longer vocal
    tract (Jaitly & Hinton 2013)."""
    noise_chance: float = 0.0
    """The share of utterances that coloured noise is added to."""
    noise_snr_db: tuple[float, float] = (10.0, 30.0)
    """Least and greatest ratio of speech to added noise."""
    time_masks: int = 2
    time_mask_frames: int = 20
    """Widest time mask, in frames before stacking (SpecAugment, Park et al. 2019)."""
    time_mask_share: float = 0.2
    """No time mask is wider than this share of the utterance."""
    frequency_masks: int = 2
    frequency_mask_mels: int = 15

    def __post_init__(self) -> None:
        if any(not 0.5 <= speed <= 2.0 for speed in self.speeds):
            raise ConfigError(f"augment.speeds: expected values in 0.5–2.0, found {self.speeds}")
        counts = (
            self.time_masks,
            self.time_mask_frames,
            self.frequency_masks,
            self.frequency_mask_mels,
        )
        if min(*counts, self.gain_db, self.colour_db) < 0:
            raise ConfigError(
                "augment: expected masks, their widths, gain_db and colour_db of 0 or more"
            )
        if not 0 <= self.frequency_warp <= 0.5:
            raise ConfigError(
                f"augment.frequency_warp: expected 0 to 0.5, found {self.frequency_warp}"
            )
        shares = (self.time_mask_share, self.noise_chance, self.trim_chance)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError(
                "augment: expected time_mask_share, trim_chance and noise_chance in 0–1"
            )
        for name in ("noise_snr_db", "trim_floor_db"):
            least, greatest = getattr(self, name)
            if not least <= greatest:
                raise ConfigError(
                    f"augment.{name}: expected [least, greatest], found {least}, {greatest}"
                )


def augment_waveform(
    waveform: Tensor,
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
    speed: float = 1.0,
    least_seconds: float = 0.0,
) -> Tensor:
    """Change ends, speed, colour, background and loudness of `(S,)` at a rate in Hz.

    The first two change the length: nothing shorter than `least_seconds` is left for the speed.
    """
    if config.trim_chance > 0 and _uniform(0, 1, generator) < config.trim_chance:
        speech = trimmed(waveform, sample_rate // 100, _uniform(*config.trim_floor_db, generator))
        waveform = speech if len(speech) >= least_seconds * sample_rate else waveform
    waveform = dsp.speed(waveform, speed)
    if config.colour_db > 0:
        waveform = coloured(waveform, config.colour_db, generator)
    if config.noise_chance > 0 and _uniform(0, 1, generator) < config.noise_chance:
        snr_db = torch.tensor(_uniform(*config.noise_snr_db, generator))
        waveform = dsp.add_noise(waveform, coloured_noise(len(waveform), generator), snr_db)
    if config.gain_db > 0:
        waveform = waveform * 10 ** (_uniform(-config.gain_db, config.gain_db, generator) / 20)
    return waveform


def trimmed(waveform: Tensor, frame: int, floor_db: float) -> Tensor:
    """Cut from both ends of `(S,)` the frames that lie `floor_db` or more below the loudest.

    `frame` is their length in samples; what is left over at the end counts as quiet.
    """
    first, end = loud_extent(waveform, frame, floor_db) or (0, len(waveform))
    return waveform[first:end]


def loud_extent(waveform: Tensor, frame: int, floor_db: float) -> tuple[int, int] | None:
    """First sample and end of what lies less than `floor_db` below the loudest frame of `(S,)`.

    None where there is no sound, or not even a frame.
    """
    energies = waveform[: len(waveform) // frame * frame].view(-1, frame).square().mean(dim=1)
    if len(energies) == 0 or energies.max() <= 0:
        return None
    loud = (energies >= energies.max() * 10 ** (-floor_db / 10)).nonzero()
    return int(loud[0]) * frame, (int(loud[-1]) + 1) * frame


def coloured(waveform: Tensor, colour_db: float, generator: torch.Generator) -> Tensor:
    """Pass `(S,)` through a random smooth frequency response: four cosines over the band.

    The band is bent by a square root, which gives low frequencies the finer share that ears do.
    """
    spectrum = torch.fft.rfft(waveform)
    place = math.pi * torch.linspace(0, 1, len(spectrum)).sqrt()
    waves = torch.cos(torch.arange(1, 5).unsqueeze(1) * place)
    gain_db = (colour_db / math.sqrt(2)) * torch.randn(4, generator=generator) @ waves
    filtered: Tensor = torch.fft.irfft(spectrum * 10 ** (gain_db / 20), n=len(waveform))
    return filtered


def coloured_noise(num_samples: int, generator: torch.Generator) -> Tensor:
    """Stationary noise `(S,)` of power 1/f^k, k drawn between white (0) and brown (2).

    Flat below 1/160 of the band (50 Hz at 16 kHz) and without a mean: what cannot be heard would
    take most of a brown noise's energy.
    """
    spectrum = torch.fft.rfft(torch.randn(num_samples, generator=generator))
    share_of_band = torch.linspace(0, 1, len(spectrum))
    colour = _uniform(0, 2, generator)
    shaped = spectrum * share_of_band.clamp(min=1 / 160).pow(-colour / 2)
    if num_samples > 1:
        shaped[0] = 0
    noise: Tensor = torch.fft.irfft(shaped, n=num_samples)
    return noise / noise.square().mean().sqrt().clamp(min=1e-8)


def warp_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Stretch the frequency axis of `(T, F)` by a random factor, linearly interpolated."""
    if config.frequency_warp == 0:
        return features
    factor = _uniform(1 - config.frequency_warp, 1 + config.frequency_warp, generator)
    last = features.shape[1] - 1
    place = (factor * torch.arange(last + 1)).clamp(max=last)
    below = place.long()
    share = place - below
    return features[:, below] * (1 - share) + features[:, (below + 1).clamp(max=last)] * share


def mask_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """SpecAugment without time warping: bands of `(T, F)` become 0, their mean."""
    masked = features.clone()
    num_frames, num_features = masked.shape
    widest = min(config.time_mask_frames, int(config.time_mask_share * num_frames))
    for _ in range(config.time_masks):
        _mask_band(masked, 0, widest, generator)
    for _ in range(config.frequency_masks):
        _mask_band(masked, 1, min(config.frequency_mask_mels, num_features // 2), generator)
    return masked


def _mask_band(features: Tensor, axis: int, widest: int, generator: torch.Generator) -> None:
    width = int(torch.randint(widest + 1, (), generator=generator))
    start = int(torch.randint(features.shape[axis] - width + 1, (), generator=generator))
    features.narrow(axis, start, width).zero_()


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
