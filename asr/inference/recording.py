"""What may be given as a recording: a file, its bytes, an open file, or samples."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.errors import AudioError
from asr.signal import audio
from asr.signal.audio_file import LARGEST_SAMPLE, wrong_rate
from asr.signal.channels import Channel, check_channel
from asr.signal.resampling import resample_stream

ANY_LENGTH = audio.Limits(max_duration_seconds=1e9)
"""Of a recording no more than a minute or two is in memory."""


@dataclass(frozen=True)
class FileChannel:
    """One channel of an audio file, 1 being the first."""

    path: Path
    channel: int


Recording = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | np.ndarray[Any, Any]
    | Tensor
    | Utterance
    | FileChannel
)
"""The path of an audio file; the bytes of one, or a file that is open for reading them; samples
`(S,)` of floats in [-1, 1]; an utterance of a manifest; or one channel of a file."""


def recording_blocks(
    recording: Recording,
    to_rate: int,
    sample_rate: int | None = None,
    raw: audio.RawFormat | None = None,
    damage: list[str] | None = None,
    channel: Channel = "mix",
) -> Iterator[Tensor]:
    """The waveform at `to_rate` Hz as consecutive blocks `(S,)`.

    `sample_rate`, in Hz, goes with samples alone. Raises AudioError on anything else, and as
    `audio.read` does, with the first block or a later one; ConfigError on a `channel` that is
    neither a number nor "mix".
    """
    check_channel(channel)
    if isinstance(recording, Utterance) and raw is None and sample_rate is None:
        yield read_utterance(recording, to_rate, damage)[0]
        return
    if isinstance(recording, FileChannel):
        channel, recording = recording.channel, recording.path
    if isinstance(recording, (np.ndarray, Tensor)):
        waveform = checked_samples(recording)
        if channel not in (1, "mix"):
            raise AudioError(f"samples: expected a channel of the one there is, found {channel}")
        if sample_rate is None or wrong_rate(sample_rate):
            raise AudioError(f"samples: {wrong_rate(sample_rate)}")
        yield from resample_stream([waveform], int(sample_rate), to_rate)
        return
    path, content = _file(recording)
    if sample_rate is not None:
        raise AudioError(
            f"{path}: sample_rate goes with samples; a file states its own, and a headerless one "
            "needs raw"
        )
    options: dict[str, Any] = {"content": content, "damage": damage, "channel": channel}
    yield from audio.blocks(path, to_rate, raw, ANY_LENGTH, **options)


def _file(recording: object) -> tuple[str, bytes | None]:
    """The path of a file, and None; or a name for messages, and the content of the file."""
    if isinstance(recording, (str, os.PathLike)):
        return os.fsdecode(recording), None
    if isinstance(recording, (bytes, bytearray, memoryview)):
        return "bytes", bytes(recording)
    if not callable(read := getattr(recording, "read", None)):
        raise AudioError(
            "expected the path of an audio file, its bytes, a file open for reading, or an array "
            f"of samples, found {type(recording).__name__}; make samples an array: "
            "numpy.array(samples, numpy.float32)"
        )
    name = str(getattr(recording, "name", type(recording).__name__))
    try:
        content = read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or open as text
        raise AudioError(
            f"{name}: cannot read it ({error}); open it again with the mode 'rb'"
        ) from error
    if not isinstance(content, bytes):
        raise AudioError(
            f"{name}: expected a file of bytes, found one of {type(content).__name__}; open it "
            "with the mode 'rb'"
        )
    return name, content


def checked_samples(samples: np.ndarray[Any, Any] | Tensor) -> Tensor:
    """Samples `(S,)` as a float32 tensor on the CPU. Raises AudioError on anything else."""
    if not isinstance(samples, (np.ndarray, Tensor)):
        raise AudioError(
            f"samples: expected an array, found {type(samples).__name__}; make them one: "
            "numpy.array(samples, numpy.float32)"
        )
    if len(samples.shape) != 1 or len(samples) == 0:
        raise AudioError(
            f"samples: expected one channel (S,), found the shape {tuple(samples.shape)}; "
            "average the channels, or take one, first"
        )
    if isinstance(samples, np.ndarray) and samples.dtype.kind == "f":
        # A copy: torch takes no array that is read-only, backwards or of another byte order.
        samples = torch.from_numpy(np.array(samples, np.float32, order="C"))
    if not (isinstance(samples, Tensor) and samples.is_floating_point()):
        raise AudioError(
            f"samples: expected floats in [-1, 1], found {samples.dtype}; divide 16-bit "
            "integers by 32768"
        )
    waveform = samples.detach().cpu().float()
    largest = float(waveform.abs().max())  # NaN if any is
    if not largest <= LARGEST_SAMPLE:
        found = f"{largest:.3g}" if math.isfinite(largest) else "NaN or infinity"
        raise AudioError(
            f"samples: expected sizes of {LARGEST_SAMPLE:g} at most, where 1 is full scale, "
            f"found {found}"
        )
    return waveform
