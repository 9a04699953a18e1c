"""A transcript as the text of a file, in the formats of the whisper command and some more."""

import enum
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import TextError
from asr.files import json_line, json_text
from asr.inference.captions import captions, render_srt, render_tsv, render_vtt
from asr.printing import printable
from asr.text.nist import render_ctm, render_stm, render_trn
from asr.text.phrases import timed_phrases
from asr.text.textgrid import render_textgrid
from asr.text.timed import words_json

if TYPE_CHECKING:
    from asr.inference.transcript import Transcript

_log = logging.getLogger("asr.transcribe")


class OutputFormat(enum.StrEnum):
    """How a transcript is written."""

    TXT = "txt"
    JSON = "json"
    JSONL = "jsonl"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    CTM = "ctm"
    STM = "stm"
    TRN = "trn"
    TEXTGRID = "textgrid"
    ALL = "all"

    @property
    def kinds(self) -> "tuple[OutputFormat, ...]":
        """The formats that are written."""
        return tuple(OutputFormat)[:-1] if self is OutputFormat.ALL else (self,)

    @property
    def suffix(self) -> str:
        """Of the names of files in this format."""
        return ".TextGrid" if self is OutputFormat.TEXTGRID else f".{self}"

    @property
    def is_timed(self) -> bool:
        """Whether it says when each word was said."""
        return self not in (self.TXT, self.JSON, self.JSONL, self.TRN)

    @property
    def is_concatenable(self) -> bool:
        """Whether what is written of several recordings may follow each other in one file."""
        return self not in (self.SRT, self.VTT, self.TSV, self.TEXTGRID, self.ALL)


def render_each(
    path: Path,
    recording: str,
    transcript: "Transcript",
    kinds: Sequence[OutputFormat],
    provenance: Mapping[str, Any] | None = None,
) -> dict[OutputFormat, str]:
    """What `render` gives for each of some formats.

    Those that cannot hold the recording are left out, with a warning; TextError if that is all.
    """
    texts: dict[OutputFormat, str] = {}
    errors: dict[OutputFormat, TextError] = {}
    for kind in kinds:
        try:
            texts[kind] = render(path, recording, transcript, kind, provenance)
        except TextError as error:
            errors[kind] = error
    if errors:
        first = next(iter(errors.values()))
        if not texts:
            raise first
        _log.warning("warning: %s: not written as %s: %s", path, ", ".join(errors), first)
    return texts


def render(
    path: Path,
    recording: str,
    transcript: "Transcript",
    kind: OutputFormat,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """The text of a file with what was said in a recording, which lies at `path`.

    `recording` is its id, which formats that hold several have in them. JSON also states the
    `provenance` (`Recognizer.provenance`). Raises TextError where the format cannot hold the id or
    the words.
    """
    return printable(_render(path, recording, transcript, kind, provenance or {}))


def _render(
    path: Path,
    recording: str,
    transcript: "Transcript",
    kind: OutputFormat,
    provenance: Mapping[str, Any],
) -> str:
    channel = transcript.channel
    with_channel = f"{recording}-{channel}" if channel else recording
    words, seconds = transcript.words, transcript.duration_seconds
    is_readable = transcript.readable_text is not None
    shown_words = transcript.readable_words if is_readable else words
    match kind:
        case OutputFormat.TXT:
            return f"{shown_text(transcript)}\n"
        case OutputFormat.JSON:
            return json_text(_json_values(path, with_channel, transcript, provenance), path)
        case OutputFormat.JSONL:
            return json_line(_json_values(path, with_channel, transcript, provenance))
        case OutputFormat.SRT:
            return render_srt(captions(shown_words, seconds))
        case OutputFormat.VTT:
            return render_vtt(captions(shown_words, seconds))
        case OutputFormat.TSV:
            return render_tsv(captions(shown_words, seconds))
        case OutputFormat.CTM:
            return render_ctm(recording, words, channel)
        case OutputFormat.STM:
            return render_stm(recording, words, channel)
        case OutputFormat.TRN:
            return render_trn(with_channel, transcript.text)
        case OutputFormat.TEXTGRID:
            return render_textgrid({"words": words, "phrases": timed_phrases(words)}, seconds)
        case OutputFormat.ALL:
            raise AssertionError("several formats are no one text")


def _json_values(
    path: Path, recording: str, transcript: "Transcript", provenance: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "id": recording,
        "audio_filepath": str(path),
        **({"channel": transcript.channel} if transcript.channel else {}),
        **transcript_json(transcript),
        "duration": transcript.duration_seconds,
        **provenance,
    }


def shown_text(transcript: "Transcript") -> str:
    """The text for people."""
    return transcript.text if transcript.readable_text is None else transcript.readable_text


def transcript_json(transcript: "Transcript") -> dict[str, Any]:
    """A transcript as plain JSON values; alternatives, words and rejection only if asked for.

    Alternatives and words are as spoken, as `raw_text` is beside a text for people.
    """
    values: dict[str, Any] = {
        "text": shown_text(transcript),
        "log_score": _finite(transcript.log_score),
        "log_language": transcript.log_language,
    }
    if transcript.readable_text is not None:
        values["raw_text"] = transcript.text
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
