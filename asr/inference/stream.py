"""A live stream put to a recogniser: samples in, partial and final results out.

Shapes: S samples.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from asr.errors import AudioError, ConfigError
from asr.inference.events import Final, Partial, StreamEvent
from asr.inference.recording import checked_samples
from asr.printing import shown
from asr.signal.audio_file import wrong_rate
from asr.signal.resampling import Resampler

_LEAST_SECONDS, _LONGEST_SECONDS = 0.1, 10.0
"""Of steps, and of the right context of an encoder that also reads backwards."""


class StreamTranscriber(Protocol):
    """What a stream is made of: `PhraseTranscriber` and `ChunkTranscriber`."""

    def feed(self, block: Tensor) -> list[Final]: ...
    def finish(self) -> list[Final]: ...
    def partial(self) -> Partial | None: ...


class Stream:
    """Transcribes audio while it arrives, in flat memory however long it lasts.

    `Recognizer.stream` makes it, and says how late results are. The events of a call are in the
    order in which they are to be shown. Threads may not share a stream; each may have its own.
    """

    def __init__(self, begin: Callable[[float], StreamTranscriber], to_rate: int) -> None:
        """`begin` makes what transcribes audio at `to_rate` Hz from a time of the stream on."""
        self._begin, self._to_rate = begin, to_rate
        self._transcriber = begin(0.0)
        self._sample_rate: int | None = None
        self._resampler: Resampler | None = None
        self._samples = 0
        self._shown = ""
        self._is_finished = False

    @property
    def seconds(self) -> float:
        """How much audio was fed."""
        return self._samples / self._sample_rate if self._sample_rate else 0.0

    def feed(self, samples: np.ndarray[Any, Any] | Tensor, sample_rate: int) -> list[StreamEvent]:
        """What is known with the next samples `(S,)`, floats in [-1, 1] at `sample_rate` Hz.

        Any number of samples may be fed at a time, also none. Raises AudioError, and goes on from
        where it was, on samples of another shape or type, NaN, a rate other than before, and when
        the stream has been finished.
        """
        self._check_open()
        if wrong := wrong_rate(sample_rate):
            raise AudioError(f"samples: {wrong}")
        if self._sample_rate not in (None, sample_rate):
            raise AudioError(
                f"samples: expected {self._sample_rate} Hz as before, found {sample_rate}; "
                "resample them, or start another stream"
            )
        is_empty = getattr(samples, "shape", None) == (0,)
        waveform = None if is_empty else checked_samples(samples)
        if self._resampler is None:
            self._sample_rate = int(sample_rate)
            self._resampler = Resampler(self._sample_rate, self._to_rate)
        if waveform is None:
            return []
        self._samples += len(waveform)
        finals = self._transcriber.feed(self._resampler.feed(waveform))
        return self._events(finals, self._transcriber.partial())

    def flush(self) -> list[StreamEvent]:
        """End the current phrase: what was fed so far becomes final.

        It is as if the recording had ended and another one began: what is known of the background
        noise is forgotten, too.
        """
        self._check_open()
        finals = self._end()
        self._transcriber = self._begin(self.seconds)
        if self._sample_rate:
            self._resampler = Resampler(self._sample_rate, self._to_rate)
        return self._events(finals, None)

    def finish(self) -> list[StreamEvent]:
        """What is left, when the stream has ended. Raises AudioError when called again."""
        self._check_open()
        self._is_finished = True
        return self._events(self._end(), None)

    def _check_open(self) -> None:
        if self._is_finished:
            raise AudioError("the stream has been finished; start another one")

    def _end(self) -> list[Final]:
        if self._resampler is None:
            return []
        finals = self._transcriber.feed(self._resampler.finish())
        return [*finals, *self._transcriber.finish()]

    def _events(self, finals: list[Final], partial: Partial | None) -> list[StreamEvent]:
        """The final results, and the partial one if it has changed."""
        if finals:
            self._shown = ""
        partial = partial or Partial("", self.seconds, self.seconds)
        if partial.text == self._shown:
            return [*finals]
        self._shown = partial.text
        return [*finals, partial]


def check_stream_options(
    step_seconds: float, right_context_seconds: float | None, is_bidirectional: bool
) -> None:
    """Raise ConfigError on values out of range."""
    _check_seconds("step_seconds", step_seconds, _LEAST_SECONDS)
    if right_context_seconds is not None:
        least = _LEAST_SECONDS if is_bidirectional else 0.0
        _check_seconds("right_context_seconds", right_context_seconds, least)


def _check_seconds(name: str, value: object, least: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and least <= value <= _LONGEST_SECONDS):  # type: ignore[operator]
        raise ConfigError(
            f"{name}: expected {least:g} to {_LONGEST_SECONDS:g} seconds, found {shown(value)}"
        )
