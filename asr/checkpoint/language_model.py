"""A recurrent language model as one file: its weights, words and sizes.

The file is in the safetensors format, so that nothing in it can run code, and its header holds the
words and sizes, as JSON, with the SHA-256 of the whole file, taken with that value left empty.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from asr.checkpoint.sealed import check_schema, check_version, parse_object, verify_seal
from asr.config import from_dict, to_dict
from asr.decode.rescoring import Rescorer, RescoringConfig
from asr.errors import AsrError, CheckpointError, ConfigError
from asr.files import atomic_write, read_settled, sha256_of
from asr.language.neural import NeuralConfig, NeuralModel
from asr.text.tokens import TokenTable

_KEY = "asr_language_model"
_FORMAT_VERSION = 1
_MAX_BYTES = 4 * 2**30
_NO_DIGEST = "0" * 64
_SCHEMA = {"format_version": int, "sha256": str, "config": dict, "words": list}


def save_language_model(path: Path | str, model: NeuralModel) -> None:
    """Write a model, or replace the file, in one step. Raises AsrError if it cannot be written."""
    description = {
        "format_version": _FORMAT_VERSION,
        "sha256": _NO_DIGEST,
        "config": to_dict(model.config),
        "words": list(model.words),
    }
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    content = save_tensors(weights, metadata={_KEY: json.dumps(description)})
    digest = hashlib.sha256(content.replace(_NO_DIGEST.encode(), b"", 1)).hexdigest()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.replace(_NO_DIGEST.encode(), digest.encode(), 1))


def load_language_model(path: Path | str) -> NeuralModel:
    """Read and verify a model.

    Raises CheckpointError if the file is missing, damaged, altered, of a newer format, or no
    recurrent language model.
    """
    path = Path(path)
    try:
        content = read_settled(path.parent, path.name, _MAX_BYTES)
    except AsrError as error:
        raise CheckpointError(f"{error}; expected a recurrent language model") from error
    if content is None:
        raise CheckpointError(
            f"{path}: no such file; expected a recurrent language model, as `asr lm train-neural` "
            "writes it"
        )
    description = _description(path, content)
    try:
        config = from_dict(NeuralConfig, description["config"], f"{path}: config")
        with torch.device("meta"):  # no memory for sizes that the weights do not have
            model = NeuralModel(description["words"], config)
        weights = {name: tensor.float() for name, tensor in load_tensors(content).items()}
        model.load_state_dict(weights, assign=True)
    except (ConfigError, RuntimeError, SafetensorError, TypeError) as error:
        raise CheckpointError(
            f"{path}: its weights, words and sizes do not make one model ({error}); train it again"
        ) from error
    if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
        raise CheckpointError(f"{path}: a weight is NaN or infinite; train the model again")
    return model.eval()


def load_rescorer(path: Path | str, table: TokenTable, weight: float = 0.0) -> Rescorer:
    """A second pass with the model of a file. Raises CheckpointError as `load_language_model`."""
    model = load_language_model(path)
    return Rescorer(RescoringConfig(sha256_of(path), weight), model, table)


def _description(path: Path, content: bytes) -> dict[str, Any]:
    """What the header says of the model, once the file is known to be as it was written."""
    size = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = {}
    if content[8:9] == b"{" and 8 + size <= len(content):
        header = parse_object(path, content[8 : 8 + size])
    metadata = header.get("__metadata__")
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise CheckpointError(
            f"{path}: expected a recurrent language model, as `asr lm train-neural` writes it, "
            "found another or a damaged file"
        )
    description = parse_object(path, text.encode(errors="replace"))
    check_version(path, description, _FORMAT_VERSION)
    check_schema(path, description, _SCHEMA)
    verify_seal(path, content, description)
    if not all(isinstance(word, str) for word in description["words"]):
        raise CheckpointError(f"{path}: 'words' holds something other than text")
    return description
