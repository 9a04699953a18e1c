"""Many recordings at once: read, encode in batches of similar lengths, decode, in flat memory.

Every thread does all three kinds of work, each on one processor core: a batch that one thread
encodes alone never waits for another thread. Of each recording a passage is held at a time, and no
more is read while enough waits to be encoded.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from asr.errors import AsrError
from asr.inference.decoding import SegmentDecoder, join_segments
from asr.inference.transcript import Transcript, join_transcripts
from asr.inference.windows import PASSAGE_SECONDS, Passage, Window
from asr.model.device import one_core_threads

BATCH_SECONDS = 60.0
"""Audio that is encoded at once, padding included."""
_AHEAD_SECONDS = 8 * BATCH_SECONDS
"""So much, for each thread, may have been read and not been encoded. Windows are sorted by length,
so that little of a batch is padding."""

_JOINED = 64
"""Segments whose transcripts become one while the recording is still read."""

Source = Callable[[list[str]], Iterator[Passage]]
"""Reads a recording; what is wrong with a damaged one is added to the list."""
Encode = Callable[[Sequence[Window]], list[Tensor]]
"""Windows to the emissions `(T, C)` of the frames that count in each."""
Outcome = Transcript | AsrError
"""Of a recording: what was said, or why that is not known."""


@dataclass
class _Segment:
    """A part of a recording that is decoded on its own."""

    start: int
    known_seconds: float = 0.0
    """How long the recording is, as far as it was read when the last window was."""
    emissions: list[Tensor | None] = field(default_factory=list)
    """Of each window."""
    is_whole: bool = False
    """Whether its last window is among them."""
    pending: int = 0
    """Windows that are not encoded yet."""
    transcript: Transcript | None = None

    @property
    def is_single(self) -> bool:
        """Whether it has one window, and is decoded with it."""
        return self.is_whole and len(self.emissions) == 1

    def joined(self) -> Tensor:
        """The emissions of all windows `(T, C)`, which are then kept no longer."""
        parts = [part for part in self.emissions if part is not None]
        self.emissions = []
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass
class _Job:
    """A recording in work."""

    number: int
    passages: Iterator[Passage]
    damage: list[str]
    segments: list[_Segment] = field(default_factory=list)
    seconds: float = 0.0
    """Read so far."""
    work_seconds: float = 0.0
    is_read: bool = False
    pending: int = 0
    """Windows and segments that are still to be encoded or decoded."""
    transcript: Transcript | None = None
    """Of all, where it is decoded at once."""
    error: AsrError | None = None

    @property
    def is_done(self) -> bool:
        return self.is_read and not self.pending

    def join_first(self, nbest: int) -> None:
        """Make one of the first segments, if so many are decoded: hours have many thousands."""
        first = self.segments[:_JOINED]
        parts = [segment.transcript for segment in first if segment.transcript is not None]
        if len(self.segments) > _JOINED and len(parts) == _JOINED:
            whole = _Segment(first[0].start, transcript=join_transcripts(parts, nbest))
            self.segments[:_JOINED] = [whole]


@dataclass(frozen=True)
class _Read:
    """What a thread read of a recording."""

    passages: list[Passage]
    is_last: bool
    work_seconds: float


@dataclass(frozen=True)
class _Piece:
    """A window, and where its emissions belong."""

    window: Window
    job: _Job
    segment: _Segment
    place: int


class Pipeline:
    """Transcribes recordings on some threads."""

    def __init__(
        self,
        encode: Encode,
        decode: SegmentDecoder,
        frame_seconds: float,
        threads: int,
        at_once: bool = False,
    ) -> None:
        self.encode, self.decode = encode, decode
        self.at_once = at_once
        """Whether a recording is decoded as one, when all of it is encoded."""
        self.frame_seconds = frame_seconds
        """From one frame of features to the next."""
        self.threads = threads

    def batches(self, pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
        """Windows of similar lengths together."""
        batch: list[_Piece] = []
        for piece in sorted(pieces, key=lambda piece: -len(piece.window.features)):
            longest = batch[0] if batch else piece
            if (len(batch) + 1) * self.seconds(longest) > BATCH_SECONDS and batch:
                yield batch
                batch = []
            batch.append(piece)
        yield batch

    def seconds(self, piece: _Piece) -> float:
        """Of the audio that a window is of."""
        return len(piece.window.features) * self.frame_seconds

    def __call__(self, sources: Iterable[Source]) -> Iterator[tuple[int, Outcome]]:
        """The number of each recording, from 0, and its transcript or error, as soon as it is done.

        Recordings are opened when there is room for them.
        """
        with one_core_threads(self.threads) as pool:
            yield from _Run(self, sources, pool).outcomes()


class _Run:
    """One call of a pipeline: what is in work, and what to do next."""

    def __init__(self, pipeline: Pipeline, sources: Iterable[Source], pool: Executor) -> None:
        self._pipeline, self._pool = pipeline, pool
        self._at_once = pipeline.at_once
        self._sources = enumerate(sources)
        self._unread: deque[_Job] = deque()
        """Recordings of which a part was read and more is to come."""
        self._reading: dict[Future[_Read], _Job] = {}
        self._encoding: dict[Future[None], list[_Piece]] = {}
        self._decoding: dict[Future[None], _Job] = {}
        self._pieces: list[_Piece] = []
        """Windows of which batches are to be made."""
        self._ahead = 0.0
        """Seconds of audio that were read and are not encoded yet."""

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """As `Pipeline.__call__`."""
        while True:
            self._begin_reading()
            self._begin_encoding()
            futures: list[Future[Any]] = [*self._reading, *self._encoding, *self._decoding]
            if not futures:
                return
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                for job in self._take(future):
                    job.join_first(self._pipeline.decode.decoder.search.nbest)
                    if job.is_done:
                        yield job.number, self._outcome(job)

    def _begin_reading(self) -> None:
        """Have a recording for each thread read, while there is room."""
        threads = self._pipeline.threads
        while len(self._reading) < threads and self._ahead < threads * _AHEAD_SECONDS:
            if not self._unread:
                number, source = next(self._sources, (0, None))
                if source is None:
                    return
                damage: list[str] = []
                self._unread.append(_Job(number, source(damage), damage))
            job = self._unread.popleft()
            self._reading[self._pool.submit(_read, job)] = job

    def _begin_encoding(self) -> None:
        """Have windows encoded, once there are many to choose from or no more come for now."""
        enough = self._pipeline.threads * _AHEAD_SECONDS / 2
        if not self._pieces or (
            self._reading and sum(map(self._pipeline.seconds, self._pieces)) < enough
        ):
            return
        for batch in self._pipeline.batches(self._pieces):
            self._encoding[self._pool.submit(self._encode, batch)] = batch
        self._pieces = []

    def _take(self, future: Future[Any]) -> Iterable[_Job]:
        """Take the result of a task. Returns the recordings of which something was done."""
        if job := self._reading.pop(future, None):
            self._take_passages(job, future)
            jobs = [job]
        elif job := self._decoding.pop(future, None):
            future.result()
            job.pending -= 1
            jobs = [job]
        else:
            future.result()
            jobs = self._take_encoded(self._encoding.pop(future))
        if self._at_once:
            for job in jobs:
                if job.is_done and job.segments and not (job.transcript or job.error):
                    self._submit(self._decode_all, job)
        return jobs

    def _take_passages(self, job: _Job, future: Future[_Read]) -> None:
        try:
            read = future.result()
        except AsrError as error:
            job.error, job.is_read = error, True
            return
        job.is_read = read.is_last
        job.work_seconds += read.work_seconds
        for passage in read.passages:
            job.seconds = passage.read_seconds
            for window in passage.windows:
                if window.starts_segment:
                    job.segments.append(_Segment(window.start))
                segment = job.segments[-1]
                piece = _Piece(window, job, segment, len(segment.emissions))
                segment.emissions.append(None)
                segment.is_whole, segment.known_seconds = window.ends_segment, job.seconds
                segment.pending += 1
                job.pending += 1
                self._pieces.append(piece)
                self._ahead += self._pipeline.seconds(piece)
        if not job.is_read:
            self._unread.append(job)

    def _take_encoded(self, pieces: Sequence[_Piece]) -> list[_Job]:
        jobs = {}
        for piece in pieces:
            self._ahead -= self._pipeline.seconds(piece)
            piece.segment.pending -= 1
            piece.job.pending -= 1
            several = piece.place > 0 or len(piece.segment.emissions) > 1
            if several and piece.segment.is_whole and not (piece.segment.pending or self._at_once):
                self._submit(self._decode, piece.job, piece.segment)
            jobs[piece.job.number] = piece.job
        return list(jobs.values())

    def _submit(self, work: Callable[..., None], job: _Job, *more: object) -> None:
        """Have something decoded that belongs to a recording."""
        job.pending += 1
        self._decoding[self._pool.submit(work, job, *more)] = job

    def _encode(self, pieces: Sequence[_Piece]) -> None:
        """Encode a batch, and decode the segments of one window, as most are."""
        started = time.perf_counter()
        encoded = self._pipeline.encode([piece.window for piece in pieces])
        spent = (time.perf_counter() - started) / sum(map(self._pipeline.seconds, pieces))
        for piece, log_probs in zip(pieces, encoded, strict=True):
            piece.job.work_seconds += spent * self._pipeline.seconds(piece)
            piece.segment.emissions[piece.place] = log_probs
            if not self._at_once and piece.segment.is_single:
                self._decode(piece.job, piece.segment)

    def _decode(self, job: _Job, segment: _Segment) -> None:
        """Decode a segment that is encoded."""
        started = time.perf_counter()
        try:
            segment.transcript = self._pipeline.decode(
                segment.joined(), segment.start, segment.known_seconds
            )
        except AsrError as error:
            job.error = error
        job.work_seconds += time.perf_counter() - started

    def _decode_all(self, job: _Job) -> None:
        """Decode a recording as one: a lexicon or grammar says what may be in all of it."""
        started = time.perf_counter()
        segments = [segment.joined() for segment in job.segments]
        whole = join_segments(segments, self._pipeline.decode.tokens)
        try:
            job.transcript = self._pipeline.decode(whole, 0, job.seconds)
        except AsrError as error:
            job.error = error
        job.work_seconds += time.perf_counter() - started

    def _outcome(self, job: _Job) -> Outcome:
        if job.error:
            return job.error
        if job.transcript is None:
            parts = [one.transcript for one in job.segments if one.transcript is not None]
            nbest = self._pipeline.decode.decoder.search.nbest
            job.transcript = join_transcripts(parts, nbest)
        return dataclasses.replace(
            job.transcript,
            duration_seconds=job.seconds,
            processing_seconds=job.work_seconds,
            damage=tuple(job.damage),
        )


def _read(job: _Job) -> _Read:
    """Read on in a recording: a passage, or several short ones."""
    started = time.perf_counter()
    passages: list[Passage] = []
    before = job.seconds
    while not passages or passages[-1].read_seconds - before < PASSAGE_SECONDS:
        passage = next(job.passages, None)
        if passage is None:
            break
        passages.append(passage)
    is_last = passage is None
    return _Read(passages, is_last, time.perf_counter() - started)
