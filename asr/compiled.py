"""Compiled functions: numba behind one typed decorator.

Each is compiled at its first call on a machine, once for each set of argument types, and kept in
`__pycache__` beside its file; it runs without Python's global lock, so that threads search side by
side.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` of numbers and arrays to machine code at its first call."""
    fast: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    return fast
