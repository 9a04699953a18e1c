"""JSON files with a digest of themselves, and checks of what is read from a checkpoint.

Such a file holds its own SHA-256, taken with that value left empty, as the value of its second
key, `sha256`, after `format_version`.
"""

import hashlib
from pathlib import Path
from typing import Any

from asr.errors import AsrError, CheckpointError
from asr.files import encode_utf8, json_text, parse_json, sha256_of
from asr.printing import shown


def json_with_digest(value: dict[str, Any], path: Path) -> bytes:
    """The content of the JSON file `path`, with its own SHA-256.

    Raises AsrError on a value that JSON cannot represent.
    """
    assert list(value)[:2] == ["format_version", "sha256"]
    blank = encode_utf8(json_text(value | {"sha256": ""}, path), path)
    filled = f'"sha256": "{hashlib.sha256(blank).hexdigest()}"'.encode()
    return blank.replace(b'"sha256": ""', filled, 1)


def check_own_digest(path: Path, content: bytes, value: dict[str, Any]) -> None:
    """Raise CheckpointError unless `content`, parsed as `value`, has the digest that it states."""
    digest = value["sha256"].encode(errors="replace")
    check_digest(path, content.replace(digest, b"", 1), value["sha256"])


def check_version(path: Path, value: dict[str, Any], newest: int) -> None:
    """Raise CheckpointError if the file `path` has a format version after `newest`."""
    version = value.get("format_version")
    if isinstance(version, int) and version > newest:
        raise CheckpointError(
            f"{path}: expected a format version up to {newest}, found {version}; upgrade asr"
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
        value = parse_json(content, strict=True)
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); the file was damaged") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {shown(value)}")
    return value


def check_schema(path: Path, section: Any, schema: Any, name: str = "") -> None:
    """Check a section against a schema: a type, or a dictionary with a schema for each key.

    Raises CheckpointError on a missing or unknown key, or a value of another type.
    """
    if not isinstance(schema, dict):
        if not isinstance(section, schema) or isinstance(section, bool):
            expected = getattr(schema, "__name__", schema)
            raise CheckpointError(
                f"{path}: expected {name!r} as {expected}, found {shown(section)}"
            )
        return
    if not isinstance(section, dict):
        raise CheckpointError(f"{path}: expected {name!r} as an object, found {shown(section)}")
    parent = f"{name}." if name else ""
    found = {"missing": schema.keys() - section, "unknown": section.keys() - schema}
    for problem, keys in found.items():
        if keys:
            names = ", ".join(ascii(parent + key) for key in sorted(keys)[:5])
            raise CheckpointError(f"{path}: {problem} keys: {names}; the file was altered")
    for key, inner in schema.items():
        check_schema(path, section[key], inner, parent + key)
