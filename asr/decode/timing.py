"""From the frames of an alignment to the times of words and characters.

A CTC model speaks in peaks: a token holds a frame or two near the middle of its sound, blanks the
rest, and the edges of a word have to be placed among them. Against the known edges of synthetic
speech, with three models of AN4 (frames of 40 ms): the space peaks where the next word begins, its
median within 10 ms of it; the first character of a word peaks some 70 ms behind its start, the
last some 60 ms before its end. So a word begins where the space before it peaks and ends halfway
from its last character to the space behind it, but never further from its characters than
`REACH_SECONDS`: a space in a long silence says little. Starts so placed lie 30 ms from the known
ones in the median, ends 35 ms.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.decode.align import Alignment, Floats
from asr.model.acoustic import EncoderConfig
from asr.signal.features import FeatureConfig
from asr.text.timed import Timed, TimedWord
from asr.text.tokens import TokenTable

REACH_SECONDS = 0.12
"""How far a word reaches at most beyond the frames of its first and last character."""
OUTER_REACH_SECONDS = 0.06
"""How far it reaches without a space: at the ends of a recording."""


@dataclass(frozen=True)
class FrameClock:
    """When the output frames of a model are."""

    frame_seconds: float
    """From the centre of one frame to that of the next."""
    offset_seconds: float = 0.0
    """The centre of the first."""

    def centre(self, frame: int) -> float:
        """The time of a frame."""
        return self.offset_seconds + frame * self.frame_seconds

    def from_frame(self, frame: int) -> "FrameClock":
        """The clock of a part that begins with a frame."""
        return FrameClock(self.frame_seconds, self.centre(frame))

    def centres(self, frames: Sequence[int], duration_seconds: float) -> list[float]:
        """The times of frames; the last, padded frame may be centred behind the recording's end."""
        return [min(self.centre(frame), duration_seconds) for frame in frames]


def frame_clock(features: FeatureConfig, encoder: EncoderConfig) -> FrameClock:
    """The clock of a checkpoint's output frames.

    Frames of features are centred on multiples of the hop, a whole number of samples; stacking
    centres on the middle of a stack; the convolutions on every `subsampling`-th frame.
    """
    hop_seconds = round(features.hop_seconds * features.sample_rate) / features.sample_rate
    return FrameClock(
        frame_seconds=hop_seconds * features.stack * encoder.subsampling,
        offset_seconds=hop_seconds * (features.stack - 1) / 2,
    )


def match(log_ratios: Floats, num_tokens: int) -> float:
    """How well a transcript fits the emissions, from 0 to 1.

    The factor, for each of its tokens in the geometric mean, by which the path through it is less
    likely than the likeliest path through the same frames (`Alignment.log_ratios`). 1: the
    transcript is what greedy search hears.
    """
    return math.exp(float(log_ratios.sum()) / max(1, num_tokens))


def time_words(
    alignment: Alignment, table: TokenTable, clock: FrameClock, duration_seconds: float
) -> list[TimedWord]:
    """The words of an alignment, as `TokenTable.decode` parts them, with their times.

    Words follow each other without overlap inside the recording, and each takes some time. So do
    the characters of a word, from its start to its end; between two of them the edge lies halfway.
    `confidence` is the `match` over all frames between the word's two spaces.
    """
    begins = clock.centres(alignment.first_frames, duration_seconds)
    ends = clock.centres(alignment.last_frames, duration_seconds)
    spelling = [table.decode([token]) for token in alignment.tokens]
    words = []
    for before, first, end, after in _words(spelling):
        start_seconds = max(0.0, begins[first] - OUTER_REACH_SECONDS)
        if before < first:
            space_seconds = (begins[before] + ends[first - 1]) / 2
            start_seconds = max(space_seconds, begins[first] - REACH_SECONDS)
        end_seconds = min(ends[end - 1] + OUTER_REACH_SECONDS, duration_seconds)
        if end < after:
            space_seconds = (begins[end] + ends[after - 1]) / 2
            end_seconds = min((ends[end - 1] + space_seconds) / 2, ends[end - 1] + REACH_SECONDS)
        halfway = [(ends[i - 1] + begins[i]) / 2 for i in range(first + 1, end)]
        edges = [start_seconds, *halfway, end_seconds]
        frames = slice(
            alignment.last_frames[first - 1] + 1 if first else None,
            alignment.first_frames[end] if end < len(begins) else None,
        )
        words.append(
            TimedWord(
                text="".join(spelling[first:end]),
                start_seconds=start_seconds,
                end_seconds=end_seconds,
                confidence=match(alignment.log_ratios[frames], end - first),
                characters=tuple(map(Timed, spelling[first:end], edges, edges[1:])),
            )
        )
    return words


def _words(spelling: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Positions among the tokens: of the space before a word, of the word, and of their ends.

    Without a space before it or behind it, that space is empty.
    """
    runs = itertools.groupby(range(len(spelling)), key=lambda i: spelling[i] == "")
    words = [list(run) for is_space, run in runs if not is_space]
    edges = [0, *(edge for word in words for edge in (word[0], word[-1] + 1)), len(spelling)]
    return zip(edges[::2], edges[1::2], edges[2::2], edges[3::2], strict=False)
