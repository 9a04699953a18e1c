"""Data augmentation: random changes to training utterances that keep their words intelligible.

Every function draws from the generator it is given, so that a seed repeats the changes exactly.
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

_MIN_TRIM_BAND_HZ = 2000.0
"""Lowest upper limit of the band in which silence is detected; the highest is the whole band."""

NoiseSource = Callable[[int, torch.Generator], Tensor]
"""Returns recorded noise `(S,)` of the given number of samples."""


@dataclass(frozen=True)
class AugmentConfig:
    """Kinds and strengths of data augmentation; zeros and empty lists switch a change off."""

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Playback speeds, drawn with equal probability (Ko et al. 2015) by the batch sampler, which
    groups utterances by their length after the change."""
    trim_chance: float = 0.0
    """Probability that silence is trimmed at both ends, as it is in some corpora."""
    trim_floor_db: tuple[float, float] = (15.0, 50.0)
    """Least and greatest level below the loudest 10 ms at which silence begins, measured below a
    random frequency: where a narrow-band recording is trimmed, the S of SIX is lost as well."""
    gain_db: float = 0.0
    """Largest change of loudness, up or down."""
    colour_db: float = 0.0
    """Typical deviation of a smooth random frequency response: another microphone or room."""
    frequency_warp: float = 0.0
    """Largest relative stretch of the mel axis, as by a shorter or longer vocal tract (Jaitly &
    Hinton 2013)."""
    noise_chance: float = 0.0
    """Probability that noise is added."""
    noise_snr_db: tuple[float, float] = (10.0, 30.0)
    """Least and greatest signal-to-noise ratio: of the whole utterance for coloured noise, of its
    active part (`asr.signal.noise.active_part`) for recorded noise."""
    noises: tuple[str, ...] = ()
    """Manifests of noise recordings; their texts are ignored. Half of the noisy utterances get a
    segment of one, the other half (all, if there are none) stationary coloured noise."""
    noise_colour_db: float = 0.0
    """As `colour_db`, for the noise alone, which reaches the microphone on another path."""
    reverb_chance: float = 0.0
    """Probability of reverberation in a random room; the direct sound is not delayed."""
    clip_chance: float = 0.0
    """Probability of clipping, as in a recording with too high a level."""
    band_limit_chance: float = 0.0
    """Probability of a narrower frequency band: a telephone's, or that of another recording."""
    codec_chance: float = 0.0
    """Probability of encoding and decoding with a codec of `asr.signal.codec.CODECS`."""
    time_warp: float = 0.0
    """Largest relative change of the pace within an utterance, smooth in time. Applied before the
    masks and the same in all views of CR-CTC, which are compared frame by frame."""
    time_masks: int = 2
    time_mask_frames: int = 20
    """Width of the widest time mask, in frames before stacking (SpecAugment, Park et al. 2019)."""
    time_mask_share: float = 0.2
    """Width of the widest time mask as a share of the utterance."""
    frequency_masks: int = 2
    frequency_mask_mels: int = 15
    right_context_seconds: float = 0.0
    """For live streams, of an encoder that also reads backwards: emissions before a random frame of
    each utterance are computed without what comes later than a random time after it, which is at
    most this. A step takes up to twice the time and memory."""

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
        for name, greatest in _UPPER_BOUNDS.items():
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
        """The highest of `speeds`, at least 1, which is the speed in validation."""
        return max((1.0, *self.speeds))


_UPPER_BOUNDS = {
    "time_mask_share": 1.0,
    "trim_chance": 1.0,
    "noise_chance": 1.0,
    "reverb_chance": 1.0,
    "clip_chance": 1.0,
    "band_limit_chance": 1.0,
    "codec_chance": 1.0,
    "frequency_warp": 0.5,
    "time_warp": 0.9,
    "right_context_seconds": 10.0,
}
"""Settings whose values lie between 0 and this bound."""


