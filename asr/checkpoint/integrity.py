"""JSON files that show whether they are as they were written.

A sealed file holds its own SHA-256, taken with that value left empty, as the value of its second
key, `sha256`, after `format_version`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from asr.errors import AsrError, CheckpointError
from asr.files import encode_utf8, json_text, sha256_of


def seal(value: dict[str, Any], path: Path) -> bytes:
    """The bytes of the sealed JSON file `path`. Raises AsrError on what JSON cannot carry."""
    assert list(value)[:2] == ["format_version", "sha256"]
    blank = encode_utf8(json_text(value | {"sha256": ""}, path), path)
    filled = f'"sha256": "{hashlib.sha256(blank).hexdigest()}"'.encode()
    return blank.replace(b'"sha256": ""', filled, 1)


def verify_seal(path: Path, content: bytes, value: dict[str, Any]) -> None:
    """Raise CheckpointError unless `content`, parsed as `value`, is as `seal` left it."""
    digest = value["sha256"].encode(errors="replace")
    check_digest(path, content.replace(digest, b"", 1), value["sha256"])


def check_version(path: Path, value: dict[str, Any], newest: int) -> None:
    """Raise CheckpointError if what stands in the file `path` is of a format after `newest`."""
    version = value.get("format_version")
    if isinstance(version, int) and version > newest:
        raise CheckpointError(
            f"{path}: format version {version}; this program reads up to {newest}: upgrade asr"
        )


def check_digest(path: Path, content: bytes, expected: str) -> None:
    """Raise CheckpointError unless the SHA-256 of the content of the file `path` is `expected`."""
    _compare(path, hashlib.sha256(content).hexdigest(), expected, "copy the checkpoint again")


def check_file_digest(path: Path, expected: str, advice: str) -> None:
    """Raise CheckpointError, ending with advice, unless `expected` is the SHA-256 of a file."""
    try:
        found = sha256_of(path)
    except AsrError as error:
        raise CheckpointError(f"{error}; {advice}") from error
    _compare(path, found, expected, advice)


def _compare(path: Path, found: str, expected: str, advice: str) -> None:
    if found != expected:
        raise CheckpointError(
            f"{path}: damaged or altered since it was saved (expected SHA-256 {expected[:64]!a}, "
            f"found {found!a}); {advice}"
        )


def parse_object(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object in the file `path`. Raises CheckpointError if it is anything else."""
    try:
        value = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error}); the file was damaged") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {value!r:.80}")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def check_schema(path: Path, section: Any, schema: Any, name: str = "") -> None:
    """Hold a section against a schema: a type, or a dictionary with a schema for each key.

    Raises CheckpointError on a missing or unknown key, or a value of another type.
    """
    if not isinstance(schema, dict):
        if not isinstance(section, schema) or isinstance(section, bool):
            raise CheckpointError(f"{path}: {name!r} has the wrong type: {section!r:.80}")
        return
    if not isinstance(section, dict):
        raise CheckpointError(f"{path}: {name!r} should be an object, found {section!r:.80}")
    parent = f"{name}." if name else ""
    found = {"missing": schema.keys() - section, "unknown": section.keys() - schema}
    for problem, keys in found.items():
        if keys:
            names = ", ".join(ascii(parent + key) for key in sorted(keys)[:5])
            raise CheckpointError(f"{path}: {problem} keys: {names}; the file was altered")
    for key, inner in schema.items():
        check_schema(path, section[key], inner, parent + key)
