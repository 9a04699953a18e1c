"""Feature extraction: one module for training, transcription and export.

Shapes: S samples, T frames, F features.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asr.errors import ConfigError
from asr.printing import shown
from asr.signal import dsp

_FRAMES_PER_BLOCK = 1000
"""Frames whose complex spectrum is in memory at a time: 10 s of audio with the defaults."""


_LIMITS = {
    "sample_rate": (100, 1_000_000),
    "num_mels": (1, 2000),
    "window_seconds": (0.001, 10),
    "hop_seconds": (0.001, 10),
    "stack": (1, 100),
}


@dataclass(frozen=True)
class FeatureConfig:
    """Kind and size of the features that the encoder sees."""

    kind: Literal["logmel", "mfcc"] = "logmel"
    sample_rate: int = 16_000
    """Hz; recordings of another rate are resampled to it."""
    num_mels: int = 80
    num_ceps: int = 13
    """Coefficients kept when `kind` is mfcc."""
    window_seconds: float = 0.025
    hop_seconds: float = 0.010
    low_hz: float = 20.0
    high_hz: float = 7600.0
    normalise: Literal["utterance", "mean", "level", "none"] = "utterance"
    """`utterance`: mean and variance of each feature over the utterance; `mean`: its mean only;
    `level`: one mean and one variance of all features together; `none`. In a recording of a single
    short word the mean of each feature is part of the word itself, and `level` keeps it."""
    stack: int = 1
    """Consecutive frames concatenated into one, which divides the frame rate."""

    def __post_init__(self) -> None:
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ConfigError(
                f"features: expected 0 <= low_hz < high_hz <= {self.sample_rate / 2:g} (half the "
                f"sample rate), found {self.low_hz:g} and {self.high_hz:g}"
            )
        if not 0 < self.hop_seconds <= self.window_seconds:
            raise ConfigError(
                "features: expected 0 < hop_seconds <= window_seconds, found "
                f"{self.hop_seconds:g} and {self.window_seconds:g}"
            )
        if round(self.hop_seconds * self.sample_rate) < 1:
            raise ConfigError(
                f"features.hop_seconds: expected at least a sample at {self.sample_rate} Hz, found "
                f"{self.hop_seconds:g} s"
            )
        if self.stack < 1 or not 1 <= self.num_ceps <= self.num_mels:
            raise ConfigError(
                "features: expected stack >= 1 and 1 <= num_ceps <= num_mels, found stack "
                f"{self.stack}, num_ceps {self.num_ceps} and num_mels {self.num_mels}"
            )
        self._check_limits()

    def _check_limits(self) -> None:
        """Refuse sizes beyond any use: memory and time grow with them."""
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(
                    f"features.{name}: expected {least:g} to {most:g}, found {shown(value)}"
                )

    @property
    def num_features(self) -> int:
        """F, after stacking."""
        return self.stack * (self.num_mels if self.kind == "logmel" else self.num_ceps)

    @property
    def frame_seconds(self) -> float:
        """Time from one feature frame to the next, after stacking."""
        return self.hop_seconds * self.stack


class FeatureExtractor(nn.Module):
    """Waveform `(S,)` of floats in [-1, 1] to features `(T, F)`.

    Frames are centred on multiples of the hop, with zeros beyond both ends, so that any recording,
    even of one sample, has a frame: T = ceil((1 + S // hop) / stack). Energies have a floor of
    1e-6, about the power of 16-bit quantisation noise, so that digital silence has finite features.
    """

    window: Tensor
    filters: Tensor
    cosines: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = round(config.hop_seconds * config.sample_rate)
        self.window_length = round(config.window_seconds * config.sample_rate)
        self.fft_size = 2 ** math.ceil(math.log2(self.window_length))
        filters = dsp.mel_filterbank(
            self.fft_size // 2 + 1,
            config.num_mels,
            config.sample_rate,
            config.low_hz,
            config.high_hz,
        )
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        cosines = dsp.dct_matrix(config.num_ceps, config.num_mels)
        self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, waveform: Tensor, counts: Tensor | None = None) -> Tensor:
        """Features `(T, F)` as the encoder takes them.

        They are normalised by the frames that `counts`, a bool for every hop; None: all.
        """
        return self.stacked(self.frames(waveform, counts))

    def frames(self, waveform: Tensor, counts: Tensor | None = None) -> Tensor:
        """Normalised features before stacking, one row per hop, as SpecAugment takes them."""
        return self.normalise(self.spectrum(waveform), counts)

    def stacked(self, frames: Tensor) -> Tensor:
        """Concatenate every `stack` frames."""
        return stack_frames(frames, self.config.stack)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Log-mel energies (nats) or cepstra, one row per hop."""
        half = self.fft_size // 2
        padded = nn.functional.pad(waveform, (half, half))
        num_frames = 1 + len(waveform) // self.hop
        # The complex spectrum of an hour takes a gigabyte, so frames are reduced to mels in blocks.
        blocks = [
            self._mel_energies(padded, first, min(_FRAMES_PER_BLOCK, num_frames - first))
            for first in range(0, num_frames, _FRAMES_PER_BLOCK)
        ]
        features = torch.log(torch.cat(blocks) + 1e-6)
        return features if self.config.kind == "logmel" else features @ self.cosines

    def _mel_energies(self, padded: Tensor, first: int, count: int) -> Tensor:
        samples = padded[first * self.hop : (first + count - 1) * self.hop + self.fft_size]
        spectrum = torch.stft(
            samples,
            self.fft_size,
            self.hop,
            self.window_length,
            self.window,
            center=False,
            return_complex=True,
        )
        return spectrum.abs().square().transpose(0, 1) @ self.filters

    def normalise(self, features: Tensor, counts: Tensor | None = None) -> Tensor:
        """Remove the average spectrum and level of the recording (cepstral mean normalisation).

        Of the frames that `counts`; None: of all.
        """
        if self.config.normalise == "none":
            return features
        if self.config.normalise == "level" and counts is None:
            return nn.functional.layer_norm(features, features.shape, eps=0.01)
        known = features if counts is None else features[counts]
        if self.config.normalise == "level":
            mean, variance = known.mean(), known.var(correction=0)
            return (features - mean) / (variance + 0.01).sqrt()
        mean = known.mean(dim=0)
        features = features - mean
        if self.config.normalise == "mean":
            return features
        deviation = (known - mean).square().mean(dim=0).sqrt()
        # The floor keeps rounding noise in a constant feature from being amplified.
        return features / deviation.clamp(min=0.1)


def stack_frames(features: Tensor, stack: int) -> Tensor:
    """Concatenate every `stack` frames: `(T, F)` to `(ceil(T / stack), stack * F)`, zero-padded."""
    if stack == 1:
        return features
    missing = -features.shape[0] % stack
    padded = nn.functional.pad(features, (0, 0, 0, missing))
    return padded.reshape(-1, stack * features.shape[1])
