"""Walks through the elements of a Matroska or WebM file, to find damage that a decoder passes over.

A decoder searches for the next cluster behind damage, and takes the end of a truncated file for
that of the recording. Source: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from asr.signal.containers.structure import StructureError

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TRACKS, _TRACK_ENTRY, _TRACK_NUMBER = 0x1654AE6B, 0xAE, 0xD7
_SIMPLE_BLOCK, _BLOCK_GROUP, _BLOCK = 0xA3, 0xA0, 0xA1
_CRC, _VOID = 0xBF, 0xEC
_OF_SEGMENT = {
    *(_CRC, _VOID, _CLUSTER, _TRACKS, 0x114D9B74, 0x1549A966),  # seek head, info
    *(0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),  # cues, attachments, chapters, tags
}
_OF_CLUSTER = {
    *(_CRC, _VOID, _SIMPLE_BLOCK, _BLOCK_GROUP, 0xE7),  # timestamp
    *(0xA7, 0xAB, 0x5854, 0xAF),  # position, previous size, silent tracks, encrypted block
}
_MAX_ID_BYTES, _MAX_SIZE_BYTES = 4, 8
_BLOCK_BYTES = 1 << 16

_Element = tuple[int, int, int | None]
"""Identifier, where the content begins, where it ends; None: behind the last that belongs to it."""


def check(file: BinaryIO) -> str:
    """Raises StructureError unless the file consists of whole elements whose checksums are right.

    What follows the recording is not looked at. Returns no warning.
    """
    size = file.seek(0, os.SEEK_END)
    identifier, _, end = _element(file, 0, size)
    if identifier != _HEADER or end is None:
        raise StructureError("an EBML header", "none that states its size")
    identifier, start, end = _element(file, end, size)
    if identifier != _SEGMENT:
        raise StructureError("a Matroska segment", f"another element at byte {start}")
    position, has_clusters = start, False
    tracks: set[int] = set()
    while position < (size if end is None else end):
        identifier, start, child_end = _element(file, position, size)
        if identifier == _HEADER and end is None:
            raise StructureError("one Matroska recording", f"another at byte {position}")
        if identifier not in _OF_SEGMENT:
            raise StructureError("elements of a Matroska segment", f"another at byte {position}")
        if identifier == _CLUSTER:
            has_clusters = True
            position = _walk_cluster(file, start, child_end, size, tracks)
        elif child_end is None:
            raise StructureError("elements that state their size", f"another at byte {position}")
        else:
            position = child_end
            if identifier == _TRACKS:
                tracks |= _track_numbers(file, start, child_end)
        if child_end is not None:
            _check_sum(file, start, child_end)
    if not has_clusters:
        raise StructureError("a Matroska segment with audio", "none (0 clusters)")
    return ""


def _track_numbers(file: BinaryIO, start: int, end: int) -> set[int]:
    """The numbers by which blocks name the tracks that these elements describe."""
    numbers = set()
    entries = [part for part in _children(file, start, end) if part[0] == _TRACK_ENTRY]
    for _, first, last in entries:
        for identifier, position, stop in _children(file, first, last):
            if identifier == _TRACK_NUMBER:
                file.seek(position)
                numbers.add(int.from_bytes(file.read(stop - position), "big"))
    return numbers


def _children(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    while position < end:
        identifier, start, stop = _element(file, position, end)
        if stop is None:
            raise StructureError("elements that state their size", f"another at byte {position}")
        yield identifier, start, stop
        position = stop


def _walk_cluster(
    file: BinaryIO, position: int, end: int | None, size: int, tracks: set[int]
) -> int:
    """Where a cluster ends; one of unknown size ends before the next element of the segment."""
    while position < (size if end is None else end):
        identifier, start, child_end = _element(file, position, size)
        if end is None and identifier in _OF_SEGMENT - _OF_CLUSTER:
            return position
        if identifier not in _OF_CLUSTER or child_end is None:
            raise StructureError("elements of a Matroska cluster", f"another at byte {position}")
        if end is not None and child_end > end:
            raise StructureError(f"elements up to byte {end}", f"one up to byte {child_end}")
        if identifier == _SIMPLE_BLOCK:
            _check_block(file, start, tracks)
        elif identifier == _BLOCK_GROUP:
            for inner, first, _ in _children(file, start, child_end):
                if inner == _BLOCK:
                    _check_block(file, first, tracks)
        position = child_end
    return position


def _check_block(file: BinaryIO, start: int, tracks: set[int]) -> None:
    """A block of a track that there is not would be passed over, with others behind it."""
    file.seek(start)
    head = file.read(_MAX_SIZE_BYTES)
    number_bytes = _length(head)
    number = int.from_bytes(head[:number_bytes], "big") & ((1 << 7 * number_bytes) - 1)
    if number not in tracks:
        expected = f"blocks of the tracks {', '.join(map(str, sorted(tracks)))}"
        raise StructureError(expected, f"one of track {number} at byte {start}")


def _element(file: BinaryIO, position: int, size: int) -> _Element:
    """The element at a position, which must end within the file."""
    file.seek(position)
    head = file.read(_MAX_ID_BYTES + _MAX_SIZE_BYTES)
    id_bytes = _length(head)
    size_bytes = _length(head[id_bytes:])
    start = position + id_bytes + size_bytes
    if not id_bytes or not size_bytes or start > size:
        raise StructureError(f"a Matroska element at byte {position} of {size}", "none")
    unknown = (1 << 7 * size_bytes) - 1
    length = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & unknown
    if length != unknown and start + length > size:
        expected = f"{length} bytes of an element at byte {position}"
        raise StructureError(expected, f"{size - start} up to the end of the file")
    end = None if length == unknown else start + length
    return int.from_bytes(head[:id_bytes], "big"), start, end


def _length(number: bytes) -> int:
    """Bytes of a number: one, and one for each 0 before its first 1. None at the end of a file."""
    return 9 - number[0].bit_length() if number else 0


def _check_sum(file: BinaryIO, start: int, end: int) -> None:
    """Compare what an element contains with its checksum, if that is the first in it."""
    file.seek(start)
    if end - start < 6 or file.read(2) != bytes((_CRC, 0x84)):
        return
    stated, found, left = int.from_bytes(file.read(4), "little"), 0, end - start - 6
    while left:
        block = file.read(min(left, _BLOCK_BYTES))
        found, left = zlib.crc32(block, found), left - len(block)
    if found != stated:
        raise StructureError("elements with their checksums", f"one at byte {start} whose differs")
