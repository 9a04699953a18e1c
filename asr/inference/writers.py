"""A transcript as the text of a file: the formats that the whisper command knows, and CTM.

Subtitles (srt, vtt, tsv) are cut into captions where the speaker pauses, or a caption gets too long
to read: two lines of 42 columns, seven seconds.
"""

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asr.files import json_text
from asr.printing import printable
from asr.text.scripts import columns
from asr.text.timed import Timed, TimedWord, render_ctm, split_unspaced, words_json

if TYPE_CHECKING:
    from asr.inference.transcript import Transcript

PAUSE_SECONDS = 1.0
CAPTION_SECONDS = 7.0
LINE_COLUMNS = 42
"""Wide characters, as those of Chinese, take two."""
_LINES = 2


class OutputFormat(enum.StrEnum):
    """How a transcript is written."""

    TXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    CTM = "ctm"
    ALL = "all"

    @property
    def kinds(self) -> "tuple[OutputFormat, ...]":
        """The formats that are written, each with its name as the suffix."""
        return tuple(OutputFormat)[:-1] if self is OutputFormat.ALL else (self,)

    @property
    def is_timed(self) -> bool:
        """Whether it says when each word was said."""
        return self not in (OutputFormat.TXT, OutputFormat.JSON)


@dataclass(frozen=True)
class Caption(Timed):
    """What is shown at once; its text has line breaks."""

    in_one_line: str


class _Piece(NamedTuple):
    """A word, or a part of one, and what separates it from the one before."""

    word: TimedWord
    space: str


def render(path: Path, transcript: "Transcript", kind: OutputFormat) -> str:
    """The text of a file with what was said in the recording `path`.

    Raises TextError where the recording's name cannot stand in CTM.
    """
    if kind is OutputFormat.TXT:
        return printable(transcript.text) + "\n"
    if kind is OutputFormat.JSON:
        values = {
            "audio_filepath": str(path),
            **transcript_json(transcript),
            "duration": transcript.duration_seconds,
        }
        return json_text(values, path)
    if kind is OutputFormat.CTM:
        return render_ctm(path.stem, transcript.words)
    return printable(_SUBTITLES[kind](list(captions(transcript.words))))


def transcript_json(transcript: "Transcript") -> dict[str, Any]:
    """A transcript as plain JSON values; alternatives, words and rejection only if asked for."""
    values: dict[str, Any] = {
        "text": transcript.text,
        "log_score": _finite(transcript.log_score),
        "log_language": transcript.log_language,
    }
    if len(transcript.nbest) > 1:
        values["nbest"] = [
            {
                "text": other.text,
                "log_score": _finite(other.log_score),
                "log_language": _finite(other.log_language),
            }
            for other in transcript.nbest
        ]
    if transcript.words:
        values["words"] = words_json(transcript.words)
    if transcript.log_ratio is not None:
        values["log_ratio"] = _finite(transcript.log_ratio)
    if transcript.log_ratio is not None or transcript.rejected:
        values["rejected"] = transcript.rejected
    if transcript.damage:
        values["damage"] = list(transcript.damage)
    return values


def _finite(log_score: float) -> float | None:
    """JSON has no infinity: what is impossible is null."""
    return log_score if math.isfinite(log_score) else None


def captions(words: Sequence[TimedWord]) -> Iterator[Caption]:
    """Runs of words, each to be shown at once, with the time from first to last.

    In scripts without spaces, where a word may be a whole sentence, a run ends after any character.
    """
    run: list[_Piece] = []
    for piece in _pieces(words):
        if run and _is_new(run, piece):
            yield _caption(run)
            run = []
        run.append(piece)
    if run:
        yield _caption(run)


def _pieces(words: Sequence[TimedWord]) -> Iterator[_Piece]:
    for word in words:
        for position, part in enumerate(split_unspaced(word)):
            yield _Piece(part, "" if position else " ")


def _is_new(run: Sequence[_Piece], piece: _Piece) -> bool:
    """Whether a piece begins a new caption."""
    first, last, word = run[0].word, run[-1].word, piece.word
    # The characters of a word follow each other without gaps: a pause makes one of them long.
    paused = last.start_seconds if piece.space == "" else last.end_seconds
    return (
        word.start_seconds - paused >= PAUSE_SECONDS
        or word.end_seconds - first.start_seconds > CAPTION_SECONDS
        or len(_lines([*run, piece])) > _LINES
    )


def _caption(run: Sequence[_Piece]) -> Caption:
    start_seconds, end_seconds = run[0].word.start_seconds, run[-1].word.end_seconds
    text = "".join(piece.space + piece.word.text for piece in run).strip()
    return Caption("\n".join(_lines(run)), start_seconds, end_seconds, text)


def _lines(run: Sequence[_Piece]) -> list[str]:
    """The run in lines that are as long as they can be; a piece that is longer stays whole."""
    lines: list[str] = []
    for piece in run:
        if lines and columns(longer := lines[-1] + piece.space + piece.word.text) <= LINE_COLUMNS:
            lines[-1] = longer
        else:
            lines.append(piece.word.text)
    return lines


def _srt(shown: Sequence[Caption]) -> str:
    return "".join(
        f"{number}\n{_clock(caption.start_seconds, ',')} --> {_clock(caption.end_seconds, ',')}\n"
        f"{caption.text}\n\n"
        for number, caption in enumerate(shown, start=1)
    )


def _vtt(shown: Sequence[Caption]) -> str:
    cues = (
        f"{_clock(caption.start_seconds, '.')} --> {_clock(caption.end_seconds, '.')}\n"
        f"{caption.text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n\n"
        for caption in shown
    )
    return "WEBVTT\n\n" + "".join(cues)


def _tsv(shown: Sequence[Caption]) -> str:
    """Times in milliseconds."""
    rows = (
        f"{round(1000 * caption.start_seconds)}\t{round(1000 * caption.end_seconds)}\t"
        f"{caption.in_one_line}\n"
        for caption in shown
    )
    return "start\tend\ttext\n" + "".join(rows)


def _clock(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    whole, rest = divmod(milliseconds, 1000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{whole:02}{point}{rest:03}"


_SUBTITLES: dict[OutputFormat, Callable[[Sequence[Caption]], str]] = {
    OutputFormat.SRT: _srt,
    OutputFormat.VTT: _vtt,
    OutputFormat.TSV: _tsv,
}
