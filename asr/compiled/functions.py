"""Compiled functions: numba behind two typed decorators.

A `compiled` function becomes machine code at its first call on a machine; the code is kept on
disk (`asr.compiled.cache`) and runs without Python's global lock, so that threads decode side
by side. An `inlined` function is a part of the compiled functions that call it.

Compiling takes seconds, of which most would be waste, so:

- Argument types come from the annotations: there is one version of each function, whatever integer
  width or literal a caller passes. `int` is int64, `float` float64; an array has one dimension
  unless it is `Annotated[NDArray[...], 2]`, records are `Annotated[..., DTYPE]`, and `READ_ONLY`
  marks arrays that need not be writable. Arrays are contiguous.
- Where a parameter may be None, `without` makes a second version from which everything that
  depends on it is left out.

numba itself (some 60 MB and a third of a second) is imported at the first call of any of them.
"""

import functools
import gc
import logging
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from asr.compiled.cache import FOLDER_VARIABLE, PACKAGE, CodeCache, cache_folder

P = ParamSpec("P")
R = TypeVar("R")

READ_ONLY: Final = "read only"
"""Annotates an array argument that is only read, such as one over `bytes`."""

_LONGEST_SECONDS = 120.0
"""After so long, another process that compiles counts as hung."""

_log = logging.getLogger(__name__)
_lock = threading.RLock()  # first calls may come on several threads


