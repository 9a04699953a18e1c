"""Where the headers of uncompressed formats say that the audio begins, and how long it is."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MAX_CHUNKS = 4096
"""More chunks than any real file has; a damaged file may consist of millions of empty ones."""

_FRAME_TAGS = (1, 3, 6, 7, 0xFFFE)
"""WAV's codings in which each sample has as many bytes: PCM, floats, A-law, µ-law, by extension."""

WAVE64_CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""The last bytes of the names of Wave64's chunks."""


@dataclass(frozen=True)
class Payload:
    """Uncompressed (or fixed-rate) audio as a header declares it; None: the length is unknown."""

    start: int
    declared_bytes: int | None
    unit_bytes: int
    unit: str = "frames"
    chunk_order: str = ""
    """Byte order of the chunks that may follow; empty: the format has none."""


class HeaderError(Exception):
    """What a header was expected to state."""


def chunks(file: BinaryIO, order: str, position: int = 12) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and declared length of each chunk of a RIFF or IFF file.

    `position` is where the first begins.
    """
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return
        name, length = struct.unpack(order + "4sI", header)
        yield name, position + 8, length
        position += 8 + length + length % 2  # chunks are padded to an even length


def _parse_riff(file: BinaryIO) -> Payload | None:
    """WAV (Microsoft RIFF, big-endian RIFX) and RF64 (EBU Tech 3306)."""
    order = ">" if file.read(4) == b"RIFX" else "<"
    tag, align, long_bytes = 1, 1, None
    for name, start, length in chunks(file, order):
        if name == b"fmt ":
            tag, _, _, _, align = struct.unpack(order + "HHIIH", file.read(14))
        elif name == b"ds64":
            long_bytes = struct.unpack(order + "8xQ", file.read(16))[0]
        elif name == b"data":
            align = max(1, align)
            declared = long_bytes if length == 0xFFFFFFFF else length
            unit = "frames" if tag in _FRAME_TAGS else "compressed blocks"
            return Payload(start, declared, align, unit, order)
    return None


def _parse_aiff(file: BinaryIO) -> Payload | None:
    """AIFF and AIFF-C (Apple, 1989 and 1991)."""
    file.seek(8)
    compressed = file.read(4) == b"AIFC"
    declared_by_count, unit_bytes = 0, 1
    for name, start, length in chunks(file, ">"):
        if name == b"COMM":
            channels, frames, bits = struct.unpack(">HIH", file.read(8))
            if not compressed:
                unit_bytes = max(1, channels * ((bits + 7) // 8))
                declared_by_count = frames * unit_bytes
        elif name == b"SSND":
            declared = max(length - 8, declared_by_count)
            unit = "bytes" if compressed else "frames"
            return Payload(start + 8, declared, unit_bytes, unit, ">")
    return None


_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def _parse_au(file: BinaryIO) -> Payload | None:
    """Sun/NeXT audio."""
    order = ">" if file.read(4) == b".snd" else "<"
    start, declared, encoding, _, channels = struct.unpack(order + "5I", file.read(20))
    sample_bytes = _AU_SAMPLE_BYTES.get(encoding)
    unit_bytes, unit = (sample_bytes * channels, "frames") if sample_bytes else (1, "bytes")
    known = None if declared == 0xFFFFFFFF else declared
    return Payload(start, known, max(1, unit_bytes), unit)


def _parse_nist(file: BinaryIO) -> Payload | None:
    """NIST SPHERE: a header of text lines `name -type value`."""
    lines = [line.split(None, 2) for line in file.read(1024).splitlines()]
    fields = {line[0]: line[2] for line in lines if len(line) == 3 and line[1] == b"-i"}
    try:
        start = int(lines[1][0])
        unit_bytes = int(fields[b"channel_count"]) * int(fields.get(b"sample_n_bytes", b"1"))
        count = int(fields[b"sample_count"]) if b"sample_count" in fields else None
    except (IndexError, KeyError, ValueError) as error:
        raise HeaderError("a NIST SPHERE header that states its size and the channels") from error
    return Payload(start, None if count is None else count * unit_bytes, max(1, unit_bytes))


def _parse_wave64(file: BinaryIO) -> Payload | None:
    """Sony Wave64: as RIFF, with 16 bytes for names and 8 for lengths, which include both.

    Chunks begin at multiples of 8 bytes.
    """
    tag, align, position = 1, 1, 40
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little", signed=True) - 24
        if len(header) < 24 or length < 0:
            return None
        if header.startswith(b"fmt "):
            tag, _, _, _, align = struct.unpack("<HHIIH", file.read(14))
        elif header.startswith(b"data"):
            unit = "frames" if tag in _FRAME_TAGS else "compressed blocks"
            return Payload(position + 24, length, max(1, align), unit)
        position = min(position + 24 + length + -length % 8, 1 << 62)
    return None


PARSERS = {
    "WAV": _parse_riff,
    "WAVEX": _parse_riff,
    "RF64": _parse_riff,
    "W64": _parse_wave64,
    "AIFF": _parse_aiff,
    "AU": _parse_au,
    "NIST": _parse_nist,
}
