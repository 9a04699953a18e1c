"""Matroska elements written by hand: what is whole, what is damaged, and what is not known."""

import io
import struct
import zlib

import pytest

from asr.signal.containers.matroska import check
from asr.signal.containers.structure import StructureError

_UNKNOWN = bytes.fromhex("01ffffffffffffff")


def element(identifier: str, content: bytes, is_known: bool = True) -> bytes:
    size = struct.pack(">Q", len(content) | 1 << 56) if is_known else _UNKNOWN
    return bytes.fromhex(identifier) + size + content


def with_sum(content: bytes) -> bytes:
    return b"\xbf\x84" + struct.pack("<I", zlib.crc32(content)) + content


BLOCKS = (
    element("e7", b"\0")
    + element("a3", b"\x81\0\0\x80abc")
    + element("a0", element("a1", b"\x81" + bytes(10)))
)
HEADER = element("1a45dfa3", bytes(10))
TRACK = element("ae", element("d7", b"\1"))
INFO = element("1549a966", bytes(30)) + element("1654ae6b", with_sum(TRACK))
CLUSTER = "1f43b675"


def recording(*clusters: bytes, is_known: bool = True) -> bytes:
    return HEADER + element("18538067", INFO + b"".join(clusters), is_known)


KNOWN = recording(element(CLUSTER, BLOCKS), element(CLUSTER, BLOCKS))
STREAM = recording(element(CLUSTER, BLOCKS, False), element(CLUSTER, BLOCKS, False), is_known=False)
SUMMED = recording(element(CLUSTER, with_sum(BLOCKS)))


def is_whole(content: bytes) -> bool:
    try:
        check(io.BytesIO(content))
    except StructureError:
        return False
    return True


def test_what_is_whole() -> None:
    for content in (KNOWN, STREAM, SUMMED, KNOWN + b"a tag"):
        assert is_whole(content)


def test_every_truncation_is_found() -> None:
    assert not any(is_whole(KNOWN[:length]) for length in range(len(KNOWN)))
    # Of a stream nothing states the length: it may end behind any block.
    whole = [length for length in range(len(STREAM)) if is_whole(STREAM[:length])]
    start = STREAM.index(bytes.fromhex(CLUSTER)) + 12
    ends = [start, start + 10, start + 26, start + 55]
    assert set(whole) == {end + shift for shift in (0, 67) for end in ends} - {len(STREAM)}


def test_a_checksum_finds_any_changed_byte() -> None:
    for position in range(SUMMED.index(BLOCKS), len(SUMMED)):
        damaged = bytearray(SUMMED)
        damaged[position] ^= 0x41
        assert not is_whole(bytes(damaged))


@pytest.mark.parametrize(
    "content",
    [
        HEADER,
        HEADER + element("18538067", INFO),
        HEADER + element("1549a966", b""),
        KNOWN[len(HEADER) :],
        STREAM + STREAM,
        recording(element("1f43b676", BLOCKS), element(CLUSTER, BLOCKS)),
        recording(element(CLUSTER, element("a4", b"abc"))),
        recording(element(CLUSTER, element("a3", b"\x82abc"))),
        recording(element(CLUSTER, element("a0", element("a1", b"\x80abc")))),
        recording(element(CLUSTER, element("a3", b"abc", is_known=False))),
        recording(element("1549a966", b"", is_known=False)),
        recording(element(CLUSTER, BLOCKS[:-3]), element(CLUSTER, BLOCKS)),
    ],
)
def test_what_is_not_whole(content: bytes) -> None:
    assert not is_whole(content)