class Compiled(Generic[P, R]):
    """A function that becomes machine code at its first call."""

    def __init__(self, function: Callable[P, R], inline: bool = False) -> None:
        self.py_func = function
        self.targetoptions = {"inline": "always"} if inline else {}
        """Where numba looks up whether to inline `py_func` into a caller."""
        self._dispatcher: Any = None
        self._compiler: subprocess.Popen[bytes] | None = None
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = (self._dispatcher or self.dispatcher)(*args, **kwargs)
        return result

    @property
    def dispatcher(self) -> Any:
        """What numba makes of the function; compiled, or loaded from the cache, on first use."""
        with _lock:
            if self._compiler is not None:
                self._wait_for_compiler(self._compiler)
            if self._dispatcher is None:
                with _garbage_left():
                    self._dispatcher = _compile_or_load(self.py_func)
        return self._dispatcher

    def without(self, parameter: str, name: str) -> "Compiled[P, R]":
        """A version for a parameter that is always None, to stand under `name` in the same module.

        The code under `if parameter is not None` is not compiled.
        """
        original: Any = self.py_func
        copy = types.FunctionType(original.__code__, original.__globals__, name)
        copy.__module__, copy.__qualname__ = original.__module__, name
        copy.__annotations__ = {**original.__annotations__, parameter: None}
        return Compiled(copy)

    def compile_in_background(self) -> None:
        """Start to compile in another process; the first call here waits for it.

        numba compiles on one core, and while it does no other thread runs Python. Another process
        leaves this one free for what comes before the first call. Nothing happens where the code
        is in the cache already or cannot be kept. If the other process fails, this one compiles.
        """
        with _lock:
            started = self._dispatcher is not None or self._compiler is not None
            if started or not sys.executable or CodeCache(self.py_func).is_kept():
                return
            if cache_folder() is None:
                return
            module, name = self.py_func.__module__, self.py_func.__name__
            paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            code = f"import {module} as module; module.{name}.dispatcher"
            with suppress(OSError):
                self._compiler = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-c", code],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def _wait_for_compiler(self, compiler: "subprocess.Popen[bytes]") -> None:
        if compiler.poll() is None:
            _announce()
            import numba  # noqa: F401  # it is needed next, and takes a second
        try:
            compiler.wait(_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            compiler.kill()
        self._compiler = None

    @property
    def _numba_type_(self) -> Any:
        """What numba takes this for where another compiled function calls it."""
        return self.dispatcher._numba_type_


class Helper(Compiled[P, R]):
    """A function that compiled functions call; when Python calls it, it is one of them itself."""

    @functools.cached_property
    def _callee(self) -> Any:
        """What compiled functions call (numba itself refers to it by a weak reference)."""
        from numba import njit

        # Without the entry from Python, which takes as long to compile as a short function, and
        # without a cache: what is kept of its callers includes it. An inlined function is not
        # compiled at all.
        options: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}
        if self.targetoptions:
            return njit(**options)(self.py_func)
        # What returns no array makes none, and need not count references to those that it is given.
        options["_nrt"] = not _returns_numbers(self.py_func)
        return njit(argument_types(self.py_func), **options)(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """What numba takes this for where another compiled function calls it."""
        return self._callee._numba_type_


def compiled(function: Callable[P, R]) -> Compiled[P, R]:
    """Compile a function of annotated numbers and arrays to machine code at its first call."""
    return Compiled(function)


def helper(function: Callable[P, R]) -> Helper[P, R]:
    """Compile a function that compiled functions call."""
    return Helper(function)


def inlined(function: Callable[P, R]) -> Helper[P, R]:
    """Make a very short function part of the compiled functions that call it.

    For a few lines that are cheaper than a call. Long ones slow compiling down: numba's analysis
    takes more than linear time in the length of a function.
    """
    return Helper(function, inline=True)


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Do not look for garbage: while compiling, a tenth of the time would go into that."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _compile_or_load(function: Callable[..., Any]) -> Any:
    """The function compiled for the types that its annotations say, or loaded from the cache."""
    import numba
    from numba.core import event, typeinfer

    dispatcher = numba.njit(**_OPTIONS)(function)
    if dispatcher is function:  # NUMBA_DISABLE_JIT
        return function
    dispatcher._cache = CodeCache(function)  # instead of numba's, which believes what it finds
    with (
        event.install_listener("numba:compile", _announcer(event)),
        typeinfer.register_dispatcher(dispatcher),
    ):
        dispatcher.compile(argument_types(function))
        dispatcher.disable_compile()
    return dispatcher


# Argument types


def argument_types(function: Callable[..., Any]) -> tuple[Any, ...]:
    """The numba types of the arguments that a function's annotations ask for."""
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    return tuple(map(_numba_type, hints.values()))


def _returns_numbers(function: Callable[..., Any]) -> bool:
    """Whether a function returns numbers or nothing, as its annotations say."""
    returned = get_type_hints(function)["return"]
    return {*(get_args(returned) or [returned])} <= {int, float, bool, type(None)}


def _numba_type(annotation: Any) -> Any:
    from numba import from_dtype
    from numba.core import types as nb

    from_types: Any = nb.BaseTuple.from_types
    scalars = {int: nb.int64, float: nb.float64, bool: nb.boolean, type(None): nb.none}
    if annotation in scalars:
        return scalars[annotation]
    if get_origin(annotation) is types.UnionType:  # a version without it has None here: `without`
        (annotation,) = (one for one in get_args(annotation) if one is not type(None))
    if isinstance(annotation, type) and issubclass(annotation, tuple):
        members = get_type_hints(annotation, include_extras=True).values()
        return from_types(tuple(map(_numba_type, members)), annotation)
    marks: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *marks = get_args(annotation)
    records = [mark for mark in marks if isinstance(mark, np.dtype)]
    if annotation is Any:  # one record
        return from_dtype(records[0])
    dimensions = next((mark for mark in marks if isinstance(mark, int)), 1)
    dtype = records[0] if records else np.dtype(get_args(get_args(annotation)[1])[0])
    return nb.Array(from_dtype(dtype), dimensions, "C", readonly=READ_ONLY in marks)


# What the user is told


@functools.cache
def _announce() -> None:
    takes = "which takes 5 to 10 seconds, or up to two minutes where all processors are busy"
    if cache_folder() is not None:
        _log.info("compiling for this machine, %s, once ...", takes)
        return
    _log.warning(
        "compiling for this machine, %s, on each start, as there is no folder of yours to keep the "
        "result in that can be written; set %s to one ...",
        takes,
        FOLDER_VARIABLE,
    )


def _announcer(event: types.ModuleType) -> Any:
    """A listener that says why nothing seems to happen, when code is really being compiled."""

    class Announcer(event.Listener):  # type: ignore[name-defined, misc]
        def on_start(self, event: Any) -> None:
            _announce()

        def on_end(self, event: Any) -> None:
            """The result says that it has ended."""

    return Announcer()
