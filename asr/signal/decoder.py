"""Opens the decoder of an audio file: libsndfile, or FFmpeg for containers that it lacks."""

import io
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import soundfile

from asr.errors import AudioError
from asr.signal.containers import mpeg
from asr.signal.containers.headers import Report, audio_error, check_structure
from asr.signal.media import MEDIA, MediaDecoder, MediaError, media_container

_log = logging.getLogger("asr.audio")

KINDS = "WAV, FLAC, Ogg Vorbis or Opus, MP3, AIFF, AU, W64 or NIST SPHERE audio"
CONVERT = "convert it, e.g. by `ffmpeg -i FILE NEW.flac`"
_EXACT_SEEK = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "NIST")
_INSTALL = "run `pip install 'ctc-asr[media]'`, or"


class _LenientFile(io.BufferedReader):
    """A file for libsndfile that ignores impossible seeks, which damaged headers lead to.

    It has no name, because libsndfile would take the content of files with some suffixes for audio
    whatever it is.
    """

    name = ""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:  # would be printed by the callback, which then reports success
            return self.tell()


class SequentialDecoder(soundfile.SoundFile):  # type: ignore[misc]
    """soundfile's reader without its seek to the current position after each block.

    That seek fails in FLAC streams of unknown length and makes MP3 decoding inexact.
    """

    damage = ""  # it raises instead

    @property
    def seeks(self) -> bool:
        """Whether the samples after a seek are those of sequential decoding."""
        return self.format in _EXACT_SEEK

    def seekable(self) -> bool:
        return False


class DecodedAudio:
    """Samples `(S,)` that have been decoded, to be read as by a decoder."""

    damage = ""
    seeks = True

    def __init__(self, samples: npt.NDArray[np.float32]) -> None:
        self._samples, self._position = samples, 0

    def seek(self, frame: int) -> int:
        """Go on with this frame."""
        self._position = frame
        return frame

    def read(self, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The next samples, in `out` `(S, 1)`; returns what is filled of it: all but at the end."""
        following = self._samples[self._position : self._position + len(out)]
        self._position += len(following)
        out[: len(following), 0] = following
        return out[: len(following)]


Decoder = SequentialDecoder | MediaDecoder


@contextmanager
def opened_decoder(
    path: Path, content: bytes | None, options: dict[str, Any], report: Report
) -> Iterator[tuple[Decoder, BinaryIO]]:
    """The decoder of a file, and the file, to be read anywhere.

    With `content`, the path only names it in messages. The options are soundfile's for a headerless
    file. Raises AudioError on what cannot be decoded; calls `report` on damage.
    """
    with ExitStack() as stack:
        # Two handles, because the decoder relies on the position in its own.
        file, another = (stack.enter_context(_opened(path, content)) for _ in range(2))
        container = None if options else media_container(another)
        if container is not None:
            check_structure(path, another, MEDIA[container].check, report)
            yield stack.enter_context(_open_media(path, file, container)), another
            return
        try:
            decoder = SequentialDecoder(file, **options)
        except soundfile.SoundFileError as error:
            elsewhere = stack.enter_context(_away_from_resource_forks(path, content))
            if elsewhere is None:
                raise _not_audio(path, error) from error
            try:
                decoder = SequentialDecoder(elsewhere, **options)
            except soundfile.SoundFileError as again:
                raise _not_audio(path, again) from again
        stack.enter_context(decoder)
        if decoder.format == "MP3" and (tagged := mpeg.with_length(another)) is not None:
            decoder = stack.enter_context(SequentialDecoder(io.BytesIO(tagged)))
        yield decoder, another


def _open_media(path: Path, file: BinaryIO, container: str) -> MediaDecoder:
    try:
        decoder = MediaDecoder(file, container)
    except ImportError as error:
        found = f"{container} audio, which is read by PyAV"
        raise audio_error(path, KINDS, found, f"{_INSTALL} {CONVERT}") from error
    except MediaError as error:
        expected = f"sound in this {container} file"
        remedy = f"it is damaged or incomplete, and must be copied again; or {CONVERT}"
        raise audio_error(path, expected, str(error), remedy) from error
    if decoder.tracks > 1:
        _log.warning("%s: %d tracks of sound, of which the first is read", path, decoder.tracks)
    return decoder


def _not_audio(path: Path, error: soundfile.SoundFileError) -> AudioError:
    cause = getattr(error, "error_string", str(error))
    remedy = "specify its raw format" if path.suffix.lower() == ".raw" else CONVERT
    return audio_error(path, KINDS, f"something else ({cause})", remedy)


@contextmanager
def _away_from_resource_forks(path: Path, content: bytes | None) -> Iterator[Path | None]:
    """The file under a name beside which libsndfile finds no resource fork of a Macintosh.

    It takes `._NAME` and `.AppleDouble/NAME` for part of the file NAME, and since it knows no name
    here, `._` and `.AppleDouble` in the current folder for part of any file. None if neither is.
    """
    if not any(map(os.path.lexists, ("._", ".AppleDouble"))):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = Path(folder, "audio")
        if content is None:
            elsewhere.symlink_to(path.absolute())
        else:
            elsewhere.write_bytes(content)
        yield elsewhere


def _opened(path: Path, content: bytes | None) -> _LenientFile:
    try:
        # By its type BytesIO is not a RawIOBase, but it has the methods that are needed.
        return _LenientFile(
            io.FileIO(path) if content is None else cast(io.RawIOBase, io.BytesIO(content))
        )
    except OSError as error:
        raise _unreadable(path, error) from error


def file_size(path: Path, content: bytes | None) -> int:
    if content:
        return len(content)
    try:
        if content is not None:
            raise audio_error(path, KINDS, "an empty file (0 bytes)", "copy the file again")
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        check_listed(path)
        raise audio_error(path, "an audio file", "a folder", "name the files in it")
    if not stat.S_ISREG(status.st_mode):
        remedy = "save the audio to a file first"
        raise audio_error(path, "a regular file", "a pipe, socket or device", remedy)
    if status.st_size == 0:
        raise audio_error(path, KINDS, "an empty file (0 bytes)", "copy the file again")
    return status.st_size


def check_listed(folder: Path) -> None:
    """Raise AudioError where a folder cannot be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise audio_error(
            folder,
            "a folder that can be listed",
            (error.strerror or str(error)).lower(),
            "check its permissions: it may have recordings",
        ) from error


def _unreadable(path: Path, error: Exception) -> AudioError:
    cause = getattr(error, "strerror", None) or str(error)
    return audio_error(
        path, "a readable audio file", cause.lower(), "check the path and its permissions"
    )
