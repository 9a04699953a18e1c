"""A stream chunk by chunk: the emissions of a frame are computed once and never revised.

Shapes: S samples, T output frames, C tokens with blank.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from asr.decode.streaming import StreamingSearch, Stretch
from asr.inference.decoding import SegmentDecoder, make_space
from asr.inference.events import Final, Partial
from asr.inference.pipeline import Encode
from asr.inference.windows import CONTEXT_SECONDS, Window, WindowReader
from asr.signal.vad import SpeechSegment, VoiceActivityDetector
from asr.text.tokens import BLANK, TokenTable

_BLOCK_SECONDS = 0.1
"""Audio is looked at in such blocks, so that it does not matter in which ones it came."""


class _Phrase:
    """A phrase that has begun: its search, and the frames that it is of."""

    def __init__(self, begin: int, search: StreamingSearch) -> None:
        self.begin = begin
        """Its first output frame."""
        self.search = search
        self.emissions: list[Tensor] = []
        """All of them, where it is decoded at its end."""
        self.tokens: list[int] = []
        """Those that the search has let go of, where it is decoded at its end."""
        self._last_token: int | None = None
        """The output frame of the last token since the last pause."""

    def write_space(self, window: Window, log_probs: Tensor, tokens: TokenTable) -> None:
        """Write a space into the first of the next emissions `(T, C)` if they come after a pause.

        The encoder, which does not see what was before the pause, writes none.
        """
        spoken = (log_probs.argmax(1) != BLANK).nonzero()
        last, pause = self._last_token, window.pause
        if tokens.space >= 0 and last is not None and pause is not None and last < pause:
            make_space(log_probs[0], tokens)
            self._last_token = None
        if len(spoken):
            self._last_token = window.start + int(spoken[-1])


class ChunkTranscriber:
    """Transcribes speech in chunks of `step_seconds`, each with some audio on both sides.

    What the hypotheses of the search agree on is final at once, and the rest of a phrase at its
    end. A lexicon or grammar, which says what may be in a whole phrase, makes nothing final before.
    """

    def __init__(
        self,
        encode: Encode,
        windows: WindowReader,
        decode: SegmentDecoder,
        offset_seconds: float,
        step_seconds: float,
        right_context_seconds: float,
    ) -> None:
        """The audio begins `offset_seconds` after the stream."""
        self._encode, self._windows = encode, windows
        self._decode = decode.later(offset_seconds)
        self._offset_seconds = offset_seconds
        self._rate, self._unit = windows.sample_rate, windows.unit
        self._chunk = windows.frames_in(step_seconds)
        self._left = windows.frames_in(CONTEXT_SECONDS)
        self._right = round(right_context_seconds * self._rate)
        self._block = round(_BLOCK_SECONDS * self._rate)
        self._detector = VoiceActivityDetector(self._rate)
        self._waiting = torch.empty(0)
        self._held, self._first = torch.empty(0), 0
        self._done = 0
        """Output frames before this one have been encoded, or there is no speech in them."""
        self._phrase: _Phrase | None = None

    @property
    def _samples(self) -> int:
        """How many have been looked at."""
        return self._first + len(self._held)

    def feed(self, block: Tensor) -> list[Final]:
        """What becomes final with the next samples `(S,)`."""
        self._waiting = torch.cat((self._waiting, block))
        finals: list[Final] = []
        while len(self._waiting) >= self._block:
            finals += self._take(self._block)
        self._waiting = self._waiting.clone()
        return finals

    def finish(self) -> list[Final]:
        """The rest, when the audio has ended."""
        return [*self._take(len(self._waiting)), *self._advance(self._detector.finish())]

    def partial(self) -> Partial | None:
        """What is not final of the phrase that has not ended; None without one."""
        if self._phrase is None:
            return None
        tokens = [*self._phrase.tokens, *self._phrase.search.partial().tokens]
        text = self._decode.tokens.decode(tokens)
        return Partial(text, self._seconds(self._phrase.begin), self._seconds(self._done))

    def _take(self, count: int) -> list[Final]:
        """Look at the first samples that wait."""
        block, self._waiting = self._waiting[:count], self._waiting[count:]
        self._held = torch.cat((self._held, block))
        finals = self._advance(self._detector.feed(block))
        needed = self._detector.settled
        if self._phrase is not None:
            needed = self._context_start() * self._unit
        dropped = max(0, needed - self._first)
        self._held, self._first = self._held[dropped:], self._first + dropped
        return finals

    def _advance(self, ended: Sequence[SpeechSegment]) -> list[Final]:
        """Encode and decode what can be, in the segments that ended and the one that has not."""
        finals: list[Final] = []
        unfinished = self._detector.unfinished()
        following = [*(segment.start for segment in ended[1:]), unfinished and unfinished.start]
        for segment, next_start in zip(ended, following, strict=False):
            # A segment that was cut, because it is long, goes on.
            if segment.end == next_start and not self._decode.decoder.is_constrained:
                continue
            finals += self._encode_until(segment, is_whole=True)
            finals += self._end_phrase()
        if unfinished is not None:
            finals += self._encode_until(unfinished, is_whole=False)
        return finals

    def _encode_until(self, segment: SpeechSegment, is_whole: bool) -> list[Final]:
        """Encode a segment as far as there is enough audio behind, or `is_whole`, to its end."""
        if self._phrase is None:
            self._done = max(self._done, -(-segment.start // self._unit))
            search = self._decode.decoder.start(
                self._decode.tokens, self._decode.clock.frame_seconds
            )
            self._phrase = _Phrase(self._done, search)
        finals: list[Final] = []
        known = min(segment.end, self._samples - self._right)
        while self._done + self._chunk <= known // self._unit:
            finals += self._encode_frames(self._chunk, segment.end)
        rest = -(-segment.end // self._unit) - self._done
        if is_whole and rest > 0:
            finals += self._encode_frames(rest, segment.end)
        return finals

    def _encode_frames(self, count: int, end: int) -> list[Final]:
        """Encode and search the next frames. No sample from `end` on is context."""
        assert self._phrase is not None
        start = self._context_start()
        last = min((self._done + count) * self._unit + self._right, end)
        waveform = self._held[start * self._unit - self._first : last - self._first]
        is_whole = start == self._phrase.begin
        windows = self._windows.of_chunk(waveform, self._done - start, count, self._done, is_whole)
        parts = [part.clone() for part in self._encode(windows)]
        for window, part in zip(windows, parts, strict=True):
            self._phrase.write_space(window, part, self._decode.tokens)
        log_probs = torch.cat(parts)
        self._done += count
        stretches = self._phrase.search.feed(log_probs)
        if self._decode.decoder.is_constrained:
            self._phrase.emissions.append(log_probs)
            self._phrase.tokens += [token for stretch in stretches for token in stretch.tokens]
            return []
        return [final for stretch in stretches for final in self._final(stretch)]

    def _context_start(self) -> int:
        """The frame where the context before the next frames begins."""
        assert self._phrase is not None
        return max(self._phrase.begin, self._done - self._left)

    def _end_phrase(self) -> list[Final]:
        assert self._phrase is not None
        if not self._decode.decoder.is_constrained:
            finals = self._final(self._phrase.search.finish(self._decode.needed))
        elif self._phrase.emissions:
            finals = self._constrained_final(self._phrase)
        else:
            finals = []
        self._phrase = None
        return finals

    def _constrained_final(self, phrase: _Phrase) -> list[Final]:
        known_seconds = self._offset_seconds + self._samples / self._rate
        transcript = self._decode(torch.cat(phrase.emissions), phrase.begin, known_seconds)
        if not transcript.text:
            return []
        return [Final(transcript, self._seconds(phrase.begin), self._seconds(self._done))]

    def _final(self, stretch: Stretch) -> list[Final]:
        assert self._phrase is not None
        first = self._phrase.begin + stretch.first_frame
        start, end = self._seconds(first), self._seconds(first + len(stretch.log_probs))
        transcript = self._decode.transcript(
            stretch.log_probs, stretch.hypotheses, self._decode.clock.from_frame(first), end
        )
        return [Final(transcript, start, end, stretch.continues_word)] if transcript.text else []

    def _seconds(self, frame: int) -> float:
        """The time of the stream at which a frame begins."""
        return self._offset_seconds + frame * self._unit / self._rate
