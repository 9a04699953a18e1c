"""A transcript as the text of a file: the formats that the whisper command knows, and CTM.

Subtitles (srt, vtt, tsv) are cut into captions where the speaker pauses, or a caption gets too long
to read: two lines of 42 characters, seven seconds.
"""

import enum
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.files import json_text
from asr.printing import printable
from asr.text.timed import TimedWord, render_ctm, words_json

if TYPE_CHECKING:
    from asr.inference.transcript import Transcript

PAUSE_SECONDS = 1.0
CAPTION_SECONDS = 7.0
LINE_CHARACTERS = 42
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


def captions(words: Sequence[TimedWord]) -> Iterator[TimedWord]:
    """Runs of words, each to be shown at once, with the time from first to last."""
    run: list[TimedWord] = []
    for word in words:
        if run and (
            word.start_seconds - run[-1].end_seconds >= PAUSE_SECONDS
            or word.end_seconds - run[0].start_seconds > CAPTION_SECONDS
            or len(_wrapped([*run, word])) > _LINES
        ):
            yield _caption(run)
            run = []
        run.append(word)
    if run:
        yield _caption(run)


def _caption(run: Sequence[TimedWord]) -> TimedWord:
    return TimedWord("\n".join(_wrapped(run)), run[0].start_seconds, run[-1].end_seconds)


def _wrapped(run: Sequence[TimedWord]) -> list[str]:
    text = " ".join(word.text for word in run)
    return textwrap.wrap(text, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _srt(shown: Sequence[TimedWord]) -> str:
    return "".join(
        f"{number}\n{_clock(caption.start_seconds, ',')} --> {_clock(caption.end_seconds, ',')}\n"
        f"{caption.text}\n\n"
        for number, caption in enumerate(shown, start=1)
    )


def _vtt(shown: Sequence[TimedWord]) -> str:
    cues = (
        f"{_clock(caption.start_seconds, '.')} --> {_clock(caption.end_seconds, '.')}\n"
        f"{caption.text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}\n\n"
        for caption in shown
    )
    return "WEBVTT\n\n" + "".join(cues)


def _tsv(shown: Sequence[TimedWord]) -> str:
    """Times in milliseconds."""
    rows = (
        f"{round(1000 * caption.start_seconds)}\t{round(1000 * caption.end_seconds)}\t"
        f"{' '.join(caption.text.split())}\n"
        for caption in shown
    )
    return "start\tend\ttext\n" + "".join(rows)


def _clock(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    whole, rest = divmod(milliseconds, 1000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{whole:02}{point}{rest:03}"


_SUBTITLES: dict[OutputFormat, Callable[[Sequence[TimedWord]], str]] = {
    OutputFormat.SRT: _srt,
    OutputFormat.VTT: _vtt,
    OutputFormat.TSV: _tsv,
}
