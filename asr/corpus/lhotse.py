"""Imports Lhotse's cut manifests (JSON lines, plain or gzipped; tested with version 1.33).

Lhotse itself is not needed. A cut that a manifest cannot express, such as one whose audio is the
output of a command, is refused; no command is run.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asr.corpus.import_audio import probe_damaged_once, probe_once
from asr.corpus.manifest import Utterance
from asr.errors import ManifestError
from asr.files import parse_json
from asr.printing import shown
from asr.signal.audio import AudioInfo

_TOLERANCE_SECONDS = 0.001
"""Lhotse rounds times to fractions of a millisecond."""
_MOST_SECONDS = 1e9
_LONGEST_LINE, _MOST_BLANK = 1 << 26, 100_000
"""A small compressed file may hold lines, blank ones too, that fill memory or take hours."""


def read_lhotse(path: Path, root: Path, damaged: bool = False) -> list[Utterance]:
    """The utterances of a file of cuts, in order; paths of recordings are relative to `root`.

    Each cut must be a MonoCut of an unmodified recording in a file, with one supervision that has a
    text and lies within the cut; custom fields and features are ignored.
    Raises ManifestError, with the line, on any other cut; AudioError if a recording cannot be read,
    also if it is damaged, unless `damaged`.
    """
    return [
        _Cut(cut, f"{path}, line {number}", damaged).utterance(root) for number, cut in _cuts(path)
    ]


def _cuts(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            blank = 0
            lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
            for number, line in enumerate(lines, start=1):
                blank = 0 if line.strip() else blank + 1
                if len(line) == _LONGEST_LINE or blank > _MOST_BLANK:
                    raise ValueError(
                        f"line {number} is longer, or there are more blank ones, than "
                        "in any such file"
                    )
                if not blank:
                    yield number, parse_json(line)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ManifestError(
            f"{path}: cannot read it ({error}); expected a file of Lhotse cuts, one JSON object "
            "per line (*.jsonl or *.jsonl.gz)"
        ) from error


class _Cut:
    """One cut, whose fields are checked as they are read."""

    def __init__(self, cut: Any, where: str, damaged: bool = False) -> None:
        self.cut, self.where, self.damaged = cut, where, damaged

    def utterance(self, root: Path) -> Utterance:
        """The utterance. Raises ManifestError on what a manifest cannot express."""
        self._expect(self.cut, "type", "MonoCut", "mixed, padded and multi-channel cuts")
        start, duration = (self._number(self.cut, key) for key in ("start", "duration"))
        if start < 0 or duration <= 0:
            raise self._error("a start of 0 or more and a duration above 0", f"{start}, {duration}")
        supervision = self._one(self.cut, "supervisions")
        within = self._number(supervision, "start"), self._number(supervision, "duration")
        if within[0] < -_TOLERANCE_SECONDS or sum(within) > duration + _TOLERANCE_SECONDS:
            raise self._error(
                f"a supervision within the {duration} s of the cut",
                f"one from {within[0]} s to {sum(within)} s: its text has more than the audio",
            )
        info, is_damaged = self._recording(root)
        end = start + duration
        if is_damaged and start < info.duration_seconds:
            end = min(end, info.duration_seconds)
        if end > info.duration_seconds + _TOLERANCE_SECONDS:
            raise self._error(
                f"a cut of the {info.duration_seconds:.3f} s of {info.path}",
                f"{start} s to {end} s",
            )
        whole = start == 0 and end >= info.duration_seconds - _TOLERANCE_SECONDS
        return Utterance(
            id=self._text(self.cut, "id"),
            audio_filepath=info.path,
            duration=info.duration_seconds
            if whole
            else min(duration, info.duration_seconds - start),
            text=self._text(supervision, "text"),
            speaker=None
            if supervision.get("speaker") is None
            else self._text(supervision, "speaker"),
            offset=None if whole else start,
            channel=self.cut["channel"] + 1 if info.channels > 1 else None,
            damaged=is_damaged,
        )

    def _recording(self, root: Path) -> tuple[AudioInfo, bool]:
        """Its properties, and whether it is damaged and these are of what is left."""
        recording = self._field(self.cut, "recording", dict)
        if recording.get("transforms"):
            raise self._error("an unmodified recording", shown(recording["transforms"]))
        source = self._one(recording, "sources")
        self._expect(source, "type", "file", "commands, URLs and audio in memory")
        path = root / self._text(source, "source")
        info, problems = probe_damaged_once(path) if self.damaged else (probe_once(path), ())
        all_channels = list(range(info.channels))
        self._expect(source, "channels", all_channels, "a part of the channels")
        if self.cut.get("channel") not in all_channels:
            expected = f"'channel' to be one of {all_channels}, those of {info.path}"
            raise self._error(expected, f"{self.cut.get('channel')!r}"[:80])
        return info, bool(problems)

    def _one(self, parent: Mapping[str, Any], key: str) -> dict[str, Any]:
        items = self._field(parent, key, list)
        if len(items) != 1 or not isinstance(items[0], dict):
            raise self._error(f"one object in {key!r}", f"{len(items)} items")
        return dict(items[0])

    def _expect(self, parent: Any, key: str, value: object, others: str) -> None:
        found = parent.get(key) if isinstance(parent, dict) else parent
        if found != value:
            raise self._error(f"{key!r} to be {value!r}", shown(found), others)

    def _text(self, parent: Mapping[str, Any], key: str) -> str:
        return str(self._field(parent, key, str))

    def _number(self, parent: Mapping[str, Any], key: str) -> float:
        value = parent.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"a number of seconds in {key!r}", shown(value))
        if not abs(value) <= _MOST_SECONDS:
            raise self._error(f"seconds of a recording in {key!r}", shown(value))
        return float(value)

    def _field(self, parent: Mapping[str, Any], key: str, kind: type) -> Any:
        value = parent.get(key)
        if not isinstance(value, kind):
            raise self._error(f"{key!r} with a {kind.__name__}", shown(value))
        return value

    def _error(self, expected: str, found: str, others: str = "") -> ManifestError:
        return ManifestError(
            f"{self.where}: expected {expected}, found {found}; a manifest cannot express "
            f"{others or 'that'}: leave the cut out, or save it as a file of its own with Lhotse"
        )
