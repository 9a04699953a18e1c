"""Ogg files: every damaged, missing or misplaced page is found, and sound files are read."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.signal.audio import read
from asr.signal.containers.ogg import checksum, walk
from asr.signal.containers.structure import StructureError
from tests.signal.test_audio_file import encode

SUBTYPES = ["VORBIS", "OPUS"]


def pages(content: bytes) -> list[bytes]:
    """The pages of a sound file."""
    found, position = [], 0
    while position < len(content):
        segments = content[position + 26]
        lengths = content[position + 27 : position + 27 + segments]
        end = position + 27 + segments + sum(lengths)
        found.append(content[position:end])
        position = end
    return found


def long_file(subtype: str) -> bytes:
    return encode("OGG", subtype, 160_000)


def sealed(page: bytes) -> bytes:
    """A page with the checksum that belongs to it."""
    blank = page[:22] + bytes(4) + page[26:]
    return page[:22] + struct.pack("<I", checksum(blank)) + page[26:]


@given(st.binary(max_size=40))
def test_the_checksum_is_a_division_of_polynomials(data: bytes) -> None:
    remainder = 0
    for byte in data:
        for bit in range(7, -1, -1):
            carry = (remainder >> 31) ^ (byte >> bit & 1)
            remainder = (remainder << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if carry else 0)
    assert checksum(data) == remainder


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_sound_file_is_walked_to_its_end(tmp_path: Path, subtype: str) -> None:
    content = long_file(subtype)
    assert len(pages(content)) > 5
    for tail in (b"", b"TAG" + bytes(125), b"junk"):
        found = walk(io.BytesIO(content + tail))
        assert (found.streams, found.ended) == (1, True)
        (tmp_path / "a.ogg").write_bytes(content + tail)
        assert len(read(tmp_path / "a.ogg")[0]) == 160_000


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_any_changed_byte_is_found(subtype: str) -> None:
    content = long_file(subtype)
    for position in np.random.default_rng(0).integers(len(content), size=300).tolist():
        damaged = bytearray(content)
        damaged[position] ^= 0x41
        try:
            sound = walk(io.BytesIO(bytes(damaged))).ended
        except StructureError:
            sound = False
        assert not sound, position


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_missing_page_is_found(refused: Callable[[bytes, str], None], subtype: str) -> None:
    whole = pages(long_file(subtype))
    for missing in range(len(whole)):
        rest = b"".join(whole[:missing] + whole[missing + 1 :])
        refused(rest, "a gap before|no end in the file|something else")


def test_pages_in_another_order_or_twice(refused: Callable[[bytes, str], None]) -> None:
    first, second, *rest = pages(long_file("OPUS"))
    refused(b"".join([first, second, rest[1], rest[0], *rest[2:]]), "a gap before the page")
    refused(b"".join([first, second, rest[0], *rest]), "a gap before the page")


def test_a_page_that_ends_before_the_one_before_it(refused: Callable[[bytes, str], None]) -> None:
    whole = pages(long_file("OPUS"))
    whole[4] = sealed(whole[4][:6] + struct.pack("<q", 1) + whole[4][14:])
    refused(b"".join(whole), "ends earlier than the one before it")
