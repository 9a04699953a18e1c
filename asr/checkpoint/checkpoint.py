"""A checkpoint folder: all that is needed to use a model, and where it came from.

`config.json` (features, encoder, tokens, provenance, hashes), `model.safetensors` (weights only:
nothing in the folder can run code), `metrics.json`, and `README.md`, which is rendered from the
others and is the only one that is not hashed; where decoding was tuned with a language model also
`lm.arpa.gz`. `config.json` holds the SHA-256 of the weights, of the metrics and of itself. The
hashes find damage and careless edits; they are not a signature.

A save is one step (`asr.files.write_files_atomic`): a kill or a full disk at any point leaves the
old checkpoint or the new one, whole. Other files in the folder are left alone.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from asr.checkpoint.integrity import (
    check_digest,
    check_own_digest,
    check_schema,
    check_version,
    json_with_digest,
    parse_object,
)
from asr.checkpoint.model_card import render_card, render_text
from asr.checkpoint.registry import find_checkpoint, shipped_checkpoints, writable_checkpoint
from asr.checkpoint.run_folder import run_in_place_of_checkpoint
from asr.decode.decoder import TUNED
from asr.errors import AsrError, CheckpointError
from asr.files import (
    encode_utf8,
    is_committed,
    json_text,
    read_committed,
    write_error,
    write_files_atomic,
)
from asr.printing import shown
from asr.text.tokens import TokenTable, Units
from asr.version import package_versions, source_commit

FORMAT_VERSION = 2
"""The newest; the second has `units`, and is written where they are not characters, so that earlier
versions of this package read all they can."""
CONFIG, WEIGHTS, METRICS, CARD = "config.json", "model.safetensors", "metrics.json", "README.md"
LANGUAGE_MODEL = "lm.arpa.gz"
UNITS = "units"
"""The key of what one token is, where it is not a single character."""

_MAX_JSON_BYTES = 10_000_000
_MAX_WEIGHTS_BYTES = 4 * 2**30
STORED_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""What weights can be stored as, by its name in `config.json`."""
_RECORD = {"bytes": int, "sha256": str}
_SCHEMA: dict[str, Any] = {
    "format_version": int,
    "sha256": str,
    "recipe": str,
    "commit": str | None,
    "seed": int,
    "features": dict,
    "encoder": dict,
    "tokens": list,
    "training": dict,
    "notes": str,
    "packages": dict,
    "weights": {"parameters": int, "dtype": str},
    "files": {WEIGHTS: _RECORD, METRICS: _RECORD},
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory; floating-point weights are float32 on the CPU."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    metrics: dict[str, Any]
    folder: Path | None

    @property
    def tokens(self) -> TokenTable:
        """Raises ConfigError on tokens that are not in order or not of their units."""
        units = self.config.get(UNITS, "characters")
        return TokenTable(tuple(self.config["tokens"]), units)


def save_checkpoint(
    folder: Path | str,
    *,
    features: dict[str, Any],
    encoder: dict[str, Any],
    tokens: Sequence[str],
    weights: Mapping[str, Tensor],
    metrics: dict[str, Any],
    recipe: str,
    seed: int,
    training: dict[str, Any],
    notes: str = "",
    dtype: torch.dtype = torch.float32,
    units: Units = "characters",
) -> None:
    """Write a checkpoint folder, or replace the one that is there, atomically.

    `tokens`, which are `units`, leaves the blank out. `training` states the training data and the
    settings; the model card also shows its optional `licence`, `language` (a BCP 47 tag) and
    `commands` (a list: how to make the checkpoint from the raw data). `metrics` maps the name of a
    test set to its figures (`wer`, `cer` or `ser` as fractions, `wer_interval` and so on) and to
    the `command` that prints them. Floating-point weights are stored as `dtype`: float32, or
    float16 or bfloat16 for half the size.

    Raises CheckpointError if a weight is not finite or does not fit `dtype`, if a value is of the
    wrong type or a file would be too large to be read again, or if the folder holds files by these
    names that are not a checkpoint's; AsrError if it cannot be written, or on a value that JSON
    cannot represent.
    """
    folder = Path(folder)
    stored = {name: _to_stored(name, tensor, dtype) for name, tensor in weights.items()}
    files = {
        WEIGHTS: save_tensors(stored),
        METRICS: encode_utf8(json_text(metrics, folder / METRICS), folder / METRICS),
    }
    config = {
        "format_version": 1 if units == "characters" else 2,
        "sha256": "",
        "recipe": recipe,
        "commit": source_commit(),
        "seed": seed,
        "features": features,
        "encoder": encoder,
        "tokens": list(tokens),
        **({} if units == "characters" else {UNITS: units}),
        "training": training,
        "notes": notes,
        "packages": package_versions(),
        "weights": {
            "parameters": sum(t.numel() for t in stored.values() if t.is_floating_point()),
            "dtype": _name(dtype),
        },
        "files": {name: _record(content) for name, content in files.items()},
    }
    check_schema(folder / CONFIG, config, _schema_of(config))
    _write(folder, files | _card_and_config(folder, config, metrics))


def update_metrics(
    folder: Path | str, metrics: dict[str, Any], language_model: bytes | None = None
) -> None:
    """Replace the metrics of a checkpoint and render its card, atomically.

    `language_model`, the content of a gzip-compressed ARPA file, becomes the checkpoint's own in
    the same step.

    Raises CheckpointError if the folder is not a valid checkpoint or is a shipped one given by its
    name, AsrError if it cannot be written.
    """
    folder = writable_checkpoint(folder)
    config = _read_config(folder)
    content = encode_utf8(json_text(metrics, folder / METRICS), folder / METRICS)
    config["files"][METRICS] = _record(content)
    files = {METRICS: content}
    if language_model is not None:
        files[LANGUAGE_MODEL] = language_model
    _write(folder, files | _card_and_config(folder, config, metrics))


def load_checkpoint(name_or_path: Path | str) -> Checkpoint:
    """Read and verify a checkpoint: a folder, or a shipped one by its name.

    Raises CheckpointError if it is missing, incomplete, damaged, altered, of a newer format, or if
    a weight is not finite.
    """
    folder = find_checkpoint(name_or_path)
    config = _read_config(folder)
    if not is_committed(folder):
        _log.warning(
            "%s: the last save was interrupted after it was complete but before its files were in "
            "place; they are read from where they are, and the next save puts it in place",
            folder,
        )
    metrics = parse_object(
        folder / METRICS, _read_recorded(folder, METRICS, config, _MAX_JSON_BYTES)
    )
    try:
        stored = load_tensors(_read_recorded(folder, WEIGHTS, config, _MAX_WEIGHTS_BYTES))
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS}: not a safetensors file that can be read ({error})"
        ) from error
    weights = {}
    for name, tensor in stored.items():
        if not (tensor.is_floating_point() or tensor.dtype == torch.int64):
            raise CheckpointError(
                f"{folder / WEIGHTS}: expected weights of floating point, and int64 for counters, "
                f"found {shown(name)} of {_name(tensor.dtype)}"
            )
        weights[name] = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(weights[name]).all():
            raise CheckpointError(
                f"{folder / WEIGHTS}: the weight {name!r} holds NaN or infinity; the training that "
                "wrote it had diverged; use another checkpoint"
            )
    return Checkpoint(config, weights, metrics, folder)


