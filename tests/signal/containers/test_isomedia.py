"""MP4 boxes written by hand: what is whole, what is not, and what states more than there can be."""

import io
import struct

import pytest

from asr.signal.containers.isomedia import check
from asr.signal.containers.structure import ImpossibleError, StructureError


def box(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def numbers(*values: int) -> bytes:
    """Version and flags of 0, and 32-bit numbers."""
    return struct.pack(f">I{len(values)}I", 0, *values)


def movie(
    samples: int = 50,
    timed: int = 50,
    edit: tuple[int, int] = (1000, 0),
    track_seconds: int = 1000,
    media: int = 8000,
    sample_bytes: int = 0,
    handler: bytes = b"soun",
    extra: bytes = b"",
    timescale: int = 1000,
) -> bytes:
    """A second of sound at 8 kHz, in 50 packets, as a file of 1000 units a second states it."""
    sizes = struct.pack(f">{samples}I", *range(samples)) if samples < 1000 else b""
    tables = [
        box("stts", numbers(1, timed, 160)),
        box("stsz", numbers(sample_bytes, samples), b"" if sample_bytes else sizes),
    ]
    track = [
        box("tkhd", numbers(0, 0, 1, 0, track_seconds)),
        box("edts", box("elst", numbers(1, *edit, 1 << 16))),
        box(
            "mdia",
            box("mdhd", numbers(0, 0, 8000, media)),
            box("hdlr", numbers(0), handler),
            box("minf", box("stbl", *tables)),
        ),
    ]
    moov = box("moov", box("mvhd", numbers(0, 0, timescale, 1000)), box("trak", *track))
    return box("ftyp", b"M4A ") + moov + extra + box("mdat", bytes(1000))


def problem(content: bytes) -> str:
    try:
        check(io.BytesIO(content))
    except StructureError as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize(
    "content",
    [
        movie(),
        movie(extra=box("free", bytes(10))),
        movie(extra=struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)),
        movie() + bytes(100),
        movie() + struct.pack(">I4s", 0, b"free") + bytes(30),
        movie(edit=(1000, 2**32 - 1)),
        movie(track_seconds=0),
        movie(sample_bytes=2),
        # What pictures state is not compared.
        movie(handler=b"vide", media=1),
    ],
)
def test_what_is_whole(content: bytes) -> None:
    assert not problem(content)


def test_sound_that_is_left_out_is_a_warning() -> None:
    assert check(io.BytesIO(movie())) == ""
    assert check(io.BytesIO(movie(edit=(950, 200)))) == ""  # what an encoder adds
    for content in (movie(edit=(400, 400), track_seconds=400), movie(timescale=2000)):
        assert check(io.BytesIO(content)).startswith("of 1.00 s of sound 0.")


def test_every_truncation_is_found() -> None:
    content = movie()
    assert all(problem(content[:length]) for length in range(len(content)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (movie(samples=40), "expected times of 40 samples, found times of 50"),
        (movie(media=4000), "expected samples of 0.50 s, as its track states, found 1.00 s"),
        (movie(edit=(500, 0)), "expected edits of 1.00 s, as its track states, found 0.50 s"),
        (movie(edit=(1000, 4000)), "expected edits of 1.00 s of media, found one up to 1.50 s"),
        (movie(extra=box("moof", box("traf", b"abc"))), "boxes of at least 8 bytes"),
        (box("ftyp") + box("mdat", bytes(100)), "expected a moov box"),
        (movie()[:-1008], "expected an mdat box"),
        (
            box("moov", box("mvhd", b"\0\0")) + box("mdat"),
            "expected boxes of 20 bytes, found one of 2",
        ),
    ],
)
def test_what_does_not_agree(content: bytes, message: str) -> None:
    assert message in problem(content)


@pytest.mark.parametrize(
    "content",
    [
        movie(timed=2**32 - 1),
        movie(samples=2**31, sample_bytes=0),
        movie(samples=2**31, sample_bytes=1),
        movie(extra=box("moof", box("traf", box("trun", numbers(2**31))))),
        movie(extra=box("moov", box("trak", box("ctts", numbers(2**29))))),
    ],
)
def test_more_samples_than_bytes(content: bytes) -> None:
    assert problem(content).startswith(ImpossibleError.__name__)
