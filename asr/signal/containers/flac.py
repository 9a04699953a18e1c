"""The checksum of a FLAC file's audio, as its header states it.

A decoder fills the place of a damaged or missing frame with silence and goes on, and believes a
header that states too few samples. The MD5 of all samples tells. Source: RFC 9639, section 8.2.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_WHOLE_BYTES = (8, 16, 24)
"""Bits per sample for which decoded samples give back what was summed."""


@dataclass
class AudioDigest:
    """Sums samples up as an encoder does."""

    bits: int
    expected: bytes
    _md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def update(self, block: npt.NDArray[np.float32]) -> None:
        """Add decoded samples `(S, channels)`, of full scale 1."""
        samples = (block.astype(np.float64) * (1 << (self.bits - 1))).astype("<i4")
        bytes_of_each = samples.reshape(-1, 1).view(np.uint8)
        self._md5.update(bytes_of_each[:, : self.bits // 8].tobytes())

    @property
    def agrees(self) -> bool:
        """Whether what was added is all that was encoded."""
        return bool(self._md5.digest() == self.expected)


def stated_digest(file: BinaryIO) -> AudioDigest | None:
    """What the header of a FLAC file states; None where it states none, as streams do."""
    file.seek(0)
    head = file.read(42)
    # STREAMINFO is always the first block: 4 bytes of heading behind the mark, then 34.
    if len(head) < 42 or not head.startswith(b"fLaC") or head[4] & 0x7F:
        return None
    bits = ((int.from_bytes(head[20:22], "big") >> 4) & 0x1F) + 1
    expected = head[26:42]
    if bits not in _WHOLE_BYTES or not any(expected):
        return None
    return AudioDigest(bits, expected)
