"""Corpus manifests: one JSON object a line, one line an utterance.

`{"id": "an251", "audio_filepath": "wav/an251.wav", "duration": 1.1, "text": "YES", "speaker": "f"}`

`speaker` is optional. Relative audio paths are relative to the manifest's folder, so that a corpus
can be moved as a whole.
"""

import json
import math
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.errors import ManifestError
from asr.files import make_folder, write_text_atomic

_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "audio_filepath": str,
    "duration": (int, float),
    "text": str,
}
_OPTIONAL = {"speaker": str}


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it."""

    id: str
    audio_filepath: Path
    duration: float
    """Length of the recording in seconds."""
    text: str
    speaker: str | None = None


def read_manifest(path: Path | str, require_audio: bool = True) -> list[Utterance]:
    """Read every utterance of a manifest, in order.

    Text is brought to Unicode NFC and stripped. Raises ManifestError with the line number on
    malformed JSON, a missing, unknown or mistyped key, a repeated id, a duration that is not
    positive, or (unless `require_audio` is False) an audio file that does not exist.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path}: cannot read the manifest ({error}); expected a UTF-8 file with one JSON "
            "object a line"
        ) from error
    utterances: list[Utterance] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        utterance = _parse_line(line, path.parent, where)
        if utterance.id in seen:
            raise ManifestError(
                f"{where}: the id {utterance.id!r} stands already on line {seen[utterance.id]}; "
                "ids must be unique"
            )
        # Path.is_file raises on a name too long and on a folder that may not be entered.
        if require_audio and not os.path.isfile(utterance.audio_filepath):  # noqa: PTH113
            raise ManifestError(
                f"{where}: no audio file at {utterance.audio_filepath}; audio_filepath is taken "
                "relative to the manifest's folder"
            )
        seen[utterance.id] = number
        utterances.append(utterance)
    if not utterances:
        raise ManifestError(f"{path}: the manifest is empty; expected one JSON object a line")
    return utterances


def _parse_line(line: str, folder: Path, where: str) -> Utterance:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON ({error}); found {line[:80]!r}") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {line[:80]!r}")
    _check_keys(entry, where)
    duration = _seconds(entry["duration"], where)
    return Utterance(
        id=entry["id"],
        audio_filepath=(folder / entry["audio_filepath"]).absolute(),
        duration=duration,
        text=unicodedata.normalize("NFC", entry["text"]).strip(),
        speaker=entry.get("speaker"),
    )


def _seconds(value: float, where: str) -> float:
    try:
        duration = float(value)
    except OverflowError:  # an integer of hundreds of digits
        duration = math.inf
    if not (math.isfinite(duration) and duration > 0):
        raise ManifestError(f"{where}: duration must be positive seconds, found {duration}")
    return duration


def _check_keys(entry: dict[str, Any], where: str) -> None:
    for key, kind in _REQUIRED.items():
        if key not in entry:
            raise ManifestError(
                f"{where}: the key {key!r} is missing; expected {', '.join(_REQUIRED)}"
            )
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            raise ManifestError(f"{where}: {key!r} has the wrong type: {entry[key]!r}")
    for key, value in entry.items():
        if key in _OPTIONAL and not (value is None or isinstance(value, _OPTIONAL[key])):
            raise ManifestError(f"{where}: {key!r} has the wrong type: {value!r}")
        if key not in _REQUIRED and key not in _OPTIONAL:
            known = ", ".join([*_REQUIRED, *_OPTIONAL])
            raise ManifestError(f"{where}: unknown key {key!r}; expected {known}")
    for key in ("id", "text", "speaker"):
        if not (entry.get(key) or "").isascii():
            _refuse_surrogates(entry[key], f"{where}: {key!r}")
    if not entry["id"].strip():
        raise ManifestError(f"{where}: the id is empty")


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{where}: half a surrogate pair is no character: {text!r}") from error


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically, audio paths relative to its folder."""
    path = Path(path)
    folder = path.parent.resolve()
    lines = []
    for utterance in utterances:
        entry: dict[str, Any] = {
            "id": utterance.id,
            "audio_filepath": os.path.relpath(utterance.audio_filepath.resolve(), folder),
            "duration": round(utterance.duration, 6),
            "text": utterance.text,
        }
        if utterance.speaker is not None:
            entry["speaker"] = utterance.speaker
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    make_folder(path.parent)
    write_text_atomic(path, "".join(lines))
