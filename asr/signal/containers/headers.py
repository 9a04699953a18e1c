"""Checks the length that an audio file declares against the bytes that are there.

libsndfile silently shortens a truncated file to what is left of it, believes a header that states
less than the file holds, ignores some counts in headers, and stops reading an MP3 or Ogg file where
its first stream seems to end. Each check here reads the declared length from the file itself and
refuses the file if audio would be lost silently.
"""

import logging
import os
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from asr.errors import AudioError, DamagedAudioError
from asr.signal.containers import mpeg, ogg
from asr.signal.containers.payload import PARSERS, WAVE64_CHUNK, HeaderError, Payload, chunks
from asr.signal.containers.structure import ImpossibleError, StructureError

_log = logging.getLogger("asr.audio")

UNKNOWN_FRAMES = 1 << 62
"""libsndfile's count is above this if a streamed file does not state its length."""

_MAX_FRAMES_PER_BYTE = 8192
"""FLAC packs 65535 equal samples into 11 bytes, Opus and Vorbis at most 2880 into one."""

_LEAST_PLACEHOLDER = (1 << 30) - (1 << 16)
"""Recorders that write into pipes state what no recording reaches: 2³¹ - 1 bytes, 2³⁰ samples, all
ones, each less a header or rounded to whole blocks."""
_FEW_BYTES = 16
"""So many may be missing at the end of a file, or be left over, without its being refused."""
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")
"""How tags begin that players append to files of any format."""
_BLOCK_BYTES = 65536
_COPY = "the header is damaged; copy the file again"


def audio_error(path: Path, expected: str, found: str, remedy: str) -> AudioError:
    """The form of all error messages about audio files."""
    return AudioError(f"{path}: expected {expected}, found {found}; {remedy}")


Report = Callable[[DamagedAudioError], None]
"""Called where a recording is damaged; if it does not raise, what is left is read."""


def damaged(path: Path, expected: str, found: str, remedy: str) -> DamagedAudioError:
    """The form of all messages about recordings of which a part is missing."""
    return DamagedAudioError(f"{path}: expected {expected}, found {found}; {remedy}")


def check_structure(
    path: Path, file: BinaryIO, check: Callable[[BinaryIO], str], report: Report
) -> None:
    """Call `report` if a check raises StructureError, and log the warning that it returns.

    Raises AudioError if it raises ImpossibleError.
    """
    try:
        if warning := check(file):
            _log.warning("%s: %s", path, warning)
    except ImpossibleError as error:
        raise audio_error(path, error.expected, error.found, _COPY) from error
    except StructureError as error:
        report(_incomplete(path, error))


def _incomplete(path: Path, error: StructureError) -> DamagedAudioError:
    remedy = "the file is damaged, and a part of the recording is missing; copy it again"
    return damaged(path, error.expected, error.found, remedy)


