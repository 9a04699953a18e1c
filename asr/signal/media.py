"""The sound of files that FFmpeg reads: MP4, M4A, 3GP, QuickTime, Matroska, WebM and AMR.

PyAV, which carries FFmpeg, comes with the extra `media`. It is given open files only, and the
container that their first bytes show, so that nothing else is opened and no playlist followed.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from asr.signal.containers import amr, isomedia, matroska
from asr.signal.containers.headers import UNKNOWN_FRAMES

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream


class _Media(NamedTuple):
    demuxer: str
    """FFmpeg's name of the container."""
    check: Callable[[BinaryIO], str]
    """Raises StructureError unless a file is whole; returns a warning or nothing."""


MEDIA = {
    "MP4": _Media("mov", isomedia.check),
    "MATROSKA": _Media("matroska", matroska.check),
    "AMR": _Media("amr", amr.check),
}
_MP4_KINDS = (b"ftyp", b"moov", b"mdat", b"wide")
_GAP_SECONDS = 0.05
"""Between packets; times are rounded to milliseconds in some containers."""
_MISSING_SECONDS, _EXTRA_SECONDS = 0.1, 0.5
"""By which the sound may be shorter or longer than stated: an encoder fills up its last packet."""
_NOTHING = np.empty((0, 1), np.float32)


class MediaError(Exception):
    """Why a file cannot be decoded."""


def media_container(file: BinaryIO) -> str | None:
    """A key of `MEDIA` by a file's first bytes; None: it is something else."""
    file.seek(0)
    head = file.read(12)
    if head[4:8] in _MP4_KINDS:
        return "MP4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "MATROSKA"
    return "AMR" if head.startswith(b"#!AMR") else None


class MediaDecoder:
    """A decoder of the first track of sound, with the interface of soundfile's reader.

    Raises MediaError if there is none, or PyAV cannot read the file.
    """

    seeks = False
    frames = UNKNOWN_FRAMES
    """What a container states is rounded, and includes what encoders add at both ends."""

    def __init__(self, file: BinaryIO, container: str) -> None:
        import av

        try:
            self._container = av.open(
                file,
                "r",
                format=MEDIA[container].demuxer,
                options={"err_detect": "crccheck+bitstream+buffer"},
                metadata_errors="replace",
                io_open=_open_nothing,
            )
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(_cause(error)) from error
        self.tracks = len(self._container.streams.audio)
        if not self.tracks:
            raise MediaError("none")
        self._stream: AudioStream = self._container.streams.audio[0]
        context = self._stream.codec_context
        if context is None:  # PyAV's types leave this out
            raise MediaError("sound in a coding that is not known")
        self.format = container
        self.samplerate, self.channels = context.sample_rate or 0, context.channels
        self.subtype = context.codec.canonical_name.upper()
        for other in self._container.streams:
            if other.index != self._stream.index:
                other.discard = av.stream.Discard.all  # pictures are not read from the disk
        self._problem, self._problem_count = "", 0
        self._stated = self._stated_seconds()
        self._done = 0
        self._blocks = self._decoded()
        self._left: npt.NDArray[np.float32] = _NOTHING

    def __enter__(self) -> "MediaDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def damage(self) -> str:
        """What was found wrong until now; empty if nothing."""
        others = self._problem_count - 1
        return f"{self._problem}, and {others} more faults" if others > 0 else self._problem

    def read(self, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Decode into `out` `(S, channels)`; returns what is filled of it: all but at the end."""
        filled = 0
        while filled < len(out):
            if not len(self._left):
                self._left = next(self._blocks, _NOTHING)
                if not len(self._left):
                    break
            count = min(len(self._left), len(out) - filled)
            out[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            filled += count
        return out[:filled]

    def _stated_seconds(self) -> float | None:
        """The length that the file states of the sound; None if it does not."""
        stream, container = self._stream, self._container
        if self.format == "AMR":
            return None  # FFmpeg's is an estimate
        if stream.duration is not None and stream.time_base:
            return float(stream.duration * stream.time_base)
        if len(container.streams) == 1 and container.duration:
            return container.duration / 1e6
        return None

    def _decoded(self) -> Iterator[npt.NDArray[np.float32]]:
        """All that can be decoded, as `(S, channels)`; what cannot is noted."""
        from av import AudioResampler

        to_float = AudioResampler(format="flt")
        expected: float | None = None
        for frame in self._frames():
            rate, channels = frame.sample_rate, len(frame.layout.channels)
            if (rate, channels) != (self.samplerate, self.channels):
                self._note(f"a change to {rate} Hz and {channels} channels")
                continue
            if not frame.samples:
                continue
            if frame.is_corrupt:
                self._note("a damaged packet")
            if frame.time is not None:
                if expected is not None and frame.time > expected + _GAP_SECONDS:
                    self._note(f"a gap of {frame.time - expected:.2f} s")
                expected = frame.time + frame.samples / rate
            self._done += frame.samples
            for converted in to_float.resample(frame):
                yield converted.to_ndarray().reshape(-1, channels).astype(np.float32, copy=False)
        self._compare_length()

    def _frames(self) -> Iterator["AudioFrame"]:
        """The frames of all packets; the last packet is empty, and ends the decoding."""
        from av import FFmpegError

        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    self._note("a packet that is cut off")
                try:
                    yield from packet.decode()
                except (FFmpegError, ValueError) as error:
                    self._note(f"a packet that cannot be decoded ({_cause(error)})")
        except FFmpegError as error:
            self._note(f"an end of what can be read ({_cause(error)})")

    def _note(self, problem: str) -> None:
        if not self._problem:
            self._problem = f"{problem} after {self._done / self.samplerate:.2f} s"
        self._problem_count += 1

    def _compare_length(self) -> None:
        seconds, stated = self._done / self.samplerate, self._stated
        if stated is not None and not -_EXTRA_SECONDS < stated - seconds < _MISSING_SECONDS:
            self._note(f"an end of the sound, where the file states {stated:.2f} s,")


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("no other file is opened")


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
