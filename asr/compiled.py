"""Compiled functions: numba behind one typed decorator.

Each is compiled at its first call on a machine, once for each set of argument types, and kept in
`asr/__pycache__`; it runs without Python's global lock, so that threads search side by side.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS: Any = numba.config
PACKAGE = Path(__file__).resolve().parent


def sources_digest(package: Path = PACKAGE) -> str:
    """A name for the present text of all files that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"\n@compiled" in text:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


# numba looks for changes in a function's own file alone, but machine code also holds the functions
# of other files that it calls: all of them name the folder.
_CACHE = str(PACKAGE / "__pycache__" / f"compiled-{sources_digest()}")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` of numbers and arrays to machine code at its first call."""
    elsewhere = _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = elsewhere or _CACHE
    try:
        fast: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    finally:
        _SETTINGS.CACHE_DIR = elsewhere
    return fast
