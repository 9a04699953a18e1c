"""Walks through the boxes of an MP4, M4A, 3GP or QuickTime file, before a decoder believes them.

A decoder plays as much as the tables of a damaged file still lead to, and reserves memory for as
many samples as they state. Source: ISO/IEC 14496-12.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from asr.signal.containers.structure import ImpossibleError, StructureError

_PARENTS = frozenset((b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf"))
_READ = frozenset((b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"elst", b"stts", b"ctts", b"stsz", b"trun"))
_MAX_BOXES = 1_000_000
"""More than a recording of days in fragments has."""
_SLACK_SECONDS = 0.1
"""By which lengths that several boxes state may differ, as they count in different units."""
_ENCODER_SAMPLES = 4096
"""So many are added by encoders at both ends, and left out again by edits."""

_Track = dict[bytes, bytes]
"""The first box of each kind in a track, and what it contains."""


def check(file: BinaryIO) -> str:
    """Raises StructureError unless the boxes are whole, and agree about the tracks of sound.

    ImpossibleError where they state more samples than the file has bytes. Returns a warning if
    edits leave some of the sound out, or nothing.
    """
    size = file.seek(0, os.SEEK_END)
    movie: _Track = {}
    tracks: list[_Track] = []
    kinds: set[bytes] = set()
    for kind, content in _boxes(file, size):
        kinds.add(kind)
        if kind == b"trak":
            tracks.append({})
        elif kind == b"trun":
            _check_count(_unpack("4xI", content)[0], size)
        (tracks[-1] if tracks else movie).setdefault(kind, content)
    if b"mvhd" not in movie:
        raise StructureError("a moov box, which says where the sound lies", "none")
    if b"mdat" not in kinds:
        raise StructureError("an mdat box, which holds the sound", "none")
    timescale, _ = _times(movie[b"mvhd"])
    warning = ""
    for track in tracks:
        _check_counts(track, size)
        if track.get(b"hdlr", b"")[8:12] == b"soun":
            warning = _check_times(track, max(1, timescale)) or warning
    return warning


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box, before those inside it; only `_READ` have their content."""
    position, ends = 0, [size]
    for _ in range(_MAX_BOXES):
        while ends and position == ends[-1]:
            ends.pop()
        if not ends:
            return
        file.seek(position)
        header = file.read(16)
        if len(ends) == 1 and not any(header):
            return  # padding, as recovered files have
        length, kind = struct.unpack(">I4s", header[:8].ljust(8, b"\0"))
        start = position + 8
        if length == 1 and len(header) == 16:
            length, start = int.from_bytes(header[8:], "big"), position + 16
        elif length == 0 and len(ends) == 1:
            length = size - position
        if position + length > ends[-1] or length < start - position:
            found = f"one {kind.hex(' ')} of {length} where {ends[-1] - position} are left"
            raise StructureError("boxes of at least 8 bytes", f"{found}, at byte {position}")
        file.seek(start)
        position += length
        yield kind, file.read(position - start) if kind in _READ else b""
        if kind in _PARENTS:
            ends.append(position)
            position = start
    raise ImpossibleError(f"at most {_MAX_BOXES} boxes", "more")


def _check_counts(track: _Track, size: int) -> None:
    """No more samples than bytes, and a time for each of them."""
    timed = None
    for kind in (b"stts", b"ctts"):  # each entry is of so many samples
        if kind in track:
            count = sum(samples for samples, _ in _entries(track[kind], "II"))
            _check_count(count, size)
            timed = count if kind == b"stts" else timed
    if table := track.get(b"stsz"):
        bytes_of_each, samples = _unpack("4xII", table)
        if bytes_of_each:
            _check_count(samples * bytes_of_each, size)
        else:
            _check_count(samples * 4, len(table) - 12)
        if timed not in (None, samples):
            raise StructureError(f"times of {samples} samples", f"times of {timed}")


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise ImpossibleError(f"at most {most} bytes for samples or for a table", f"{count}")


def _check_times(track: _Track, timescale: int) -> str:
    """The lengths of a track, of its media, of its samples and of its edits must agree.

    Lengths of 0 are those of fragments, which come later. Returns a warning or nothing.
    """
    media_timescale, duration = _times(track.get(b"mdhd", b""))
    media_timescale = max(1, media_timescale)
    media = duration / media_timescale
    if table := track.get(b"stts"):
        units = sum(samples * each for samples, each in _entries(table, "II"))
        _agree("samples", units / media_timescale, media)
    whole = _times(track.get(b"tkhd", b""), between="I4x")[1] / timescale
    edits = _edits(track.get(b"elst", b""))
    _agree("edits", sum(length for length, _ in edits) / timescale, whole)
    played = 0.0
    for length, begin in edits:  # one that begins at -1 is of nothing
        end = begin / media_timescale + length / timescale
        if begin >= 0 and media and end > media + _SLACK_SECONDS:
            raise StructureError(f"edits of {media:.2f} s of media", f"one up to {end:.2f} s")
        played += length / timescale if begin >= 0 else 0.0
    if not played or media - played < min(0.5, _ENCODER_SAMPLES / media_timescale):
        return ""
    return (
        f"of {media:.2f} s of sound {media - played:.2f} s are left out, as the edits in the file "
        "say; if nobody cut it, it is damaged"
    )


def _agree(what: str, found: float, stated: float) -> None:
    if found and stated and abs(found - stated) > _SLACK_SECONDS:
        raise StructureError(f"{what} of {stated:.2f} s, as its track states", f"{found:.2f} s")


def _times(content: bytes, between: str = "I") -> tuple[int, int]:
    """A number, mostly the time scale, and the duration, behind two dates; of two widths."""
    form = f"20x{between}Q" if content[:1] == b"\1" else f"12x{between}I"
    first, duration = _unpack(form, content)
    return first, duration


def _edits(content: bytes) -> list[tuple[int, ...]]:
    """Duration of each edit, and where it begins in the media."""
    return _entries(content, "Qq4x" if content[:1] == b"\1" else "Ii4x") if content else []


def _entries(content: bytes, form: str) -> list[tuple[int, ...]]:
    """The entries of a table that states their number."""
    (count,) = _unpack("4xI", content)
    size = count * struct.calcsize(">" + form)
    _check_count(size, len(content) - 8)
    return list(struct.iter_unpack(">" + form, content[8 : 8 + size]))


def _unpack(form: str, content: bytes) -> tuple[int, ...]:
    try:
        return struct.unpack_from(">" + form, content)
    except struct.error as error:
        expected = f"boxes of {struct.calcsize('>' + form)} bytes"
        raise StructureError(expected, f"one of {len(content)}") from error
