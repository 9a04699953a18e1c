"""Compiled functions: numba behind one typed decorator.

Each is compiled at its first call on a machine, once for each set of argument types, and kept in
`asr/__pycache__`; it runs without Python's global lock, so that threads search side by side. numba
itself (some 60 MB and a third of a second) is imported at the first call of any of them.
"""

import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = Path(__file__).resolve().parent

_lock = threading.RLock()  # first calls may come on several threads


def sources_digest(package: Path = PACKAGE) -> str:
    """A name for the present text of all files that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"\n@compiled" in text:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def _cache_folder() -> str:
    # numba looks for changes in a function's own file alone, but machine code also holds the
    # functions of other files that it calls: all of them name the folder.
    return str(PACKAGE / "__pycache__" / f"compiled-{sources_digest()}")


class Compiled(Generic[P, R]):
    """A function that becomes machine code at its first call."""

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self._dispatcher: Any = None
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = (self._dispatcher or self.dispatcher)(*args, **kwargs)
        return result

    @property
    def dispatcher(self) -> Any:
        """What numba makes of the function."""
        with _lock:
            if self._dispatcher is None:
                self._dispatcher = _dispatcher(self._function)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        """What numba takes this for where another compiled function calls it."""
        return self.dispatcher._numba_type_


def compiled(function: Callable[P, R]) -> Compiled[P, R]:
    """Compile `function` of numbers and arrays to machine code at its first call."""
    return Compiled(function)


def _dispatcher(function: Callable[..., Any]) -> Any:
    import numba

    settings: Any = numba.config
    elsewhere = settings.CACHE_DIR
    settings.CACHE_DIR = elsewhere or _cache_folder()
    try:
        return numba.njit(cache=True, nogil=True)(function)
    finally:
        settings.CACHE_DIR = elsewhere
