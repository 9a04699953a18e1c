"""Voice activity detection: the stretches of speech in a recording or a live stream.

Shapes: S samples.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.errors import ConfigError
from asr.printing import shown
from asr.signal.audio_file import wrong_rate
from asr.signal.snr import FrameSnr


@dataclass(frozen=True)
class _Thresholds:
    """Of the ratio of `FrameSnr`, in dB."""

    begins: float
    """Speech begins where the ratio stays above this for `shortest_seconds`."""
    goes_on: float
    """Speech that has begun goes on where the ratio is above this."""


_FORWARDS = _Thresholds(2.0, 1.6)
_BACKWARDS = _Thresholds(1.4, 1.4)
"""Of a stretch from its end: half a second of noise comes first, of which the least power, by which
the noise is estimated, is higher than that of seconds."""
_ONSET_SECONDS = 0.5
"""Speech that rises out of the noise begins at most this much before it is certain."""
_CUT_SECONDS = 0.2
"""Over so long a ratio has to be low for a cut: it may be low for less within a word."""


@dataclass(frozen=True)
class VadConfig:
    """What counts as a stretch of speech; all in seconds."""

    padding_seconds: float = 0.3
    """Kept before and after the speech that was detected, which is where it is loud enough; but no
    digital silence, beside which a model that was trained on recordings finds letters."""
    pause_seconds: float = 0.65
    """A longer pause ends a stretch."""
    shortest_seconds: float = 0.1
    """Sounds shorter than this, such as clicks, do not begin a stretch."""
    longest_seconds: float = 30.0
    """Longer stretches are cut where they are least like speech, in the second half of this."""

    def __post_init__(self) -> None:
        if not 0 <= self.padding_seconds <= self.pause_seconds / 2:
            raise ConfigError(
                "vad.padding_seconds: expected 0 to half of pause_seconds "
                f"({self.pause_seconds / 2:g}), found {shown(self.padding_seconds)}"
            )
        if not 0.01 <= self.shortest_seconds <= 1:
            raise ConfigError(
                f"vad.shortest_seconds: expected 0.01 to 1, found {shown(self.shortest_seconds)}"
            )
        least = 2 * (_ONSET_SECONDS + self.padding_seconds + _CUT_SECONDS)
        if not least <= self.longest_seconds <= 3600:
            raise ConfigError(
                f"vad.longest_seconds: expected {least:g} to 3600, found "
                f"{shown(self.longest_seconds)}"
            )


DEFAULT_VAD = VadConfig()


@dataclass(frozen=True)
class SpeechSegment:
    """A stretch of speech: samples from `start` to before `end`."""

    start: int
    end: int


class VoiceActivityDetector:
    """Finds the stretches of speech in a waveform that comes in blocks of any sizes.

    Speech is what stands out from the background noise, measured by `FrameSnr`; the stretches are
    the same however the waveform is divided into blocks. Memory use is bounded by the largest block
    and `longest_seconds`. That a stretch has begun is known at most 0.15 s and `shortest_seconds`
    after it does, but 1 s after the first sound of all; its end, `pause_seconds` later.

    Raises ConfigError on a sample rate that no recording has.
    """

    def __init__(
        self,
        sample_rate: int,
        config: VadConfig = DEFAULT_VAD,
        thresholds: _Thresholds = _FORWARDS,
    ) -> None:
        if wrong := wrong_rate(sample_rate):
            raise ConfigError(f"vad: {wrong}")
        self._thresholds = thresholds
        self._snr = FrameSnr(sample_rate)
        self._hop = self._snr.hop
        frames_per_second = sample_rate / self._hop
        self._padding = round(config.padding_seconds * frames_per_second)
        self._pause = round(config.pause_seconds * frames_per_second)
        self._shortest = max(1, round(config.shortest_seconds * frames_per_second))
        self._longest = round(config.longest_seconds * frames_per_second)
        self._low = round(_CUT_SECONDS * frames_per_second)
        self._onset = round(_ONSET_SECONDS * frames_per_second)
        self._samples = 0
        self._frames = 0
        self._strong = 0
        """Frames above `begins` up to now without a break."""
        self._rise = 0
        """The frame from which on all are above `goes_on`."""
        self._start: int | None = None
        """Of the segment that has begun."""
        self._speech_end = 0
        """Of the speech in the segment that has begun."""
        self._sound_start = 0
        """The first frame since which there has been no digital silence."""
        self._silence: int | None = None
        """The first frame of digital silence since the speech."""
        self._last_end = 0
        """Of the segment before."""
        self._ratios: list[float] = []
        """Of the frames up to now, since it was known that the segment has begun, or it was cut."""

    def unfinished(self) -> SpeechSegment | None:
        """The segment that has begun, as it would be if it ended now; None if there is none."""
        if self._start is None:
            return None
        return SpeechSegment(self._start * self._hop, self._end_sample(self._padded_end()))

    @property
    def settled(self) -> int:
        """Samples before this one belong to no segment but those that have ended."""
        start = self._next_start() if self._start is None else self._start
        return min(start * self._hop, self._samples)

    def feed(self, block: Tensor) -> list[SpeechSegment]:
        """The segments that end with the next samples `(S,)`, floats in [-1, 1]."""
        self._samples += len(block)
        return self._segments(self._snr.feed(block))

    def finish(self) -> list[SpeechSegment]:
        """The last segments, when the waveform has ended."""
        segments = self._segments(self._snr.finish())
        if self._start is not None:
            segments.append(self._ended(self._padded_end()))
        return segments

    def _segments(self, ratios: NDArray[np.float32]) -> list[SpeechSegment]:
        begins, goes_on = self._thresholds.begins, self._thresholds.goes_on
        segments = []
        for ratio in ratios.tolist():
            self._frames += 1
            if ratio <= goes_on:
                self._rise = self._frames
            self._strong = self._strong + 1 if ratio > begins else 0
            if ratio == -math.inf:
                # The windows of its neighbours are mostly silent, too.
                self._sound_start = self._frames + 1
                self._silence = self._silence or self._frames - 1
            if self._start is None:
                if self._strong < self._shortest:
                    continue
                self._start, self._ratios = self._next_start(), []
            self._ratios.append(ratio)
            if ratio > goes_on:
                self._speech_end, self._silence = self._frames, None
                while self._frames + self._padding - self._start > self._longest:
                    segments.append(self._cut())
            elif self._frames - self._speech_end > self._pause:
                segments.append(self._ended(self._padded_end()))
        return segments

    def _next_start(self) -> int:
        """Where a segment starts that is found to have begun with the next frame."""
        rise = max(self._rise, self._frames - self._onset)
        return max(self._last_end, rise - self._padding, self._sound_start)

    def _padded_end(self) -> int:
        end = self._speech_end + self._padding
        return end if self._silence is None else min(end, self._silence - 1)

    def _end_sample(self, end: int) -> int:
        return min(end * self._hop, self._samples)

    def _ended(self, end: int) -> SpeechSegment:
        assert self._start is not None
        segment = SpeechSegment(self._start * self._hop, self._end_sample(end))
        self._start, self._last_end = None, end
        return segment

    def _cut(self) -> SpeechSegment:
        """End the segment where it is least like speech, and begin the next one there."""
        assert self._start is not None
        first = self._frames - len(self._ratios)
        half, whole = self._start + self._longest // 2, self._start + self._longest
        ratios = np.array(self._ratios[half - first : whole - first])
        sums = np.convolve(ratios, np.ones(self._low), "valid")
        end = half + int(sums.argmin()) + self._low // 2
        self._ratios = self._ratios[end - first :]
        segment = self._ended(end)
        self._start = end
        return segment


class SpeechCutter:
    """Cuts the stretches of speech out of a waveform that comes in blocks of any sizes.

    A stretch is its first sample and its samples `(S,)`. What `VoiceActivityDetector` takes for
    speech is listened to backwards, too, when it has ended: a background noise that has just become
    louder stands out from what was before it, but not from what follows. Memory use is bounded by
    the largest block and `longest_seconds`. Raises ConfigError as `VoiceActivityDetector` does.
    """

    def __init__(self, sample_rate: int, config: VadConfig = DEFAULT_VAD) -> None:
        self._sample_rate, self._config = sample_rate, config
        self._detector = VoiceActivityDetector(sample_rate, config)
        self._pause = round((config.pause_seconds - config.padding_seconds) * sample_rate)
        """Samples that are known behind a stretch, unless the waveform has ended."""
        self._held: list[Tensor] = []
        self._first = 0
        """The first sample that is held."""

    def feed(self, block: Tensor) -> list[tuple[int, Tensor]]:
        """The stretches that end with the next samples `(S,)`, floats in [-1, 1]."""
        self._held.append(block)
        stretches = self._stretches(self._detector.feed(block))
        if dropped := self._detector.settled - self._first:
            # A copy: otherwise all that was held would be kept for its end.
            self._held = [self._joined()[dropped:].clone()]
            self._first += dropped
        return stretches

    def finish(self) -> list[tuple[int, Tensor]]:
        """The last stretches, when the waveform has ended."""
        return self._stretches(self._detector.finish())

    def unfinished(self) -> tuple[int, Tensor] | None:
        """The stretch that has begun, as it would be if it ended now; None if there is none."""
        segment = self._detector.unfinished()
        return None if segment is None else self._cut(segment)

    def _stretches(self, segments: Sequence[SpeechSegment]) -> list[tuple[int, Tensor]]:
        """What is speech in some segments that have ended."""
        unfinished = self._detector.unfinished()
        following = [*(segment.start for segment in segments[1:]), unfinished and unfinished.start]
        stretches = []
        for segment, next_start in zip(segments, following, strict=False):
            # Where a long segment was cut there is no pause from which to begin.
            whole = segment.end == next_start
            parts = [segment] if whole else self._backwards(segment)
            stretches += [self._cut(part) for part in parts]
        return stretches

    def _backwards(self, segment: SpeechSegment) -> list[SpeechSegment]:
        """What is speech in a segment for who listens to it from its end."""
        first, last = segment.start - self._first, segment.end - self._first + self._pause
        waveform = self._joined()[first:last].flip(0)
        length = len(waveform) / self._sample_rate
        config = replace(self._config, longest_seconds=max(self._config.longest_seconds, length))
        detector = VoiceActivityDetector(self._sample_rate, config, _BACKWARDS)
        found = [*detector.feed(waveform), *detector.finish()]
        end = segment.start + len(waveform)
        parts = [
            SpeechSegment(max(end - part.end, segment.start), min(end - part.start, segment.end))
            for part in reversed(found)
        ]
        return [part for part in parts if part.start < part.end]

    def _cut(self, segment: SpeechSegment) -> tuple[int, Tensor]:
        first = self._first
        waveform = self._joined()[segment.start - first : segment.end - first]
        return segment.start, waveform.clone()

    def _joined(self) -> Tensor:
        if len(self._held) > 1:
            self._held = [torch.cat(self._held)]
        return self._held[0] if self._held else torch.empty(0)


def speech_segments(
    pieces: Iterable[Tensor], sample_rate: int, config: VadConfig = DEFAULT_VAD
) -> Iterator[tuple[int, Tensor]]:
    """The stretches of speech in consecutive `(S,)` pieces of a waveform, one after the other.

    Yields the first sample of each and its samples `(S,)`, as `SpeechCutter` finds them.
    """
    cutter = SpeechCutter(sample_rate, config)
    for piece in pieces:
        yield from cutter.feed(piece)
    yield from cutter.finish()
