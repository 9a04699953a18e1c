"""Frames of MPEG audio are counted without decoding, whatever lies between them."""

import io

import pytest

from asr.signal.containers import mpeg


@pytest.mark.parametrize(
    ("header", "frame_bytes", "samples"),
    [
        (0xFFFB9000, 417, 1152),  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz
        (0xFFFB9200, 418, 1152),  # the same with a byte of padding
        (0xFFFDA400, 576, 1152),  # MPEG-1 layer II, 192 kbit/s, 48 kHz
        (0xFFFF1800, 48, 384),  # MPEG-1 layer I, 32 kbit/s, 32 kHz
        (0xFFF31800, 36, 576),  # MPEG-2 layer III, 8 kbit/s, 16 kHz
        (0xFFE31800, 72, 576),  # MPEG-2.5 layer III, 8 kbit/s, 8 kHz
    ],
)
def test_mpeg_frames_are_counted(header: int, frame_bytes: int, samples: int) -> None:
    frame = header.to_bytes(4, "big") + bytes(frame_bytes - 4)
    assert mpeg.walk(io.BytesIO(frame * 5)) == mpeg.Walk(5 * samples, samples, False)
    cut = frame * 5 + frame[:-1]
    assert mpeg.walk(io.BytesIO(cut)) == mpeg.Walk(5 * samples, samples, False)
    for gap in (b"\xff", b"TAG" + bytes(125), b"\xff\xfb\x90" * 99, bytes(70000)):
        broken = bytes(99) + frame * 5 + gap + frame * 3
        assert mpeg.walk(io.BytesIO(broken)) == mpeg.Walk(8 * samples, samples, False)


@pytest.mark.parametrize("data", [b"", bytes(100), b"\xff\xfb\x00\x00" * 500, b"\xff" * 70000])
def test_no_mpeg_frames(data: bytes) -> None:
    assert mpeg.walk(io.BytesIO(data)) is None