def describe(checkpoint: Checkpoint) -> str:
    """Results, architecture, features, tokens, training, source, sizes and hashes as text.

    Raises CheckpointError on settings nested so deeply that this package cannot have written them.
    """
    name = str(checkpoint.folder) if checkpoint.folder else "checkpoint"
    try:
        return render_text(name, checkpoint.config, checkpoint.metrics)
    except RecursionError as error:
        raise CheckpointError(f"{name}: settings or metrics are nested too deeply") from error


def _to_stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy on the CPU that shares no memory with other weights."""
    if not torch.isfinite(tensor).all():
        raise CheckpointError(
            f"the weight {name!r} holds NaN or infinity, so nothing was saved; the training has "
            "diverged: lower the learning rate"
        )
    stored = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if not stored.is_floating_point():
        return stored
    stored = stored.to(dtype)
    if not torch.isfinite(stored).all():
        raise CheckpointError(
            f"the weight {name!r} has values up to {tensor.abs().max().item():.3g}, too large for "
            f"{_name(dtype)}, so nothing was saved; store it as bfloat16 or float32"
        )
    return stored


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _card_and_config(
    folder: Path, config: dict[str, Any], metrics: Mapping[str, Any]
) -> dict[str, bytes]:
    """The model card, and `config.json` with its digest."""
    shipped = {path.resolve(): name for name, path in shipped_checkpoints().items()}
    tuned = metrics.get(TUNED)
    card = render_card(
        folder.resolve().name,
        config,
        metrics,
        reference=shipped.get(folder.resolve(), "PATH_TO_THIS_FOLDER"),
        lm=LANGUAGE_MODEL if isinstance(tuned, Mapping) and LANGUAGE_MODEL in tuned else None,
    )
    return {
        CARD: encode_utf8(card, folder / CARD),
        CONFIG: json_with_digest(config, folder / CONFIG),
    }


def _record(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        limit = _MAX_WEIGHTS_BYTES if name in (WEIGHTS, LANGUAGE_MODEL) else _MAX_JSON_BYTES
        if len(content) > limit:
            raise CheckpointError(
                f"{folder / name}: {len(content)} bytes would not be read again (at most {limit}), "
                "so nothing was saved; keep less in it"
            )
    _refuse_unrelated_files(folder)
    write_files_atomic(folder, files)


def _refuse_unrelated_files(folder: Path) -> None:
    """Raise CheckpointError rather than overwrite, say, a project's own README.md."""
    names = (CARD, METRICS, WEIGHTS, CONFIG)
    try:
        present = [name for name in names if (folder / name).exists()]
    except OSError as error:
        raise AsrError(write_error(folder, error)) from error
    if present and b'"format_version"' not in (
        read_committed(folder, CONFIG, _MAX_JSON_BYTES) or b""
    ):
        raise CheckpointError(
            f"{folder}: holds {', '.join(present)} but is not a checkpoint, so nothing was saved; "
            "choose another folder, or move these away"
        )


