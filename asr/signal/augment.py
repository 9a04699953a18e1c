"""Random changes to training utterances that a listener would forgive.

Every function draws from the generator it is given, so that a seed repeats them exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from asr.errors import ConfigError
from asr.signal import distortions, dsp
from asr.signal.codec import apply_codec
from asr.signal.noise import coloured_noise, mix_at_snr
from asr.signal.rng import bernoulli, uniform

_TRIM_HEARS_HZ = 2000.0
"""The lowest of the frequencies below which it is heard what is quiet; the highest is all."""

NoiseSource = Callable[[int, torch.Generator], Tensor]
"""What gives so many samples `(S,)` of recorded noise."""


@dataclass(frozen=True)
class AugmentConfig:
    """How far training utterances are bent; zeros and empty lists switch a change off."""

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Playing speeds drawn from with equal chance (Ko et al. 2015), by the plan of the batches,
    which puts together what then is of like length."""
    trim_chance: float = 0.0
    """The share of utterances that lose the quiet at both ends, as some corpora are cut."""
    trim_floor_db: tuple[float, float] = (15.0, 50.0)
    """How far below the loudest 10 ms quiet begins, at least and at most, as heard below a random
    frequency: where a recording of a narrow band is cut, the S of SIX goes with the quiet."""
    gain_db: float = 0.0
    """Loudness is moved by up to this much, up or down."""
    colour_db: float = 0.0
    """Typical rise or fall of a smooth random frequency response: another microphone or room."""
    frequency_warp: float = 0.0
    """The mel axis is stretched or squeezed by up to this share, as by a shorter or longer vocal
    tract (Jaitly & Hinton 2013)."""
    noise_chance: float = 0.0
    """The share of utterances that noise is added to."""
    noise_snr_db: tuple[float, float] = (10.0, 30.0)
    """Least and greatest ratio of speech to added noise: of the whole utterance to coloured noise,
    of what is active in it (`asr.signal.noise.active_part`) to recorded noise."""
    noises: tuple[str, ...] = ()
    """Manifests of recordings of noise, whatever their text. Half of the noisy utterances get a
    part of one; the other half, or all where there are none, stationary coloured noise."""
    noise_colour_db: float = 0.0
    """As `colour_db`, of the noise alone, whose way to the microphone is another."""
    reverb_chance: float = 0.0
    """The share of utterances that sound in a random room, which moves no time."""
    clip_chance: float = 0.0
    """The share of utterances whose loudest samples are cut off, as by a full-scale recording."""
    band_limit_chance: float = 0.0
    """The share of utterances that get a narrower band: a telephone's, or of another recording."""
    codec_chance: float = 0.0
    """The share of utterances that go through a codec of `asr.signal.codec.CODECS`."""
    time_warp: float = 0.0
    """The pace within an utterance changes smoothly by up to this share, before the masks: alike
    in all views of CR-CTC, which are compared frame by frame."""
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
        if min(*counts, self.gain_db, self.colour_db, self.noise_colour_db) < 0:
            raise ConfigError(
                "augment: expected masks, their widths, gain_db, colour_db and noise_colour_db of "
                "0 or more"
            )
        for name, greatest in _SHARES.items():
            if not 0 <= getattr(self, name) <= greatest:
                raise ConfigError(
                    f"augment.{name}: expected 0 to {greatest:g}, found {getattr(self, name)}"
                )
        for name in ("noise_snr_db", "trim_floor_db"):
            least, greatest = getattr(self, name)
            if not least <= greatest:
                raise ConfigError(
                    f"augment.{name}: expected [least, greatest], found {least}, {greatest}"
                )

    @property
    def fastest_speed(self) -> float:
        """The highest of `speeds`, and never below 1, at which recordings are validated."""
        return max((1.0, *self.speeds))


_SHARES = {
    "time_mask_share": 1.0,
    "trim_chance": 1.0,
    "noise_chance": 1.0,
    "reverb_chance": 1.0,
    "clip_chance": 1.0,
    "band_limit_chance": 1.0,
    "codec_chance": 1.0,
    "frequency_warp": 0.5,
    "time_warp": 0.9,
}
"""Settings that count from 0 to a bound."""


