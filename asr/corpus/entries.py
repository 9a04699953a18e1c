"""One line of a manifest: what may stand in it, and what is wrong with it."""

import json
import math
import unicodedata
from typing import Any

from asr.errors import ManifestError

Entry = dict[str, Any]
"""The JSON object of an utterance, checked by `parse_entry`."""

_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "audio_filepath": str,
    "duration": (int, float),
    "text": str,
}
_IN_SHARDS: dict[str, type | tuple[type, ...]] = {"shard": str, "start_byte": int, "num_bytes": int}
_OPTIONAL = {"speaker": str, "offset": (int, float), **_IN_SHARDS}
_decoder = json.JSONDecoder()


def parse_entry(line: str, where: str) -> Entry:
    """The entry of a line; `duration` and `offset` are finite floats, `text` is NFC and stripped.

    Raises ManifestError, beginning with `where`, on anything else than one JSON object of the
    known keys, each of its type and range.
    """
    try:
        entry = _decoded(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not JSON ({error}); found {line[:80]!r}") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {line[:80]!r}")
    if not _is_plain(entry, line):
        _check_keys(entry, where)
        _check_place(entry, where)
    if entry.get("offset") is not None:
        entry["offset"] = _seconds(entry["offset"], "offset", where)
    entry["duration"] = _seconds(entry["duration"], "duration", where)
    entry["text"] = unicodedata.normalize("NFC", entry["text"]).strip()
    return entry


def _decoded(line: str) -> Any:
    """What `json.loads` gives, without the searches for white space about it, where none is."""
    try:
        entry, end = _decoder.raw_decode(line)
    except ValueError:
        end = -1
    return entry if end == len(line) else json.loads(line)


def is_plain_name(name: str) -> bool:
    """Whether a name stands for a file in the folder at hand, on any system, and is not hidden."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\:\0")


def _is_plain(entry: Entry, line: str) -> bool:
    """Whether an entry is of the commonest kind, which needs no closer look.

    Half a surrogate pair can come only from an escape: the line itself was UTF-8.
    """
    return (
        type(entry.get("id")) is str
        and type(entry.get("audio_filepath")) is str
        and type(entry.get("duration")) is float
        and type(entry.get("text")) is str
        and type(entry.get("speaker", "")) is str
        and not entry["id"].isspace()
        and entry["id"] != ""
        and "\\u" not in line
        and len(entry) == len(_REQUIRED) + ("speaker" in entry)
    )


def _check_keys(entry: Entry, where: str) -> None:
    for key, kind in _REQUIRED.items():
        if key not in entry:
            raise ManifestError(
                f"{where}: the key {key!r} is missing; expected {', '.join(_REQUIRED)}"
            )
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            raise ManifestError(f"{where}: {key!r} has the wrong type: {entry[key]!r}")
    for key, value in entry.items():
        if key in _OPTIONAL and value is not None:
            if not isinstance(value, _OPTIONAL[key]) or isinstance(value, bool):
                raise ManifestError(f"{where}: {key!r} has the wrong type: {value!r}")
        elif key not in _REQUIRED and key not in _OPTIONAL:
            known = ", ".join([*_REQUIRED, *_OPTIONAL])
            raise ManifestError(f"{where}: unknown key {key!r}; expected {known}")
    for key in ("id", "text", "speaker"):
        if not (entry.get(key) or "").isascii():
            _refuse_surrogates(entry[key], f"{where}: {key!r}")
    if not entry["id"].strip():
        raise ManifestError(f"{where}: the id is empty")


def _check_place(entry: Entry, where: str) -> None:
    """Where in a shard an utterance lies: all of it must be said, and be possible."""
    given = [key for key in _IN_SHARDS if entry.get(key) is not None]
    if not given:
        return
    if len(given) < len(_IN_SHARDS):
        raise ManifestError(
            f"{where}: expected {', '.join(_IN_SHARDS)} together, found {', '.join(given)} alone"
        )
    if entry.get("offset") is not None:
        raise ManifestError(
            f"{where}: expected no offset beside a shard, found {entry['offset']}; what lies in a "
            "shard is cut out already"
        )
    if not is_plain_name(entry["audio_filepath"]):
        raise ManifestError(
            f"{where}: expected the plain name of a member of {entry['shard']}, found "
            f"{entry['audio_filepath'][:80]!r}; make the shards anew with `asr shard`"
        )
    if not 0 <= entry["start_byte"] < 1 << 62 or not 0 < entry["num_bytes"] < 1 << 62:
        raise ManifestError(
            f"{where}: expected a start_byte of 0 or more and num_bytes above 0, found "
            f"{entry['start_byte']} and {entry['num_bytes']}"
        )


def _seconds(value: float, key: str, where: str) -> float:
    try:
        seconds = float(value)
    except OverflowError:  # an integer of hundreds of digits
        seconds = math.inf
    if key == "offset" and not (math.isfinite(seconds) and seconds >= 0):
        raise ManifestError(f"{where}: offset must be 0 or positive seconds, found {seconds}")
    if key == "duration" and not (math.isfinite(seconds) and seconds > 0):
        raise ManifestError(f"{where}: duration must be positive seconds, found {seconds}")
    return seconds


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{where}: half a surrogate pair is no character: {text!r}") from error
