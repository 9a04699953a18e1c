"""Opens and decodes one audio file without trusting its header.

Limits and the declared length are checked before any memory is allocated, and decoding proceeds
block by block, so that memory use depends on the audio that is really there.
"""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from asr.errors import AudioError, ConfigError, DamagedAudioError
from asr.signal.channels import Channel, ChannelSelector
from asr.signal.containers.flac import AudioDigest, stated_digest
from asr.signal.containers.headers import (
    UNKNOWN_FRAMES,
    Report,
    audio_error,
    check_length,
    damaged,
)
from asr.signal.decoder import (
    CONVERT,
    KINDS,
    DecodedAudio,
    Decoder,
    SequentialDecoder,
    file_size,
    opened_decoder,
)
from asr.signal.media import MEDIA, MediaDecoder
from asr.signal.resampling import resample_stream

_log = logging.getLogger("asr.audio")

_CONTAINERS = frozenset(
    ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "NIST", "RAW", *MEDIA)
)
_RAW_SAMPLE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4},
    **{"FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1},
}
_BLOCK_VALUES = 1 << 18
"""Samples, of all channels together, that are decoded at a time: 1 MiB."""
_DAMAGED_BLOCK_VALUES = 1 << 10
"""The same where damage is expected, as the rest of the block in which it begins is lost."""
LARGEST_SAMPLE = 1e10
"""Larger than 32-bit integers written as floats; the features of much larger ones overflow."""

