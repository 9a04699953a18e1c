"""Walks through the pages of an Ogg file, to find damage that a decoder passes over.

A decoder drops a damaged or missing page and goes on with the next: the recording is shorter then.
Every page has a checksum and a number, and states how many samples have ended with it (its granule
position). Source: RFC 3533.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from asr.signal.containers.structure import StructureError

_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4
"""Bits of a page's flags: it begins or ends its stream."""
_NONE_ENDS = -1
"""The granule position of a page on which no packet ends."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class Walk:
    """What was found on the way."""

    streams: int = 0
    """Streams one after the other; what is multiplexed with the first is not counted."""
    ended: bool = False
    """Whether the first stream has a page that ends it."""


def checksum(page: bytes) -> int:
    """The CRC of a page whose checksum field is 0: polynomial 04C11DB7, highest bit first."""
    # zlib has the same polynomial with the lowest bit first, and inverts before and after.
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def walk(file: BinaryIO) -> Walk:
    """Read all pages from the position 0 on. Raises StructureError at the first that is not sound.

    What follows the end of the stream without being a page, such as a tag, is passed over.
    """
    file.seek(0)
    found, position = Walk(), 0
    serial: int | None = None
    sequences: dict[int, int] = {}
    granule, in_body = 0, False
    while header := file.read(_HEADER.size):
        where = f"at byte {position}"
        if len(header) < _HEADER.size or not header.startswith(b"OggS\0"):
            if found.ended or len(header) < _HEADER.size:
                break
            raise _damaged(f"no page {where}, where one must begin")
        _, _, flags, page_granule, page_serial, sequence, stated, segments = _HEADER.unpack(header)
        lengths = file.read(segments)
        content = file.read(sum(lengths))
        if len(lengths) < segments or len(content) < sum(lengths):
            found.ended = False
            break
        if checksum(header[:22] + bytes(4) + header[26:] + lengths + content) != stated:
            raise _damaged(f"a page {where} whose checksum differs")
        position += len(header) + segments + len(content)
        if serial is None:
            serial, found.streams = page_serial, 1
        elif flags & _FIRST and in_body:
            found.streams += 1
        in_body = in_body or not flags & _FIRST
        if sequence != sequences.get(page_serial, -1 if flags & _FIRST else sequence - 1) + 1:
            raise _damaged(f"a gap before the page {where}, number {sequence} of its stream")
        sequences[page_serial] = sequence
        if page_serial != serial or found.streams > 1:
            continue
        if page_granule != _NONE_ENDS:
            if page_granule < granule:
                raise _damaged(f"a page {where} that ends earlier than the one before it")
            granule = page_granule
        found.ended = found.ended or bool(flags & _LAST)
    return found


def _damaged(found: str) -> StructureError:
    return StructureError("Ogg pages without damage or a gap", found)
