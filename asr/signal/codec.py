"""Speech through real codecs, encoded and decoded in memory by soundfile.

Those that take a few milliseconds for an utterance. Opus is left out: libsndfile runs it at its
highest complexity, ten times as slow as Vorbis.
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


@dataclass(frozen=True)
class Codec:
    """A way to store or send speech, by soundfile's names."""

    container: str
    subtype: str
    sample_rate: int
    """Hz at which it runs; what comes at another rate is resampled, and back."""
    compression: float | None = None
    """Greatest compression level that is drawn, 0 being the least."""


CODECS = {
    # Telephone lines (ITU-T G.711) and mobile telephones (ETSI GSM 06.10).
    "mu-law": Codec("WAV", "ULAW", 8000),
    "a-law": Codec("WAV", "ALAW", 8000),
    "gsm": Codec("WAV", "GSM610", 8000),
    # Dictation machines and old sound cards.
    "adpcm": Codec("WAV", "IMA_ADPCM", 16_000),
    "pcm8": Codec("WAV", "PCM_U8", 16_000),
    # What is shared on the Internet: 35 to 75 and 25 to 50 kbit/s. From 0.9 on, libsndfile's MP3
    # fails at some rates.
    "vorbis": Codec("OGG", "VORBIS", 16_000, compression=1.0),
    "mp3": Codec("MP3", "MPEG_LAYER_III", 16_000, compression=0.9),
}


def apply_codec(waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Encode and decode `(S,)` with one of `CODECS`, each as likely; length and level stay.

    The codec is given a peak of 1 to 20 dB below full scale, as recordings have: from where its
    range ends, and how coarse its steps are, depend on that. Raises ConfigError if this libsndfile
    lacks the codec.
    """
    codec = list(CODECS.values())[randint(len(CODECS), generator)]
    level = None if codec.compression is None else uniform(0, codec.compression, generator)
    peak_db = uniform(*_PEAK_DB, generator)
    sent = dsp.resample(waveform, sample_rate, codec.sample_rate)
    peak = float(sent.abs().max())
    if peak == 0:
        return waveform
    scale = 10 ** (peak_db / 20) / peak
    received = round_trip(sent * scale, codec, level) / scale
    heard = dsp.resample(received, codec.sample_rate, sample_rate)
    return pad(heard, (0, len(waveform) - len(heard)))


def round_trip(waveform: Tensor, codec: Codec, level: float | None = None) -> Tensor:
    """Encode and decode `(S,)` in [-1, 1] at the codec's own rate; what it appends is cut off."""
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
            "soundfile, or set it to 0"
        ) from error
    received = torch.from_numpy(decoded)
    return pad(received, (0, len(waveform) - len(received)))
