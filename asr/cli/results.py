"""What `asr transcribe` tells: transcripts on stdout; on stderr progress, errors and a summary."""

import logging
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from asr.cli.console import echo
from asr.cli.options import hint, log_damage
from asr.cli.progress import AudioProgress
from asr.errors import AsrError
from asr.files import json_line, write_error
from asr.inference.writers import OutputFormat, shown_text

if TYPE_CHECKING:
    from asr.inference.inputs import Input
    from asr.inference.transcribe_files import FileResult
    from asr.inference.transcript import Transcript

_log = logging.getLogger("asr.transcribe")

_MOST_LISTED = 100
"""Recordings that are named at the end; --errors has all."""
_UNSURE = 0.5
"""Words of a lower mean confidence make a recording worth a look."""


class Printer:
    """Prints transcripts in the order of the recordings, whichever is done first."""

    def __init__(self, output_format: OutputFormat, alone: bool) -> None:
        """`alone`: there is one recording, whose name need not be told."""
        self._format, self._alone = output_format, alone
        self._waiting: dict[int, FileResult] = {}
        self._next = 0

    def add(self, result: "FileResult") -> None:
        """Print this one when its turn has come, and those that waited for it."""
        self._waiting[result.number] = result
        while one := self._waiting.pop(self._next, None):
            self._next += 1
            if one.transcript is None:
                continue
            if self._format is OutputFormat.TXT:
                text = shown_text(one.transcript)
                echo(text if self._alone else f"{one.input.label}: {text}")
            else:
                echo(one.texts[self._format], nl=False)


class Summary:
    """What became of recordings: progress and errors as they come, and a summary at the end."""

    def __init__(self, inputs: "Sequence[Input]", errors: Path | None, counts: bool) -> None:
        """`errors` is a file for a JSON line of each error; `counts` asks for numbers at the end.

        Raises AsrError if that file cannot be written.
        """
        self._inputs, self._counts_wanted = inputs, counts
        self._errors = errors
        if errors:
            _write(errors, "", "w")
        self._progress = AudioProgress(len(inputs), sum(one.num_bytes for one in inputs))
        self._missing = {number: one.label for number, one in enumerate(inputs)}
        self._counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        self._progress.__exit__(*ended)
        total = len(self._inputs)
        if self._counts_wanted and total > 1:
            counts = ", ".join(f"{count} {name}" for name, count in self._counts.items())
            _log.info("%d recordings: %s; %s", total, counts or "none done", self._progress.done())
        if self._missing and total > 1:
            _list(
                f"{len(self._missing)} of {total} recordings were not transcribed",
                [*self._missing.values()],
            )
        if self.failures:
            _list(f"{len(self.failures)} of {total} recordings failed", self.failures)

    def add(self, result: "FileResult") -> None:
        """Count a result, and tell of its error or damage."""
        del self._missing[result.number]
        transcript, error = result.transcript, result.error
        if error is not None:
            self._counts["failed"] += 1
            self.failures.append(result.input.label)
            _log.error("error: %s%s", error, hint(error))
            if self._errors:
                record = {"audio_filepath": str(result.input.path), "error": str(error)}
                _write(self._errors, json_line(record), "a")
        elif transcript is None:
            self._counts["skipped"] += 1
        else:
            self._counts["transcribed"] += 1
            log_damage(transcript.damage)
            for name in _remarks(transcript):
                self._counts[name] += 1
        seconds = transcript.duration_seconds if transcript else 0.0
        self._progress.advance(result.input.num_bytes, seconds)


def _remarks(transcript: "Transcript") -> list[str]:
    """What a summary counts of transcripts besides their number."""
    if not transcript.text:
        return ["of them empty"]
    confidences = [word.confidence for word in transcript.words if word.confidence is not None]
    if confidences and statistics.fmean(confidences) < _UNSURE:
        return [f"of them with a confidence below {_UNSURE:g}"]
    return []


def _list(what: str, recordings: Sequence[str]) -> None:
    names = [*recordings[:_MOST_LISTED]]
    if len(recordings) > _MOST_LISTED:
        names.append(f"and {len(recordings) - _MOST_LISTED} more")
    _log.error("%s:\n  %s", what, "\n  ".join(names))


def _write(path: Path, text: str, mode: str) -> None:
    try:
        with path.open(mode + "b") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise AsrError(write_error(path, error)) from error
