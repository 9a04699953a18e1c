"""Steps through the frames of an AMR or AMR-WB file, which has no other structure.

Such a file states no length; a decoder drops what is left of a frame that is cut off, and stops at
the first header that is damaged. Source: RFC 4867, section 5.
"""

from typing import BinaryIO

from asr.signal.containers.structure import StructureError

_MAGIC = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, *[0] * 6, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, *[0] * 4, 1, 1),
}
"""How a file begins → bytes of a frame of each type, with its header; 0: there is no such type."""
_PADDING = 0b10000011
"""Bits of a frame's header that are 0."""
_FRAME_SECONDS = 0.02


def check(file: BinaryIO) -> str:
    """Raises StructureError unless the file consists of whole frames; returns no warning."""
    file.seek(0)
    magic = file.readline(16)
    if magic not in _MAGIC:
        raise StructureError("AMR audio of one channel", f"a file that begins with {magic!r}")
    content, position, count = file.read(), 0, 0
    while position < len(content):
        header = content[position]
        length = 0 if header & _PADDING else _MAGIC[magic][header >> 3]
        where = f"at byte {len(magic) + position}, after {count * _FRAME_SECONDS:.2f} s"
        if not length:
            raise StructureError("AMR frames one after the other", f"no header of one {where}")
        position, count = position + length, count + 1
        if position > len(content):
            raise StructureError("whole AMR frames", f"one that is cut off {where}")
    return ""
