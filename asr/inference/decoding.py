"""The emissions of a segment, or of a whole recording, to its transcript.

Shapes: T output frames, C tokens with blank.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.decode.align import viterbi_align
from asr.decode.confidence import VOTERS, word_confidences
from asr.decode.decoder import Decoder
from asr.decode.hypothesis import Hypothesis
from asr.decode.no_speech import spoken_tokens
from asr.decode.timing import FrameClock, time_words
from asr.inference.transcript import Alternative, Transcript
from asr.text.timed import TimedWord
from asr.text.tokens import BLANK, TokenTable

_NO_SPACE, _ELSE = 1e-2, 1e-6
"""Probabilities, between two segments, of the blank and of each token that is no space."""


@dataclass(frozen=True)
class SegmentDecoder:
    """What makes transcripts of emissions. Threads may share it."""

    decoder: Decoder
    tokens: TokenTable
    clock: FrameClock
    word_timestamps: bool

    def later(self, seconds: float) -> "SegmentDecoder":
        """The same for a recording that begins so much later."""
        clock = FrameClock(self.clock.frame_seconds, self.clock.offset_seconds + seconds)
        return dataclasses.replace(self, clock=clock)

    def __call__(self, log_probs: Tensor, start: int, known_seconds: float) -> Transcript:
        """The transcript of emissions `(T, C)` whose first frame has the number `start`.

        Words end before `known_seconds`, which is how long the recording is as far as it is known.
        """
        clock = self.clock.from_frame(start)
        end_seconds = min(clock.centre(len(log_probs)), known_seconds)
        return self.decode(log_probs, clock, end_seconds)

    def decode(self, log_probs: Tensor, clock: FrameClock, end_seconds: float) -> Transcript:
        """The transcript of emissions `(T, C)` at the times of a clock."""
        hypotheses = self.decoder(log_probs, at_least=self.needed)
        return self.transcript(log_probs, hypotheses, clock, end_seconds)

    @property
    def needed(self) -> int:
        """How many hypotheses a transcript is made of."""
        if self.decoder.search.nbest > 1:  # several may have one text
            return self.decoder.search.beam_size
        return VOTERS if self.word_timestamps else 1

    def transcript(
        self,
        log_probs: Tensor,
        hypotheses: Sequence[Hypothesis],
        clock: FrameClock,
        end_seconds: float,
    ) -> Transcript:
        """The transcript of emissions `(T, C)` in which a search found these hypotheses."""
        decoder = self.decoder
        if not hypotheses:
            return Transcript("", end_seconds, -math.inf, 0.0, rejected=True)
        best, *others = hypotheses
        alignment = None
        if decoder.no_speech_below:
            alignment = viterbi_align(log_probs, best.tokens)
            spoken = spoken_tokens(
                log_probs,
                alignment,
                self.tokens,
                self.clock.frame_seconds,
                decoder.no_speech_below,
            )
            if spoken != best.tokens:
                best, alignment = dataclasses.replace(best, tokens=spoken), None
                hypotheses = [best, *others]
        transcript = Transcript(
            text=self.tokens.decode(best.tokens),
            duration_seconds=end_seconds,
            log_score=best.log_score,
            processing_seconds=0.0,
            log_language=best.log_language,
            nbest=self._distinct(hypotheses)[: decoder.search.nbest],
        )
        if decoder.is_constrained:
            log_ratio = decoder.log_ratio(log_probs, best.tokens)
            transcript = dataclasses.replace(transcript, log_ratio=log_ratio)
            if decoder.reject_below is not None and log_ratio < decoder.reject_below:
                return dataclasses.replace(transcript, text="", rejected=True)
        if self.word_timestamps:
            alignment = alignment or viterbi_align(log_probs, best.tokens)
            confidences = word_confidences(log_probs, alignment, hypotheses[:VOTERS], self.tokens)
            words = time_words(alignment, self.tokens, clock, end_seconds)
            words = with_confidences(words, decoder.calibration.apply(confidences))
            transcript = dataclasses.replace(transcript, words=tuple(words))
        return transcript

    def _distinct(self, hypotheses: Sequence[Hypothesis]) -> tuple[Alternative, ...]:
        """Of the hypotheses with one text the best."""
        found: dict[str, Alternative] = {}
        for hypothesis in hypotheses:
            text = self.tokens.decode(hypothesis.tokens)
            alternative = Alternative(text, hypothesis.log_score, hypothesis.log_language)
            found.setdefault(text, alternative)
        return tuple(found.values())


def join_segments(segments: Sequence[Tensor], tokens: TokenTable) -> Tensor:
    """The emissions `(T, C)` of all segments, with a likely space between those with speech.

    The encoder, which saw each segment alone, has written none. The space takes the place of
    the last frame of a segment, amid a pause.
    """
    if len(segments) == 1 or tokens.space < 0:
        return torch.cat(list(segments))
    segments = [segment.clone() for segment in segments]
    spoken = [i for i, segment in enumerate(segments) if bool((segment.argmax(1) != BLANK).any())]
    for i in spoken[:-1]:
        make_space(segments[i][-1], tokens)
    return torch.cat(segments)


def make_space(frame: Tensor, tokens: TokenTable) -> None:
    """Write the log-probabilities `(C,)` of a likely space over those of a frame."""
    frame[:] = math.log(_ELSE)
    frame[BLANK] = math.log(_NO_SPACE)
    frame[tokens.space] = math.log1p(-_NO_SPACE - _ELSE * (len(frame) - 2))


def silence(count: int, tokens: TokenTable) -> Tensor:
    """The log-probabilities `(T, C)` of so many frames in which nothing is said."""
    log_probs = torch.full((count, len(tokens)), math.log(_ELSE))
    log_probs[:, BLANK] = math.log1p(-_ELSE * (len(tokens) - 1))
    return log_probs


def with_confidences(
    words: Sequence[TimedWord], confidences: NDArray[np.float64]
) -> list[TimedWord]:
    """The words with these confidences `(W,)`."""
    return [
        dataclasses.replace(word, confidence=confidence)
        for word, confidence in zip(words, confidences.tolist(), strict=True)
    ]