def augment_waveform(
    waveform: Tensor,
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
    speed: float = 1.0,
    least_seconds: float = 0.0,
    recorded: NoiseSource | None = None,
) -> Tensor:
    """Change ends, speed, room, colour, background, clipping, band, codec and loudness of `(S,)`.

    The order is that of a recording, at a rate in Hz: a room answers the speaker; a microphone
    colours what arrives and brings its noise along; what is then too loud for the converter is
    clipped; only after that is it brought to a lower rate, a telephone's band or a codec, which
    take noise and overtones of the clipping with them, as in any recording of such origin.

    The first two change the length: nothing shorter than `least_seconds` is left for the speed.
    """
    if bernoulli(config.trim_chance, generator):
        floor_db = uniform(*config.trim_floor_db, generator)
        heard_hz = uniform(min(_TRIM_HEARS_HZ, sample_rate / 2), sample_rate / 2, generator)
        heard = distortions.band_pass(waveform, sample_rate, 0.0, heard_hz)
        speech = trim_silence(waveform, sample_rate // 100, floor_db, heard)
        waveform = speech if len(speech) >= least_seconds * sample_rate else waveform
    waveform = dsp.speed(waveform, speed)
    if bernoulli(config.reverb_chance, generator):
        waveform = distortions.reverberate(waveform, sample_rate, generator)
    if config.colour_db > 0:
        waveform = distortions.random_equalise(waveform, config.colour_db, generator)
    if bernoulli(config.noise_chance, generator):
        waveform = _noisy(waveform, sample_rate, config, generator, recorded)
    if bernoulli(config.clip_chance, generator):
        waveform = distortions.clip_peaks(waveform, sample_rate // 100, generator)
    if bernoulli(config.band_limit_chance, generator):
        waveform = distortions.random_band_limit(waveform, sample_rate, generator)
    if bernoulli(config.codec_chance, generator):
        waveform = apply_codec(waveform, sample_rate, generator)
    if config.gain_db > 0:
        waveform = waveform * 10 ** (uniform(-config.gain_db, config.gain_db, generator) / 20)
    return waveform


def _noisy(
    waveform: Tensor,
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
    recorded: NoiseSource | None,
) -> Tensor:
    """Add to `(S,)` recorded or coloured noise, with equal chance if there are recordings."""
    drawn_db = uniform(*config.noise_snr_db, generator)
    recording = recorded if recorded is not None and bernoulli(0.5, generator) else None
    noise = (recording or coloured_noise)(len(waveform), generator)
    if config.noise_colour_db > 0:
        noise = distortions.random_equalise(noise, config.noise_colour_db, generator)
    if recording is not None:
        return mix_at_snr(waveform, noise, drawn_db, sample_rate // 100)
    return dsp.add_noise(waveform, noise, torch.tensor(drawn_db))


def trim_silence(
    waveform: Tensor, frame: int, floor_db: float, heard: Tensor | None = None
) -> Tensor:
    """Cut from both ends of `(S,)` the frames that lie `floor_db` or more below the loudest.

    `frame` is their length in samples; what is left over at the end counts as quiet. How loud they
    are is taken from `heard` `(S,)`, if given.
    """
    extent = non_silent_span(waveform if heard is None else heard, frame, floor_db)
    first, end = extent or (0, len(waveform))
    return waveform[first:end]


def non_silent_span(waveform: Tensor, frame: int, floor_db: float) -> tuple[int, int] | None:
    """First sample and end of what lies less than `floor_db` below the loudest frame of `(S,)`.

    None where there is no sound, or not even a frame.
    """
    energies = waveform[: len(waveform) // frame * frame].view(-1, frame).square().mean(dim=1)
    if len(energies) == 0 or energies.max() <= 0:
        return None
    loud = (energies >= energies.max() * 10 ** (-floor_db / 10)).nonzero()
    return int(loud[0]) * frame, (int(loud[-1]) + 1) * frame