def check_length(path: Path, file: BinaryIO, container: str, frames: int, report: Report) -> int:
    """Compare a file's declared length with its bytes before anything is decoded.

    `file` is read wherever it likes, `path` names it. `frames` is libsndfile's count. Returns the
    count to expect from decoding, `UNKNOWN_FRAMES` or more where the file does not state it. Calls
    `report` on a file that declares more than it holds, or that holds more than libsndfile would
    read. Raises AudioError on one that declares what no file of its size can hold.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if container in PARSERS:
        try:
            payload = PARSERS[container](file)
        except HeaderError as error:
            raise audio_error(path, str(error), "one that does not", _COPY) from error
        if payload is not None:
            _check_payload(path, payload, size, frames, report)
            _check_rest(path, file, payload, size, report)
    elif container == "MP3":
        return _check_mpeg(path, file, frames, report)
    elif container == "OGG":
        _check_ogg(path, file, size, report)
    if container in ("OGG", "FLAC") and size * _MAX_FRAMES_PER_BYTE < frames < UNKNOWN_FRAMES:
        raise audio_error(
            path,
            f"at most {size * _MAX_FRAMES_PER_BYTE} frames in {size} bytes",
            f"a header that declares {frames}",
            _COPY,
        )
    return frames


def _check_payload(path: Path, payload: Payload, size: int, frames: int, report: Report) -> None:
    """Compare the declared length with what is there, and with what libsndfile would read."""
    available = max(0, size - payload.start)
    declared, found = payload.declared_bytes, available // payload.unit_bytes
    least = found
    if declared is None or (declared >= _LEAST_PLACEHOLDER and available < declared // 2):
        _log.warning(
            "%s: the header does not state a length (a streamed recording); reading the %d %s that "
            "are there, which may not be all",
            path,
            found,
            payload.unit,
        )
    elif found >= (expected := declared // payload.unit_bytes):
        least = expected
    elif declared - available <= _FEW_BYTES:
        _log.warning(
            "%s: the last %d bytes that the header declares are missing; reading %d of %d %s",
            path,
            declared - available,
            found,
            expected,
            payload.unit,
        )
    else:
        problem = damaged(
            path,
            f"{expected} {payload.unit} as its header declares",
            f"{found} in the file's {size} bytes",
            "the file is truncated or its header is damaged; copy the file again",
        )
        report(problem)
    if payload.unit == "frames" and frames < least:
        expected_frames = f"{least} frames by the length of its audio"
        report(damaged(path, expected_frames, f"{frames} by another part", _COPY))


def _check_rest(path: Path, file: BinaryIO, payload: Payload, size: int, report: Report) -> None:
    """What follows the declared audio must be chunks, tags or zeros, not the rest of the audio."""
    if payload.declared_bytes is None:
        return
    end = payload.start + payload.declared_bytes
    rest = size - end
    if rest < payload.unit_bytes:
        return
    file.seek(end)
    blocks = iter(partial(file.read, _BLOCK_BYTES), b"")
    first = next(blocks)
    if first.startswith(_TAGS) or not any(block.strip(b"\0") for block in chain([first], blocks)):
        return
    if WAVE64_CHUNK in first[:24]:
        return
    # Not all writers pad an odd number of bytes before the next chunk.
    starts = {end, end + end % 2} if payload.chunk_order else ()
    if any(_are_chunks(file, start, size, payload.chunk_order) for start in starts):
        return
    if rest <= _FEW_BYTES:
        _log.warning("%s: the last %d bytes, behind the audio, are not read", path, rest)
        return
    problem = damaged(
        path,
        f"{payload.declared_bytes} bytes of audio as its header declares, and nothing but metadata "
        "behind them",
        f"{rest} other bytes behind them, which are not read",
        "the header states too little (a recording that was stopped hard, or is above 4 GiB), or "
        "files were joined; `sox --ignore-length FILE NEW.wav` makes one of all that is there",
    )
    report(problem)


def _are_chunks(file: BinaryIO, position: int, size: int, order: str) -> bool:
    """Whether the bytes from a position on are whole RIFF or IFF chunks."""
    for name, start, length in chunks(file, order, position):
        if not all(0x20 <= byte < 0x7F for byte in name) or name in (b"RIFF", b"RF64", b"FORM"):
            return False
        position = start + length + length % 2
    return position in (size, size + 1)  # the last one may lack its padding


def _check_ogg(path: Path, file: BinaryIO, size: int, report: Report) -> None:
    """The pages must be whole, without a gap, of one stream after the other, and have an end."""
    try:
        walk = ogg.walk(file)
    except StructureError as error:
        report(_incomplete(path, error))
        return
    if not walk.ended:
        expected = "an Ogg stream with an end-of-stream page"
        found = f"no end in the file's {size} bytes"
        report(damaged(path, expected, found, "the file is truncated; copy it again"))
    if walk.streams > 1:
        found = "several, of which only the first is read"
        remedy = "convert it to FLAC, e.g. by `ffmpeg -i FILE NEW.flac`"
        report(damaged(path, "one Ogg stream", found, remedy))


def _check_mpeg(path: Path, file: BinaryIO, frames: int, report: Report) -> int:
    """Compare libsndfile's count, from a tag or an estimate, with a count of all MPEG frames.

    An estimate from the bit rate of the first frame is wrong by any factor at variable bit rates.
    """
    walk = mpeg.walk(file)
    if walk is None:
        return frames
    # A tag lets the decoder cut encoder delay and padding, which take up to four frames.
    slack = 4 * walk.samples_per_frame
    if frames < walk.samples - slack:
        problem = damaged(
            path,
            f"{walk.samples} frames of MPEG audio, as counted from start to end",
            f"a length tag or bit rate that implies {frames}, and no more is read",
            "the file was joined from several; repair it by `ffmpeg -i FILE -c copy NEW.mp3`",
        )
        report(problem)
    if walk.tagged and frames > walk.samples:
        expected = f"{frames} frames as its length tag declares"
        remedy = "the file is truncated; copy it again"
        report(damaged(path, expected, f"{walk.samples}", remedy))
        return walk.samples
    return frames if walk.tagged else min(frames, walk.samples)  # an estimate counts tags too
