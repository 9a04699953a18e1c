"""The language model that a checkpoint carries: the file `lm.arpa.gz` in its folder."""

from pathlib import Path
from typing import Any

from asr.checkpoint.checkpoint import LANGUAGE_MODEL, Checkpoint
from asr.checkpoint.integrity import check_file_digest
from asr.decode.decoder import TUNED
from asr.errors import CheckpointError
from asr.files import committed_path

_WITHOUT = "or decode without it (--lm none)"


def own_language_model(checkpoint: Checkpoint) -> Path | None:
    """The path of a checkpoint's language model; None if it has none.

    If decoding settings were tuned for it, its SHA-256 is compared with the one recorded with
    them; without such a record it is returned as it is.

    Raises CheckpointError if it is recorded but missing, differs from the record, or is not a
    regular file that can be read.
    """
    recorded = recorded_language_model(checkpoint.metrics)
    if checkpoint.folder is None:
        return None
    path = checkpoint.folder / LANGUAGE_MODEL
    try:
        path = committed_path(checkpoint.folder, LANGUAGE_MODEL)
        exists, regular = path.exists() or path.is_symlink(), path.is_file()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read ({error.strerror or error})") from error
    if not exists:
        if recorded is None:
            return None
        raise CheckpointError(
            f"{path}: missing, though decoding was tuned with it (SHA-256 {recorded[:64]!a}); copy "
            f"the file there, {_WITHOUT}"
        )
    if not regular:  # opening a pipe would wait for ever
        raise CheckpointError(
            f"{path}: expected a language model file, found something else; copy the checkpoint "
            f"again, {_WITHOUT}"
        )
    if recorded is not None:
        check_file_digest(path, recorded, f"copy it again, tune anew with it, {_WITHOUT}")
    return path


def recorded_language_model(metrics: dict[str, Any]) -> str | None:
    """The SHA-256 that the tuned settings record for the checkpoint's own language model."""
    record: Any = metrics
    for key in (TUNED, LANGUAGE_MODEL, "lm_sha256"):
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record if isinstance(record, str) else None
