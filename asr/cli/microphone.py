"""Sound from a microphone, by miniaudio."""

import importlib
import logging
import queue
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr.errors import AsrError, AudioError
from asr.signal.audio_file import log_once

_BLOCK_MILLISECONDS = 100
_SILENT_SECONDS = 5.0
"""A device that gives nothing for so long has gone."""
_MANY_BLOCKS = 5000 // _BLOCK_MILLISECONDS
_MOST_BLOCKS = 6000
"""Ten minutes that wait to be transcribed."""


def listen_to_microphone(sample_rate: int) -> Iterator[Tensor]:
    """Blocks `(S,)` of what the default microphone records, until it is given up.

    Raises AsrError without the package miniaudio, AudioError where there is no microphone or it
    gives nothing any more.
    """
    try:
        miniaudio: Any = importlib.import_module("miniaudio")
    except ImportError as error:
        raise AsrError(
            f"expected the package miniaudio, which records, found none ({error}); install it by "
            "`pip install 'ctc-asr[listen]'`, or give --from or --raw"
        ) from error
    recorded: queue.Queue[bytes] = queue.Queue(_MOST_BLOCKS)
    sink = _sink(recorded)
    next(sink)
    try:
        device = miniaudio.CaptureDevice(
            input_format=miniaudio.SampleFormat.FLOAT32,
            nchannels=1,
            sample_rate=sample_rate,
            buffersize_msec=_BLOCK_MILLISECONDS,
        )
        if device.backend == "Null":
            raise AudioError(_NO_MICROPHONE.format("none"))
        with device:
            device.start(sink)
            while True:
                yield _block(recorded)
    except miniaudio.MiniaudioError as error:
        raise AudioError(_NO_MICROPHONE.format(error.args[0])) from error


_NO_MICROPHONE = (
    "expected a microphone that can be recorded from, found {}; connect one, allow this program to "
    "use it, or give --from or --raw"
)


def _sink(recorded: "queue.Queue[bytes]") -> Generator[None, bytes, None]:
    """Takes what the device's own thread records."""
    while True:
        block = yield
        try:
            recorded.put_nowait(bytes(block))
        except queue.Full:  # the device then seems to have gone
            return


def _block(recorded: "queue.Queue[bytes]") -> Tensor:
    """What was recorded since the last call, at least something."""
    try:
        blocks = [recorded.get(timeout=_SILENT_SECONDS)]
    except queue.Empty as error:
        raise AudioError(
            f"the microphone has given nothing for {_SILENT_SECONDS:g} s: it is gone, or the "
            "machine is too slow for this model; connect it again, or choose faster options "
            "(--beam_size 1)"
        ) from error
    while not recorded.empty():
        blocks.append(recorded.get_nowait())
    if len(blocks) > _MANY_BLOCKS:
        log_once(
            "results are more than 5 s late: the machine is too slow for this model; choose faster "
            "options (--beam_size 1, no --right_context_seconds)",
            logging.WARNING,
        )
    return torch.from_numpy(np.frombuffer(b"".join(blocks), np.float32).copy())