def augment_waveform(
    waveform: Tensor,
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
    speed: float = 1.0,
    min_seconds: float = 0.0,
    recorded: NoiseSource | None = None,
) -> Tensor:
    """Augment a waveform `(S,)`: silence, speed, room, colour, noise, clipping, band, codec, gain.

    The order is that of the stages of a recording: the room adds reverberation; the microphone
    colours the sound, and noise joins it; what is then too loud for the converter is clipped; only
    after that come a lower sample rate, a telephone's band or a codec, which also affect the noise
    and the overtones of the clipping.

    Trimming and speed change the length. An utterance is trimmed only if at least `min_seconds`
    are left before the change of speed. `recorded` supplies recorded noise.
    """
    if bernoulli(config.trim_chance, generator):
        floor_db = uniform(*config.trim_floor_db, generator)
        high_hz = uniform(min(_MIN_TRIM_BAND_HZ, sample_rate / 2), sample_rate / 2, generator)
        detector = distortions.band_pass(waveform, sample_rate, 0.0, high_hz)
        speech = trim_silence(waveform, sample_rate // 100, floor_db, detector)
        waveform = speech if len(speech) >= min_seconds * sample_rate else waveform
    waveform = dsp.speed(waveform, speed)
    if bernoulli(config.reverb_chance, generator):
        waveform = distortions.reverberate(waveform, sample_rate, generator)
    if config.colour_db > 0:
        waveform = distortions.random_equalise(waveform, config.colour_db, generator)
    if bernoulli(config.noise_chance, generator):
        waveform = _add_noise(waveform, sample_rate, config, generator, recorded)
    if bernoulli(config.clip_chance, generator):
        waveform = distortions.clip_peaks(waveform, sample_rate // 100, generator)
    if bernoulli(config.band_limit_chance, generator):
        waveform = distortions.random_band_limit(waveform, sample_rate, generator)
    if bernoulli(config.codec_chance, generator):
        waveform = apply_codec(waveform, sample_rate, generator)
    if config.gain_db > 0:
        waveform = waveform * 10 ** (uniform(-config.gain_db, config.gain_db, generator) / 20)
    return waveform


def _add_noise(
    waveform: Tensor,
    sample_rate: int,
    config: AugmentConfig,
    generator: torch.Generator,
    recorded: NoiseSource | None,
) -> Tensor:
    """Add recorded or coloured noise to `(S,)`, with equal probability if there is a choice."""
    snr_db = uniform(*config.noise_snr_db, generator)
    recording = recorded if recorded is not None and bernoulli(0.5, generator) else None
    noise = (recording or coloured_noise)(len(waveform), generator)
    if config.noise_colour_db > 0:
        noise = distortions.random_equalise(noise, config.noise_colour_db, generator)
    if recording is not None:
        return mix_at_snr(waveform, noise, snr_db, sample_rate // 100)
    return dsp.add_noise(waveform, noise, torch.tensor(snr_db))


def trim_silence(
    waveform: Tensor, frame: int, floor_db: float, detector: Tensor | None = None
) -> Tensor:
    """Cut off leading and trailing frames of `(S,)` that are `floor_db` or more below the loudest.

    `frame` is their length in samples; an incomplete frame at the end counts as silent. Levels are
    those of `detector` `(S,)`, if given.
    """
    span = non_silent_span(waveform if detector is None else detector, frame, floor_db)
    first, end = span or (0, len(waveform))
    return waveform[first:end]


def non_silent_span(waveform: Tensor, frame: int, floor_db: float) -> tuple[int, int] | None:
    """Start and end of the part of `(S,)` within `floor_db` of its loudest frame, in samples.

    None if the waveform is silent or shorter than a frame.
    """
    power = dsp.frame_power(waveform, frame)
    if len(power) == 0 or power.max() <= 0:
        return None
    loud = (power >= power.max() * 10 ** (-floor_db / 10)).nonzero()
    return int(loud[0]) * frame, (int(loud[-1]) + 1) * frame
