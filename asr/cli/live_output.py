"""What `asr listen` prints: final results on stdout, partial ones on one line of a terminal."""

import shutil
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from asr.cli.console import echo
from asr.files import json_line
from asr.inference.writers import transcript_json
from asr.printing import printable
from asr.text.scripts import columns

if TYPE_CHECKING:
    from asr.inference.events import Final, Partial, StreamEvent

_ERASE_LINE = "\r\x1b[K"


class LiveFormat(StrEnum):
    """How the results of a stream are printed."""

    TXT = "txt"
    JSONL = "jsonl"


class LivePrinter:
    """Prints events as they come."""

    def __init__(self, output_format: LiveFormat, partials: bool) -> None:
        """`partials`: have partial results in JSON lines, too."""
        self._format, self._partials = output_format, partials
        self._line = ""
        """The partial result that is on the terminal."""

    def __call__(self, events: "Iterable[StreamEvent]") -> None:
        """Print events."""
        from asr.inference.events import Final

        for event in events:
            if isinstance(event, Final):
                self._show("")
                self._print_final(event)
            else:
                self._print_partial(event)
        sys.stdout.flush()

    def _print_final(self, final: "Final") -> None:
        if self._format is LiveFormat.TXT:
            echo(final.text)
            return
        values = {"type": "final", **_times(final), **transcript_json(final.transcript)}
        if final.continues_word:
            values["continues_word"] = True
        echo(json_line(values), nl=False)

    def _print_partial(self, partial: "Partial") -> None:
        if self._partials and self._format is LiveFormat.JSONL:
            values = {"type": "partial", **_times(partial), "text": partial.text}
            echo(json_line(values), nl=False)
        self._show(partial.text)

    def _show(self, text: str) -> None:
        """Put a text in the place of the one that the terminal shows; its end, if it is long."""
        if text == self._line or not sys.stderr.isatty():
            return
        self._line = text
        shown = printable(text)
        while columns(shown) >= shutil.get_terminal_size().columns:
            shown = shown[1:]
        sys.stderr.write(_ERASE_LINE + shown)
        sys.stderr.flush()


def _times(event: "StreamEvent") -> dict[str, Any]:
    return {"start": round(event.start_seconds, 3), "end": round(event.end_seconds, 3)}
