"""A recording of any length as windows: what the encoder sees at once.

A recording is read in passages of up to a minute, which end where the speaker pauses. A passage is
cut into segments at all its pauses, as models are trained on single utterances; a segment without a
pause for long is encoded in windows that overlap. Features are normalised by what sounds in a
segment and close to it, so that a level that changes is followed. Memory does not depend on a
recording's length.

With voice activity detection a stretch of speech takes the place of a passage.

Shapes: S samples, T feature frames, F features.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.signal.features import FeatureExtractor
from asr.signal.pauses import FRAME_SECONDS, cuts_in, quiet_frames
from asr.signal.silero import borrowed_check
from asr.signal.vad import speech_segments

PASSAGE_SECONDS = 60.0
"""What is longer is cut at the last pause before, or here if the second half has none."""
SEGMENT_SECONDS = 6.5
"""Recordings longer than this are encoded from pause to pause: a model that was trained on single
utterances makes two to three times the errors where several follow each other."""
WINDOW_SECONDS = 40.0
"""What is longer than this without a pause is encoded in windows, which limits the memory."""
NEAR_SECONDS = 0.2
"""Frames so near to a sound count in the normalisation, as the ends of an utterance do in what
models are trained on. What is further away may have any level."""
AROUND_SECONDS, LEAST_SECONDS = 2.0, 1.5
"""A segment is normalised by what counts in it and so much before and behind it; or further away,
until so much counts: in a single short word the mean is part of the word."""
CONTEXT_SECONDS = 5.0
"""Audio that a window overlaps its neighbours by, at each of its ends."""


@dataclass(frozen=True)
class Window:
    """Features to be encoded at once, of a part of a segment or of all of it."""

    features: Tensor
    """`(T, F)`."""
    begin: int
    """The first output frame that counts; those before it are context."""
    end: int
    """The one after the last that counts."""
    start: int
    """The output frame of the recording that `begin` is."""
    starts_segment: bool
    ends_segment: bool
    pause: int | None
    """The output frame of the recording where the last pause before `start` is, if one is known."""
    is_silent: bool = False
    """Whether nothing sounds in its segment: a model that was trained on utterances may find
    letters in a long silence."""


@dataclass(frozen=True)
class Passage:
    """A part of a recording as windows, one after the other."""

    windows: list[Window]
    read_seconds: float
    """How long the recording is, as far as it was read for this."""


_DIGITAL_SILENCE = 1.5 / 32768
"""Samples of this size are the rounding of 16-bit files, if anything."""

Quiet = NDArray[np.bool_]
"""Of every `FRAME_SECONDS` of a waveform, whether they are quiet."""


class _Waiting:
    """What was read of a waveform and is still needed."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks = iter(blocks)
        self._held: list[Tensor] = []
        self.total = 0
        """Samples that are held; fewer than were asked for only at the end."""
        self.taken = 0
        """Samples that were dropped before them."""

    def first(self, count: int) -> Tensor:
        """The first samples `(S,)` that are held; reads more than so many unless it ends."""
        while self.total <= count:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held.append(block)
            self.total += len(block)
        if len(self._held) > 1:
            self._held = [torch.cat(self._held)]
        return self._held[0][:count]

    def drop(self, count: int) -> None:
        """Forget the first samples."""
        self._held = [self._held[0][count:]]
        self.total -= count
        self.taken += count


