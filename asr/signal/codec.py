"""Lossy codecs as augmentation: speech encoded and decoded in memory by soundfile.

Only codecs that take a few milliseconds per utterance. Opus is not among them because libsndfile
runs it at its highest complexity, ten times as slow as Vorbis.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor
from torch.nn.functional import pad

from asr.errors import ConfigError
from asr.signal import dsp
from asr.signal.rng import randint, uniform

_PEAK_DB = (-20.0, -1.0)
"""Range of the peak level that is given to the codec, relative to full scale."""


@dataclass(frozen=True)
class Codec:
    """A codec for storage or transmission; container and subtype have soundfile's names."""

    container: str
    subtype: str
    sample_rate: int
    """Hz; a waveform at another rate is resampled to it and back."""
    compression: float | None = None
    """Highest compression level that is drawn, 0 being the least compression."""


CODECS = {
    # Telephone lines (ITU-T G.711) and mobile telephones (ETSI GSM 06.10).
    "mu-law": Codec("WAV", "ULAW", 8000),
    "a-law": Codec("WAV", "ALAW", 8000),
    "gsm": Codec("WAV", "GSM610", 8000),
    # Dictation machines and old sound cards.
    "adpcm": Codec("WAV", "IMA_ADPCM", 16_000),
    "pcm8": Codec("WAV", "PCM_U8", 16_000),
    # Audio on the Internet: 35 to 75 and 25 to 50 kbit/s. Above 0.9, libsndfile's MP3 encoder fails
    # at some sample rates.
    "vorbis": Codec("OGG", "VORBIS", 16_000, compression=1.0),
    "mp3": Codec("MP3", "MPEG_LAYER_III", 16_000, compression=0.9),
}


def apply_codec(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Encode and decode `(S,)` with a random one of `CODECS`; length and level stay the same.

    The waveform is scaled to a peak of 1 to 20 dB below full scale first, as recordings have, since
    clipping and quantisation noise depend on it. Raises ConfigError if the installed libsndfile
    lacks the codec.
    """
    codec = list(CODECS.values())[randint(len(CODECS), generator)]
    level = None if codec.compression is None else uniform(0, codec.compression, generator)
    peak_db = uniform(*_PEAK_DB, generator)
    encoder_input = dsp.resample(waveform, sample_rate, codec.sample_rate)
    peak = float(encoder_input.abs().max())
    if peak == 0:
        return waveform
    scale = 10 ** (peak_db / 20) / peak
    decoded = round_trip(encoder_input * scale, codec, level) / scale
    result = dsp.resample(decoded, codec.sample_rate, sample_rate)
    return pad(result, (0, len(waveform) - len(result)))  # negative padding cuts


def round_trip(waveform: Tensor, codec: Codec, level: float | None = None) -> Tensor:
    """Encode and decode `(S,)` in [-1, 1] at the codec's rate, without the padding that it adds."""
    options: dict[str, Any] = {} if level is None else {"compression_level": level}
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(
            file, "w", codec.sample_rate, 1, codec.subtype, format=codec.container, **options
        ) as encoder:
            encoder.write(waveform.numpy())
        file.seek(0)
        decoded: npt.NDArray[np.float32] = soundfile.read(file, dtype="float32")[0]
    except soundfile.SoundFileError as error:
        cause = getattr(error, "error_string", str(error))
        raise ConfigError(
            f"augment.codec_chance: expected a libsndfile that encodes {codec.container} "
            f"{codec.subtype}, found {soundfile.__libsndfile_version__} ({cause}); install another "
            "soundfile, or set augment.codec_chance=0"
        ) from error
    result = torch.from_numpy(decoded)
    return pad(result, (0, len(waveform) - len(result)))
