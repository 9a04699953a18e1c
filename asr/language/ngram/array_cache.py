"""Arrays kept in a file beside the text they were made from, to be had again without the work.

The file is an uncompressed .npz: no pickle, and a checksum over each array.
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


def keep_arrays(path: Path, source: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays made from `source`, a hash; where that cannot be done, do without."""
    with suppress(AsrError), atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, source=np.array(source), **arrays)


def kept_arrays(path: Path, source: str) -> dict[str, Array] | None:
    """What `keep_arrays` wrote; None if it is missing, damaged or made from something else."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return None
        with np.load(path, allow_pickle=False) as file:
            if file["source"].tolist() != source:
                return None
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, MemoryError):
        return None
    except (BadZipFile, zlib.error, NotImplementedError, SyntaxError):
        return None
