"""A cache of arrays, in a file beside the text that they were made from.

The file is an uncompressed .npz: no pickle, and a checksum for each array.
"""

import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from asr.errors import AsrError
from asr.files import atomic_write

Array = NDArray[Any]


def save_cached_arrays(path: Path, source: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays made from the text with the hash `source`; do nothing if that is impossible."""
    with suppress(AsrError), atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, source=np.array(source), **arrays)


def load_cached_arrays(path: Path, source: str) -> dict[str, Array] | None:
    """The arrays of `save_cached_arrays`; None if missing, damaged or made from another text."""
    try:
        if not path.is_file():  # opening a named pipe would block forever
            return None
        with np.load(path, allow_pickle=False) as file:
            if file["source"].tolist() != source:
                return None
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, MemoryError):
        return None
    except (BadZipFile, zlib.error, NotImplementedError, SyntaxError):
        return None