class WindowReader:
    """Cuts the waveforms of recordings into windows.

    `subsampling` feature frames make an output frame.
    """

    def __init__(self, extractor: FeatureExtractor, subsampling: int) -> None:
        self._extractor = extractor
        self._subsampling = subsampling
        self.sample_rate = extractor.config.sample_rate
        frame_samples = extractor.hop * extractor.config.stack
        self.unit = frame_samples * subsampling
        """Samples of an output frame: all cuts are multiples of it."""

    def frames_in(self, seconds: float) -> int:
        """How many whole output frames are in a time; 1 at least."""
        return max(1, int(seconds * self.sample_rate / self.unit))

    def passages(self, blocks: Iterable[Tensor]) -> Iterator[Passage]:
        """The passages of one waveform, of which consecutive blocks `(S,)` are given."""
        longest = self.frames_in(PASSAGE_SECONDS) * self.unit
        context = self.frames_in(CONTEXT_SECONDS) * self.unit
        waiting = _Waiting(blocks)
        before = 0  # samples of context that were transcribed already
        while True:
            most = before + longest + context
            known = waiting.first(most)
            read_seconds = (waiting.taken + len(known)) / self.sample_rate
            start = (waiting.taken + before) // self.unit
            if waiting.total <= most:  # the end
                is_short = waiting.taken == 0 and self._is_short(known)
                quiet = None if is_short else quiet_frames(known, self.sample_rate)
                cuts = [] if quiet is None else self._cuts(quiet)
                yield Passage(self._cut(known, quiet, cuts, before, None, start), read_seconds)
                return
            quiet = quiet_frames(known, self.sample_rate)
            cuts = self._cuts(quiet)
            late = [cut for cut in cuts if longest // 2 <= cut - before <= longest]
            if late:
                end = late[-1]
                windows = self._cut(known[:end], quiet, cuts, before, end, start)
                waiting.drop(end)
                before = 0
            else:
                end = before + longest
                windows = self._cut(known, quiet, cuts, before, end, start)
                waiting.drop(end - context)
                before = context
            yield Passage(windows, read_seconds)

    def speech(
        self, blocks: Iterable[Tensor], cut: bool = True, voice: bool = False
    ) -> Iterator[Passage]:
        """The stretches of speech in a waveform as passages; what lies between is left out.

        With `cut` they are cut into segments at their pauses, too. With `voice` those in which
        `VoiceCheck` hears none are left out as well.
        """
        read = 0

        def counted() -> Iterator[Tensor]:
            nonlocal read
            for block in blocks:
                read += len(block)
                yield block

        for begin, stretch in speech_segments(counted(), self.sample_rate):
            if voice and not self._has_voice(stretch):
                continue
            if windows := self.of_stretch(begin, stretch, cut):
                yield Passage(windows, read / self.sample_rate)
        yield Passage([], read / self.sample_rate)

    def of_stretch(self, begin: int, stretch: Tensor, cut: bool = True) -> list[Window]:
        """The windows of a stretch of speech `(S,)` whose first sample has the number `begin`.

        With `cut` it is cut into segments at its pauses. None if it is shorter than a frame.
        """
        start = -(-begin // self.unit)
        waveform = stretch[start * self.unit - begin :]
        if not len(waveform):
            return []
        quiet = quiet_frames(waveform, self.sample_rate)
        cuts = self._cuts(quiet) if cut and not self._is_short(waveform) else []
        return self._cut(waveform, quiet, cuts, 0, None, start)

    def of_chunk(
        self, waveform: Tensor, context: int, count: int, start: int, is_whole: bool
    ) -> list[Window]:
        """The windows of `count` output frames in a waveform `(S,)`, of which `start` is the first.

        `context` frames are before them in the waveform; what is behind them is context, too, but
        for what a pause parts from them. `is_whole`: it begins where speech began.
        """
        before = context * self.unit
        is_short = is_whole and self._is_short(waveform)
        quiet = None if is_short else quiet_frames(waveform, self.sample_rate)
        cuts = [] if quiet is None else self._cuts(quiet)
        return self._cut(waveform, quiet, cuts, before, before + count * self.unit, start)

    def _has_voice(self, waveform: Tensor) -> bool:
        with borrowed_check() as check:
            return check.has_voice(waveform, self.sample_rate)

    def _is_short(self, waveform: Tensor) -> bool:
        """Whether a recording is so short that it is one segment."""
        return len(waveform) <= SEGMENT_SECONDS * self.sample_rate

    def _cuts(self, quiet: Quiet) -> list[int]:
        """Where to cut, as the nearest sample at which an output frame begins."""
        return [round(cut * self.sample_rate / self.unit) * self.unit for cut in cuts_in(quiet)]

    def _cut(
        self,
        waveform: Tensor,
        quiet: Quiet | None,
        cuts: Sequence[int],
        before: int,
        end: int | None,
        start: int,
    ) -> list[Window]:
        """The windows of the samples from `before` to `end`, cut where `cuts` are between them.

        What lies before and behind is context. `start` is the output frame at `before`; None as
        `end` is the end of the recording. Without `quiet` all frames count in the normalisation.
        """
        factor = self._subsampling
        longest, context = self.frames_in(WINDOW_SECONDS), self.frames_in(CONTEXT_SECONDS)
        with torch.inference_mode():
            counts = None if quiet is None else self._counts(quiet, waveform)
            spectrum = self._extractor.spectrum(waveform.to(self._extractor.window.device))
        total = -(-len(spectrum) * self._extractor.hop // self.unit)
        first = before // self.unit
        last = total if end is None else end // self.unit
        cuts = [cut // self.unit for cut in cuts]
        edges = [first, *(cut for cut in cuts if first < cut < last), last]
        windows = []
        for a, b in itertools.pairwise(edges):
            # Context goes no further than the nearest pause.
            low = max((cut for cut in cuts if cut <= a), default=0)
            high = min((cut for cut in cuts if cut >= b), default=total)
            features = self._normalised(spectrum, counts, low, high)
            is_silent = quiet is not None and self._is_silent(quiet, waveform, a, b)
            for begin in range(a, b, longest):
                stop = min(begin + longest, b)
                left, right = max(low, begin - context), min(high, stop + context)
                windows.append(
                    Window(
                        features[(left - low) * factor : (right - low) * factor],
                        begin - left,
                        stop - left,
                        start + begin - first,
                        starts_segment=begin == a and not (a == first and before),
                        ends_segment=stop == b and (b in cuts or b == total),
                        pause=start + low - first if low in cuts else None,
                        is_silent=is_silent,
                    )
                )
        return windows

    def _normalised(self, spectrum: Tensor, counts: Tensor | None, first: int, end: int) -> Tensor:
        """Features of the output frames from `first` to `end`, of a spectrum `(T, F)`."""
        hops, hop_seconds = self.unit // self._extractor.hop, self._extractor.config.hop_seconds
        around = AROUND_SECONDS
        while True:
            reach = self.frames_in(around)
            low, high = max(0, first - reach), min(len(spectrum), (end + reach) * hops)
            part = slice(low * hops, high)
            is_all = low == 0 and high == len(spectrum)
            if counts is None or is_all or counts[part].sum() * hop_seconds >= LEAST_SECONDS:
                break
            around *= 2
        with torch.inference_mode():
            frames = self._extractor.normalise(
                spectrum[part], None if counts is None else counts[part]
            )
            return self._extractor.stacked(frames[(first - low) * hops : (end - low) * hops])

    def _is_silent(self, quiet: Quiet, waveform: Tensor, first: int, end: int) -> bool:
        """Whether the output frames from `first` to `end` are quiet, and nothing stands out."""
        samples = waveform[first * self.unit : end * self.unit]
        start = round(first * self.unit / self.sample_rate / FRAME_SECONDS)
        stop = start + int(len(samples) / self.sample_rate / FRAME_SECONDS)
        if not (start < stop and quiet[start:stop].all()):
            return False
        return next(speech_segments([samples], self.sample_rate), None) is None

    def _counts(self, quiet: Quiet, waveform: Tensor) -> Tensor | None:
        """Which frames of features are near a sound; None: all, as where nothing sounds.

        Digital silence, which no microphone makes, is not.
        """
        reach = round(NEAR_SECONDS / FRAME_SECONDS)
        near = np.convolve(~quiet, np.ones(2 * reach + 1))[reach : reach + len(quiet)] > 0
        hop = self._extractor.hop
        hops = np.arange(1 + len(waveform) // hop) * hop
        numbers = (hops / (FRAME_SECONDS * self.sample_rate)).astype(np.int64)
        padded = torch.nn.functional.pad(waveform, (0, len(hops) * hop - len(waveform)))
        audible = padded.view(-1, hop).abs().amax(dim=1) > _DIGITAL_SILENCE
        counts = torch.from_numpy(near[numbers.clip(max=len(near) - 1)]) & audible
        return counts if counts.any() else None
