"""Counts the frames of an MPEG-1/2/2.5 audio stream (ISO 11172-3, 13818-3) without decoding it.

An MP3 file has no header of its own. Its length is known only from a tag, which may be missing or
belong to a part of the file, or by stepping from frame to frame.
"""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

_LAYER_III, _LAYER_II, _LAYER_I = 1, 2, 3
_VERSION_1 = 3
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS = {  # (MPEG-1?, layer) → bit rates in kbit/s; index 0 is "free format"
    (True, _LAYER_I): tuple(range(0, 449, 32)),
    (True, _LAYER_II): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_III): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_I): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_II): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_III): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAME_STREAM = 0xFFFE0C00  # bits that all frames of a stream share: sync, version, layer, rate
# 11 ones, and a bit rate that is neither "free" (0) nor invalid (15).
_HEADER = re.compile(rb"\xff(?=[\xe2-\xff][\x10-\xef])")
_SEARCH_BYTES = 65536
_TAG_BYTES = 64
"""What a frame must have room for to hold a length tag: a header, side information, the tag."""


@dataclass(frozen=True)
class Walk:
    """Complete frames of a stream: samples in total (without the tag's frame) and per frame."""

    samples: int
    samples_per_frame: int
    tagged: bool
    """Whether the first frame is a Xing or Info tag that states the length, rather than audio."""


def walk(file: BinaryIO) -> Walk | None:
    """Step through a file, frame by frame. None if no frame with a stated size is found."""
    position = _sync(file, _skip_id3(file), None)
    if position is None:
        return None
    first = _word(file, position)
    length, samples_per_frame = _measure(first)
    file.seek(position)
    tagged = _states_length(file.read(length))
    count = -1 if tagged else 0
    size = file.seek(0, 2)
    while position is not None and position < size:
        word = _word(file, position)
        if (word ^ first) & _SAME_STREAM or not _measure(word)[0]:
            # Something between frames, such as a tag in a joined file. Decoders resynchronise and
            # read on, so the rest counts.
            position = _sync(file, position + 1, first)
            continue
        position += _measure(word)[0]
        count += position <= size  # a frame that is cut off at the end does not count
    return Walk(count * samples_per_frame, samples_per_frame, tagged)


def with_length(file: BinaryIO) -> bytes | None:
    """The stream with a tag that states its length, where it has none; None where it has one.

    Without a tag, or with one of an encoder that could not go back to fill it in, a decoder
    estimates the length from the bit rate of the first frame, and stops reading there.
    """
    start = _sync(file, _skip_id3(file), None)
    if start is None:
        return None
    word = _word(file, start)
    file.seek(start)
    first_frame = file.read(_measure(word)[0])
    # Most files have one: they are neither walked through nor read here.
    if _states_length(first_frame) or (found := walk(file)) is None:
        return None
    file.seek(start)
    content = file.read()
    frames = found.samples // found.samples_per_frame
    if re.search(rb"Xing|Info", first_frame[:_TAG_BYTES]):  # without a count
        content, frames = content[len(first_frame) :], frames - 1
    tag = _length_tag(word, frames)
    return None if tag is None else tag + content


def _length_tag(word: int, frames: int) -> bytes | None:
    """A silent frame of the stream that this header is of, with a Xing tag; None but for layer III.

    The tag stands behind the side information, whose size depends on version and channels.
    """
    version, layer, is_mono = word >> 19 & 3, word >> 17 & 3, (word >> 6 & 3) == 3
    if layer != _LAYER_III:
        return None
    side_bytes = (17 if is_mono else 32) if version == _VERSION_1 else (9 if is_mono else 17)
    for kbits_index in range(1, 15):
        # No checksum of the header (bit 16), no padding (bit 9).
        header = (word & ~(15 << 12) & ~(1 << 9)) | kbits_index << 12 | 1 << 16
        length = _measure(header)[0]
        if length >= _TAG_BYTES:
            tag = struct.pack(">I", header) + bytes(side_bytes)
            return (tag + struct.pack(">4sII", b"Xing", 1, frames)).ljust(length, b"\0")
    return None


def _states_length(frame: bytes) -> bool:
    """Whether a first frame has a Xing or Info tag with a number of frames.

    Four bytes of flags follow the name; bit 0 says that the number of frames comes next.
    """
    tag = re.search(
        rb"(?:Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f](....)", frame[:64], re.DOTALL
    )
    return tag is not None and any(tag[1])


def _measure(word: int) -> tuple[int, int]:
    """Length in bytes and in samples of the frame with this header; 0 bytes if it is not valid."""
    version, layer = word >> 19 & 3, word >> 17 & 3
    kbits_index, rate_index = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer == 0 or kbits_index == 15 or rate_index == 3:
        return 0, 0
    bits_per_second = 1000 * _KBITS[version == _VERSION_1, layer][kbits_index]
    rate, padding = _RATES[version][rate_index], word >> 9 & 1
    if bits_per_second == 0:
        return 0, 0
    if layer == _LAYER_I:
        return (12 * bits_per_second // rate + padding) * 4, 384
    samples = 576 if layer == _LAYER_III and version != _VERSION_1 else 1152
    return samples // 8 * bits_per_second // rate + padding, samples


def _sync(file: BinaryIO, position: int, reference: int | None) -> int | None:
    """Position of the next frame header that is followed by another of the same stream.

    Eleven set bits are common in other data as well, so one header alone proves nothing. With
    `reference`, a header, the frame must be of the same stream as that one.
    """
    while True:
        file.seek(position)
        data = file.read(_SEARCH_BYTES)
        for candidate in _HEADER.finditer(data):
            start = position + candidate.start()
            word = _word(file, start)
            length = _measure(word)[0]
            same_stream = reference is None or not (word ^ reference) & _SAME_STREAM
            if not (length and same_stream):
                continue
            if not (_word(file, start + length) ^ word) & _SAME_STREAM:
                return start
        if len(data) < _SEARCH_BYTES:
            return None
        position += len(data) - 2  # a header may begin at the end of this piece


def _word(file: BinaryIO, position: int) -> int:
    """The four bytes of a frame header, big-endian; 0, which is no header, at the end."""
    file.seek(position)
    data = file.read(4)
    return int(struct.unpack(">I", data)[0]) if len(data) == 4 else 0


def _skip_id3(file: BinaryIO) -> int:
    """End of an ID3v2 tag at the start of the file; its size is stored as seven bits per byte."""
    file.seek(0)
    header = file.read(10)
    if len(header) < 10 or header[:3] != b"ID3":
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    return 10 + size + (10 if header[5] & 0x10 else 0)
