"""One record of a manifest (a line of JSON): its keys, their types, and checks of their values."""

import json
import math
from typing import Any

from asr.errors import ManifestError
from asr.printing import shown
from asr.text.normal import normal_form

Record = dict[str, Any]
"""The JSON object of an utterance, checked by `parse_record`."""

_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "audio_filepath": str,
    "duration": (int, float),
    "text": str,
}
_SHARD_KEYS: dict[str, type | tuple[type, ...]] = {
    "shard": str,
    "start_byte": int,
    "num_bytes": int,
}
_OPTIONAL = {"speaker": str, "offset": (int, float), "channel": int, "damaged": bool, **_SHARD_KEYS}
_MAX_CHANNEL = 1024
_decoder = json.JSONDecoder()


def parse_record(line: str, where: str) -> Record:
    """Parse and check one line; `duration` and `offset` become floats, `text` its normal form.

    Raises ManifestError, its message starting with `where`, unless the line is one JSON object with
    the known keys, each of its type and within its range.
    """
    try:
        record = _decode(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not valid JSON ({error}); found {line[:80]!r}") from error
    if not isinstance(record, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {line[:80]!r}")
    if not _is_simple(record, line):
        _check_keys(record, where)
        _check_shard_position(record, where)
    if record.get("offset") is not None:
        record["offset"] = _parse_seconds(record["offset"], "offset", where)
    record["duration"] = _parse_seconds(record["duration"], "duration", where)
    record["text"] = normal_form(record["text"])
    return record


def _decode(line: str) -> Any:
    """`json.loads`, without its two searches for surrounding white space unless there is some.

    Over a million lines they cost as much as the decoding itself.
    """
    try:
        value, end = _decoder.raw_decode(line)
    except ValueError:
        end = -1
    return value if end == len(line) else json.loads(line)


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a visible file in the current folder, on any operating system."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\:\0")


def _is_simple(record: Record, line: str) -> bool:
    """Whether a record is of the most common kind and valid, so that no other check is needed.

    This one expression is several times as fast as the loops of `_check_keys`, which matters for
    millions of lines. A lone surrogate can come only from an escape `\\u`: the line was UTF-8.
    """
    return (
        type(record.get("id")) is str
        and type(record.get("audio_filepath")) is str
        and type(record.get("duration")) is float
        and type(record.get("text")) is str
        and type(record.get("speaker", "")) is str
        and not record["id"].isspace()
        and record["id"] != ""
        and "\\u" not in line
        and len(record) == len(_REQUIRED) + ("speaker" in record)
    )


def _check_keys(record: Record, where: str) -> None:
    for key, kind in _REQUIRED.items():
        if key not in record:
            raise ManifestError(
                f"{where}: the key {key!r} is missing; expected {', '.join(_REQUIRED)}"
            )
        if not isinstance(record[key], kind) or isinstance(record[key], bool):
            raise ManifestError(f"{where}: {key!r} has the wrong type: {shown(record[key])}")
    for key, value in record.items():
        if key in _OPTIONAL and value is not None:
            is_bool = isinstance(value, bool)
            if not isinstance(value, _OPTIONAL[key]) or is_bool != (_OPTIONAL[key] is bool):
                raise ManifestError(f"{where}: {key!r} has the wrong type: {shown(value)}")
        elif key not in _REQUIRED and key not in _OPTIONAL:
            known = ", ".join([*_REQUIRED, *_OPTIONAL])
            raise ManifestError(f"{where}: unknown key {shown(key)}; expected {known}")
    for key in ("id", "text", "speaker"):
        if not (record.get(key) or "").isascii():
            _refuse_surrogates(record[key], f"{where}: {key!r}")
    if not record["id"].strip():
        raise ManifestError(f"{where}: the id is empty")
    channel = record.get("channel")
    if channel is not None and not 1 <= channel <= _MAX_CHANNEL:
        raise ManifestError(
            f"{where}: expected a channel from 1 (the first) to {_MAX_CHANNEL}, found {channel}"
        )


def _check_shard_position(record: Record, where: str) -> None:
    """The position of an utterance in a shard must be complete and possible."""
    given = [key for key in _SHARD_KEYS if record.get(key) is not None]
    if not given:
        return
    if len(given) < len(_SHARD_KEYS):
        raise ManifestError(
            f"{where}: expected {', '.join(_SHARD_KEYS)} together, found only {', '.join(given)}"
        )
    for key in ("offset", "channel", "damaged"):
        if record.get(key) is not None:
            raise ManifestError(
                f"{where}: expected no {key} together with a shard, found {shown(record[key])}; "
                "the recordings in a shard are cut out already"
            )
    if not is_plain_name(record["audio_filepath"]):
        raise ManifestError(
            f"{where}: expected the plain name of a member of {record['shard']}, found "
            f"{record['audio_filepath'][:80]!r}; create the shards again with `asr shard`"
        )
    if not 0 <= record["start_byte"] < 1 << 62 or not 0 < record["num_bytes"] < 1 << 62:
        raise ManifestError(
            f"{where}: expected a start_byte of 0 or more and num_bytes above 0, found "
            f"{shown(record['start_byte'])} and {shown(record['num_bytes'])}"
        )


def _parse_seconds(value: float, key: str, where: str) -> float:
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
        raise ManifestError(
            f"{where}: contains a lone surrogate, which is not a character: {text!r}"
        ) from error
