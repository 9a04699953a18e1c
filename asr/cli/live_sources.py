"""What `asr listen` listens to: blocks of samples from a file or from standard input."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from asr.errors import AudioError
from asr.inference.recording import recording_blocks
from asr.signal import audio
from asr.signal.audio_file import RawFormat

_BLOCK_SECONDS = 0.1
_MOST_BYTES = 1 << 16
_STDIN = Path("standard input")


def blocks_of_file(
    path: str, sample_rate: int, raw: RawFormat | None, realtime: bool
) -> Iterator[Tensor]:
    """The samples `(S,)` of a file at a rate; with `realtime` as slowly as they were recorded.

    Raises AudioError as `recording_blocks` does.
    """
    started, seconds = time.monotonic(), 0.0
    for long_block in recording_blocks(path, sample_rate, raw=raw):
        for block in torch.split(long_block, max(1, round(_BLOCK_SECONDS * sample_rate))):
            seconds += len(block) / sample_rate
            if realtime:
                time.sleep(max(0.0, started + seconds - time.monotonic()))
            yield block


def blocks_of_stdin(raw: RawFormat) -> Iterator[Tensor]:
    """Headerless samples `(S,)` from standard input, at their own rate, as soon as they are there.

    Raises AudioError where it ends within a sample, and on samples that are no sound.
    """
    frame_bytes = raw.frame_bytes
    held, total = b"", 0
    while block := _read():
        held += block
        total += len(block)
        count = len(held) // frame_bytes * frame_bytes
        whole, held = held[:count], held[count:]
        if whole:
            yield from audio.blocks(_STDIN, raw.sample_rate, raw, content=whole)
    if held:
        raise AudioError(
            f"{_STDIN}: expected whole frames of {frame_bytes} bytes ({raw.channels} x "
            f"{raw.subtype}), found {total} bytes, {len(held)} too many; it ends within a sample, "
            "or has another raw format"
        )


def _read() -> bytes:
    """What is there, or nothing at the end."""
    try:
        return os.read(0, _MOST_BYTES)
    except OSError as error:
        raise AudioError(f"{_STDIN}: cannot read it ({error.strerror}); pipe samples in") from error
