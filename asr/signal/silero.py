"""Whether there is a voice in a stretch of sound, by silero-vad's model.

It tells speech from tones and bursts of noise, which stand out as speech does; but in strong noise
it finds less speech than `asr.signal.vad`, and takes thirty times as long. So it is asked about the
stretches that were found, and only up to the first voice.
"""

import contextlib
import importlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from asr.errors import ConfigError
from asr.signal.resampling import resample_stream

_RATE = 16_000
_FRAME = 512
"""Samples for each of which the model gives a probability."""
_LEAST_PROBABILITY = 0.5


_idle: deque["VoiceCheck"] = deque()


@contextlib.contextmanager
def borrowed_check() -> Iterator["VoiceCheck"]:
    """A `VoiceCheck` that nobody else uses meanwhile; loaded once for as many as are in use."""
    try:
        check = _idle.pop()
    except IndexError:
        check = VoiceCheck()
    try:
        yield check
    finally:
        _idle.append(check)


class VoiceCheck:
    """silero-vad's model (Silero Team, 2021), which its package carries.

    It keeps a state while it listens: each thread needs one of its own.
    Raises ConfigError if the package is not installed.
    """

    def __init__(self) -> None:
        with _same_threads():
            try:
                package: Any = importlib.import_module("silero_vad")
            except ImportError as error:
                raise ConfigError(
                    "vad: expected the package silero-vad, which tells voices from other sounds, "
                    f"found none ({error}); install it by `pip install 'ctc-asr[vad]'`"
                ) from error
            self._model: Any = package.load_silero_vad()

    @torch.inference_mode()
    def has_voice(self, waveform: Tensor, sample_rate: int) -> bool:
        """Whether a voice is heard anywhere in samples `(S,)`, floats in [-1, 1]."""
        if not len(waveform):
            return False
        self._model.reset_states()
        samples = torch.cat(list(resample_stream([waveform], sample_rate, _RATE)))
        whole = torch.nn.functional.pad(samples, (0, -len(samples) % _FRAME))
        frames = whole.view(-1, _FRAME)
        return any(float(self._model(frame, _RATE)) > _LEAST_PROBABILITY for frame in frames)


@contextlib.contextmanager
def _same_threads() -> Iterator[None]:
    """Undo what importing silero_vad does to the number of threads that torch computes with."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