Segment = tuple[float, float]
"""Offset and duration in seconds."""


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file; the sample rate is in Hz, `frames` are samples per channel."""

    path: Path
    sample_rate: int
    channels: int
    frames: int
    duration_seconds: float
    container: str
    subtype: str


@dataclass(frozen=True)
class RawFormat:
    """Encoding of a headerless file; subtype and byte order have soundfile's names."""

    sample_rate: int
    channels: int = 1
    subtype: str = "PCM_16"
    endian: str = "LITTLE"

    def __post_init__(self) -> None:
        if self.subtype not in _RAW_SAMPLE_BYTES:
            expected = ", ".join(_RAW_SAMPLE_BYTES)
            raise ConfigError(
                f"raw audio: expected a subtype of {expected}, found {self.subtype!r}"
            )
        if self.endian not in ("LITTLE", "BIG"):
            raise ConfigError(f"raw audio: expected endian LITTLE or BIG, found {self.endian!r}")
        if not 1 <= self.channels < 1 << 31:
            raise ConfigError(
                f"raw audio: expected channels from 1 to below 2³¹, found {self.channels}"
            )
        if wrong := wrong_rate(self.sample_rate):
            raise ConfigError(f"raw audio: {wrong}")

    @property
    def frame_bytes(self) -> int:
        """Of a sample of every channel."""
        return _RAW_SAMPLE_BYTES[self.subtype] * self.channels


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a file is refused as damaged, malicious or not speech."""

    max_duration_seconds: float = 4 * 3600.0
    max_channels: int = 32
    min_sample_rate: int = 1000
    max_sample_rate: int = 384_000


DEFAULT_LIMITS = Limits()


def wrong_rate(sample_rate: object) -> str:
    """What is wrong with the sample rate that somebody gave; empty if nothing."""
    lowest, highest = DEFAULT_LIMITS.min_sample_rate, DEFAULT_LIMITS.max_sample_rate
    try:
        rate = int(sample_rate)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if rate == sample_rate and not isinstance(sample_rate, bool) and lowest <= rate <= highest:
        return ""
    advice = f"; if kHz are meant, give {rate * 1000}" if lowest <= rate * 1000 <= highest else ""
    return (
        f"expected a sample_rate in whole Hz, from {lowest} to {highest}, found "
        f"{str(sample_rate)[:80]}{advice}"
    )


@functools.cache
def log_once(message: str, level: int = logging.INFO) -> None:
    """Log a message the first time it occurs in this process."""
    _log.log(level, message)


@dataclass(frozen=True)
class AudioFile:
    """An open file whose header has been checked."""

    decoder: Decoder | DecodedAudio
    info: AudioInfo
    limits: Limits
    report: Report
    block_values: int = _BLOCK_VALUES
    digest: AudioDigest | None = None
    """Of all of the audio, where the file states it."""

    def waveform(
        self,
        sample_rate: int | None,
        segment: Segment | None = None,
        channel: Channel = "mix",
    ) -> tuple[Iterator[Tensor], int]:
        """The mono waveform in `(S,)` pieces at `sample_rate` (None: the file's), and the rate."""
        own_rate = self.info.sample_rate
        rate = own_rate if sample_rate is None else sample_rate
        if rate < 1:
            raise ConfigError(f"sample_rate: expected a positive number of Hz, found {rate}")
        if rate != own_rate:
            log_once(f"audio at {own_rate} Hz is resampled to {rate} Hz")
        return resample_stream(self.blocks(segment, channel), own_rate, rate), rate

    def blocks(self, segment: Segment | None = None, channel: Channel = "mix") -> Iterator[Tensor]:
        """Decode block by block to `(S,)` at the file's own rate."""
        info = self.info
        select = ChannelSelector(info.path, info.channels, channel)
        if select.mixes:
            log_once(f"audio of {info.channels} channels is averaged to one")
        start, end = self._span(segment)
        block_frames = max(1, self.block_values // info.channels)
        buffer = np.empty((block_frames, info.channels), np.float32)
        longest = int(self.limits.max_duration_seconds * info.sample_rate)
        digest = self.digest if segment is None else None
        total = self._skip(start)
        problem: DamagedAudioError | None = None
        while total < end:
            try:
                block = self._decode(buffer[: end - total], total)
            except DamagedAudioError as error:
                problem = error
                break
            if not len(block):
                break
            before, total = total, total + len(block)
            if total > longest:
                raise _too_long(info.path, self.limits, f"more than {longest} frames")
            if digest:
                digest.update(block)
            block = block[max(0, start - before) :]
            samples = select(block)
            self._check_samples(samples, total - len(block))
            if len(block):
                yield torch.from_numpy(samples)
        if warning := select.cancelling():
            log_once(warning, logging.WARNING)
        expected = info.frames if segment is None else end
        if total == 0:
            raise problem or self._damaged(0, self.decoder.damage or "the audio ends there")
        if problem is None and total < expected < UNKNOWN_FRAMES:
            problem = self._damaged(total, "the audio ends there")
        if problem is None and digest and not digest.agrees:
            problem = damaged(
                info.path,
                "the audio whose MD5 checksum its header states",
                f"{total} frames with another",
                "the file is damaged, and lacks some of the recording or has silence in its place; "
                "copy it again",
            )
        if problem is None and (found := self.decoder.damage):
            remedy = "the file is damaged, and a part of the recording is missing; copy it again"
            problem = damaged(info.path, "a whole recording", found, remedy)
        if problem is not None:
            self.report(problem)

    def _check_samples(self, samples: npt.NDArray[np.float32], start: int) -> None:
        """Refuse samples that are no sound; the first of these is at the frame `start`."""
        sound = np.abs(samples) <= LARGEST_SAMPLE  # false for NaN
        if sound.all():
            return
        first = tuple(np.argwhere(~sound)[0])
        found = f"{samples[first]:.3g}" if np.isfinite(samples[first]) else "NaN or infinity"
        raise audio_error(
            self.info.path,
            f"samples of size {LARGEST_SAMPLE:g} at most, where 1 is full scale",
            f"{found} at frame {start + first[-1]}",
            "the recording is damaged; record or copy it again",
        )

    def _span(self, segment: Segment | None) -> tuple[int, int]:
        """First frame of a segment, and the one after its last."""
        info = self.info
        if segment is None:
            return 0, UNKNOWN_FRAMES
        offset, duration = segment
        start = round(offset * info.sample_rate)
        end = start + max(1, round(duration * info.sample_rate))
        if end > info.frames + 1:  # both ends were rounded: one frame too many is tolerated
            raise audio_error(
                info.path,
                f"a segment from {offset:.6g} s to {offset + duration:.6g} s",
                f"a recording of {info.duration_seconds:.6g} s",
                "correct the offset and duration, or name the right recording",
            )
        return start, min(end, info.frames)

    def _skip(self, start: int) -> int:
        """Seek to the first frame of a segment where that is exact; returns the position."""
        decoder = self.decoder
        if start == 0 or self.info.frames >= UNKNOWN_FRAMES or not decoder.seeks:
            return 0
        assert not isinstance(decoder, MediaDecoder)
        try:
            return int(decoder.seek(start))
        except soundfile.SoundFileError as error:
            raise self._damaged(0, str(error)) from error

    def _decode(self, buffer: npt.NDArray[np.float32], done: int) -> Any:
        try:
            return self.decoder.read(out=buffer)
        except soundfile.SoundFileError as error:
            raise self._damaged(done, str(error)) from error

    def _damaged(self, done: int, cause: str) -> DamagedAudioError:
        declared, rate = self.info.frames, self.info.sample_rate
        return damaged(
            self.info.path,
            f"{declared} frames ({declared / rate:.2f} s)"
            if declared < UNKNOWN_FRAMES
            else "a whole stream",
            f"damage after {done} decoded frames, {done / rate:.2f} s ({cause})",
            "the file is truncated or damaged; copy it again",
        )


@contextmanager
def open_audio(
    path: Path,
    raw: RawFormat | None,
    limits: Limits,
    content: bytes | None = None,
    damage: list[str] | None = None,
) -> Iterator[AudioFile]:
    """Open a file and check its header. Raises AudioError as `asr.signal.audio.read` does.

    With `content`, the path only names it in messages. With `damage`, what is left of a damaged
    recording is read, and what is wrong with it added there.
    """

    def report(problem: DamagedAudioError) -> None:
        if damage is None:
            raise problem
        damage.append(str(problem))

    size = file_size(path, content)
    options: dict[str, Any] = {}
    if raw is not None:
        options = {"format": "RAW", "samplerate": raw.sample_rate, "channels": raw.channels}
        options |= {"subtype": raw.subtype, "endian": raw.endian}
        _check_raw_size(path, raw, size)
    with opened_decoder(path, content, options, report) as (decoder, file):
        info = _inspect(path, file, decoder, limits, report)
        digest = stated_digest(file) if info.container == "FLAC" else None
        # FFmpeg's reader goes on behind damage by itself.
        is_lost = damage is not None and isinstance(decoder, SequentialDecoder)
        block_values = _DAMAGED_BLOCK_VALUES if is_lost else _BLOCK_VALUES
        yield AudioFile(decoder, info, limits, report, block_values, digest)


def _check_raw_size(path: Path, raw: RawFormat, size: int) -> None:
    frame_bytes = raw.frame_bytes
    if size % frame_bytes:
        raise audio_error(
            path,
            f"whole frames of {frame_bytes} bytes ({raw.channels} x {raw.subtype})",
            f"{size} bytes, {size % frame_bytes} too many",
            "the file is truncated or has another raw format",
        )


def _inspect(
    path: Path, file: BinaryIO, decoder: Decoder, limits: Limits, report: Report
) -> AudioInfo:
    """Check the header against the limits and against the size of the file."""
    rate, channels, container = decoder.samplerate, decoder.channels, decoder.format
    if container not in _CONTAINERS:
        raise audio_error(path, KINDS, f"the container {container}", CONVERT)
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        raise audio_error(
            path,
            f"a sample rate of {limits.min_sample_rate} to {limits.max_sample_rate} Hz",
            f"{rate} Hz in its header",
            "the header is damaged, or this is not a recording of speech",
        )
    if channels > limits.max_channels:
        found = f"{channels} in its header"
        raise audio_error(path, f"at most {limits.max_channels} channels", found, CONVERT)
    frames = check_length(path, file, container, decoder.frames, report)
    if frames == 0:
        remedy = "nothing was recorded, or the recording stopped before its header was written"
        raise audio_error(path, "at least one frame of audio", "none (0 frames)", remedy)
    duration = frames / rate
    if limits.max_duration_seconds < duration and frames < UNKNOWN_FRAMES:
        raise _too_long(path, limits, f"{duration:.0f} s ({frames} frames)")
    return AudioInfo(path, rate, channels, frames, duration, container, decoder.subtype)


def _too_long(path: Path, limits: Limits, found: str) -> AudioError:
    expected = f"at most {limits.max_duration_seconds:.0f} s of audio"
    return audio_error(path, expected, found, "split it, or raise the limit")