def _schema_of(config: dict[str, Any]) -> dict[str, Any]:
    """The schema of a configuration; one of single characters has no units."""
    return _SCHEMA | ({UNITS: str} if UNITS in config else {})


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        found = "a folder" if folder.is_dir() else "a file" if folder.exists() else "nothing"
    except OSError as error:
        found = error.strerror or str(error)
    if found != "a folder":
        raise CheckpointError(
            f"{folder}: expected a checkpoint folder (with {CONFIG} and {WEIGHTS}), found {found}"
        )
    if instead := run_in_place_of_checkpoint(folder):
        raise CheckpointError(f"{folder}: no checkpoint: {instead}")
    content = _read(folder, CONFIG, _MAX_JSON_BYTES)
    config = parse_object(path, content)
    check_version(path, config, FORMAT_VERSION)
    check_schema(path, config, _schema_of(config))
    if UNITS in config and config[UNITS] not in get_args(Units):
        raise CheckpointError(
            f"{path}: expected {UNITS!r} as one of {', '.join(get_args(Units))}, found "
            f"{shown(config[UNITS])}"
        )
    if not all(isinstance(token, str) for token in config["tokens"]):
        raise CheckpointError(f"{path}: expected 'tokens' to hold only text")
    if config["weights"]["dtype"] not in STORED_TYPES:
        raise CheckpointError(
            f"{path}: expected 'weights.dtype' as one of {', '.join(STORED_TYPES)}, found "
            f"{shown(config['weights']['dtype'])}"
        )
    check_own_digest(path, content, config)
    return config


def _read_recorded(folder: Path, name: str, config: dict[str, Any], limit: int) -> bytes:
    """Read a file and check it against its size and SHA-256 in `config.json`."""
    record = config["files"][name]
    content = _read(folder, name, min(limit, max(record["bytes"], 0)))
    if len(content) != record["bytes"]:
        raise CheckpointError(
            f"{folder / name}: expected {record['bytes']} bytes, found {len(content)}; the file is "
            "truncated or from another checkpoint: copy the checkpoint again"
        )
    check_digest(folder / name, content, record["sha256"])
    return content


def _read(folder: Path, name: str, limit: int) -> bytes:
    try:
        content = read_committed(folder, name, limit)
    except AsrError as error:
        raise CheckpointError(f"{error}; copy the checkpoint again") from error
    if content is None:
        raise CheckpointError(
            f"{folder}: not a complete checkpoint: {name} is missing; expected {CONFIG}, {WEIGHTS} "
            f"and {METRICS}"
        )
    return content
