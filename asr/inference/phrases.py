"""A stream phrase by phrase: each is encoded as a whole, again and again until it has ended.

Shapes: S samples, T output frames, C tokens with blank.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from asr.inference.decoding import SegmentDecoder
from asr.inference.events import Final, Partial
from asr.inference.pipeline import Encode
from asr.inference.transcript import join_transcripts
from asr.inference.windows import Window, WindowReader
from asr.signal.audio_file import log_once
from asr.signal.vad import SpeechCutter

_LARGEST_SHARE = 0.5
"""Of the time that may be spent on partial results."""


class PhraseTranscriber:
    """Transcribes phrases: what voice activity detection takes for speech, up to its next pause.

    Final results are those of the whole recording with voice activity detection.
    """

    def __init__(
        self,
        encode: Encode,
        windows: WindowReader,
        decode: SegmentDecoder,
        offset_seconds: float,
        step_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """The audio begins `offset_seconds` after the stream.

        `step_seconds` is the least time from one partial result to the next: where one takes long,
        it is longer.
        """
        self._encode, self._windows = encode, windows
        self._decode = decode.later(offset_seconds)
        self._offset_seconds = offset_seconds
        self._step_seconds = self._wait_seconds = step_seconds
        self._clock = clock
        self._cutter = SpeechCutter(windows.sample_rate)
        self._samples = 0
        self._partial: Partial | None = None
        self._partial_at = -step_seconds

    def feed(self, block: Tensor) -> list[Final]:
        """The phrases that end with the next samples `(S,)`."""
        self._samples += len(block)
        return self._finals(self._cutter.feed(block))

    def finish(self) -> list[Final]:
        """The last phrases, when the audio has ended."""
        return self._finals(self._cutter.finish())

    def partial(self) -> Partial | None:
        """The phrase that has not ended, as it was when it was last looked at; None without one."""
        now = self._samples / self._windows.sample_rate
        if now - self._partial_at >= self._wait_seconds and (phrase := self._cutter.unfinished()):
            started = self._clock()
            self._partial, self._partial_at = self._look(*phrase), now
            spent = self._clock() - started
            self._wait_seconds = max(self._step_seconds, spent / _LARGEST_SHARE)
            if self._wait_seconds > self._step_seconds:
                log_once(
                    f"partial results come less often than every {self._step_seconds:g} s: this "
                    "machine takes too long for phrases of this length"
                )
        return self._partial

    def _look(self, begin: int, phrase: Tensor) -> Partial:
        """What is said in a phrase as far as it is known."""
        texts = [self._beginning(log_probs) for _, log_probs in self._segments(begin, phrase)]
        return Partial(" ".join(filter(None, texts)), *self._span(begin, phrase))

    def _beginning(self, log_probs: Tensor) -> str:
        """The text of emissions `(T, C)` that go on: no sentence need be whole."""
        tokens = self._decode.tokens
        search = self._decode.decoder.start(tokens, self._decode.clock.frame_seconds)
        known = [token for stretch in search.feed(log_probs) for token in stretch.tokens]
        return tokens.decode([*known, *search.partial().tokens])

    def _finals(self, phrases: Iterable[tuple[int, Tensor]]) -> list[Final]:
        finals = []
        for begin, phrase in phrases:
            self._partial = None
            known_seconds = self._offset_seconds + self._samples / self._windows.sample_rate
            parts = [
                self._decode(log_probs, start, known_seconds)
                for start, log_probs in self._segments(begin, phrase)
            ]
            if any(part.text for part in parts):
                nbest = self._decode.decoder.search.nbest
                transcript = join_transcripts(parts, nbest)
                start, end = self._span(begin, phrase)
                transcript = dataclasses.replace(transcript, duration_seconds=end - start)
                finals.append(Final(transcript, start, end))
        return finals

    def _segments(self, begin: int, phrase: Tensor) -> list[tuple[int, Tensor]]:
        """The first frame and the emissions `(T, C)` of what is decoded on its own in a phrase."""
        cut = not self._decode.decoder.is_constrained
        windows = self._windows.of_stretch(begin, phrase, cut)
        segments: list[tuple[int, list[Tensor]]] = []
        for window, log_probs in zip(windows, self._encoded(windows), strict=True):
            if window.starts_segment:
                segments.append((window.start, []))
            segments[-1][1].append(log_probs)
        return [(start, torch.cat(parts)) for start, parts in segments]

    def _encoded(self, windows: Sequence[Window]) -> list[Tensor]:
        return self._encode(windows) if windows else []

    def _span(self, begin: int, phrase: Tensor) -> tuple[float, float]:
        """Where a phrase starts and ends in the stream, in seconds."""
        rate = self._windows.sample_rate
        return (
            self._offset_seconds + begin / rate,
            self._offset_seconds + (begin + len(phrase)) / rate,
        )
