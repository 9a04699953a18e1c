"""AMR frames written by hand."""

import io

import pytest

from asr.signal.containers.amr import check
from asr.signal.containers.structure import StructureError

NARROW = b"#!AMR\n" + (b"\x3c" + bytes(31)) * 10 + b"\x7c" + b"\x44" + bytes(5)
WIDE = b"#!AMR-WB\n" + (b"\x44" + bytes(60)) * 10 + b"\x7c" + b"\x4c" + bytes(5)


@pytest.mark.parametrize("content", [NARROW, WIDE])
def test_whole_frames(content: bytes) -> None:
    """Of 12.2 and 23.85 kbit/s, one without data, and one of comfort noise."""
    check(io.BytesIO(content))
    with pytest.raises(
        StructureError, match=r"found one that is cut off at byte \d+, after 0.22 s"
    ):
        check(io.BytesIO(content[:-1]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NARROW.replace(b"\x3c", b"\xbc"), "found no header of one at byte 6, after 0.00 s"),
        (NARROW + b"\x4c", "found no header of one at byte 333, after 0.24 s"),
        (b"#!AMR_MC1.0\n" + bytes(40), "AMR audio of one channel"),
    ],
)
def test_what_is_no_frame(content: bytes, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        check(io.BytesIO(content))
