"""Compiled functions: numba behind two typed decorators.

A `compiled` function becomes machine code at its first call on a machine; the code is kept in
a cache folder (`cache_folder`) and runs without Python's global lock, so that threads decode side
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
import hashlib
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = Path(__file__).resolve().parent
READ_ONLY: Final = "read only"
"""Annotates an array argument that is only read, such as one over `bytes`."""

_LONGEST_SECONDS = 120.0
"""After so long, another process that compiles counts as hung."""

_log = logging.getLogger(__name__)
_lock = threading.RLock()  # first calls may come on several threads
_DECORATED = re.compile(rb"^@(compiled|helper|inlined)$", re.MULTILINE)


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
            folder = os.environ.get("NUMBA_CACHE_DIR") or cache_folder()
            started = self._dispatcher is not None or self._compiler is not None
            if started or not folder or not sys.executable or self._is_cached(folder):
                return
            module, name = self.py_func.__module__, self.py_func.__name__
            paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(paths)}
            code = f"import {module} as module; module.{name}.dispatcher"
            with suppress(OSError):
                self._compiler = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-c", code],
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def _is_cached(self, folder: str) -> bool:
        """Whether the cache has an index for this function."""
        return any(file.suffix == ".nbi" for file in _cached_files(self.py_func, folder))

    def _wait_for_compiler(self, compiler: "subprocess.Popen[bytes]") -> None:
        if compiler.poll() is None:
            _announce(kept=True)
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
    from numba.core import event

    signature = argument_types(function)
    settings: Any = numba.config
    elsewhere = settings.CACHE_DIR  # NUMBA_CACHE_DIR: the user has chosen a folder
    folder = elsewhere or cache_folder()
    with event.install_listener("numba:compile", _announcer(event, kept=folder is not None)):
        if folder is not None:
            settings.CACHE_DIR = folder
            try:
                return numba.njit(signature, cache=True, **_OPTIONS)(function)
            except Exception as error:
                _log.debug("compiled code cannot be kept in %s: %r", folder, error)
                # Damaged files would fail each time.
                with suppress(Exception):
                    if _remove_cached(function, folder):
                        return numba.njit(signature, cache=True, **_OPTIONS)(function)
            finally:
                settings.CACHE_DIR = elsewhere
        # The disk is full or the folder has gone. If the function itself is at fault, this raises.
        return numba.njit(signature, **_OPTIONS)(function)


def _cached_files(function: Callable[..., Any], folder: str) -> list[Path]:
    """What the cache has of a function, by the names that numba gives."""
    module = function.__module__.rpartition(".")[2]
    return list(Path(folder).rglob(f"{module}.{function.__name__}-*.nb[ci]"))


def _remove_cached(function: Callable[..., Any], folder: str) -> bool:
    """Remove what the cache has of a function, and say whether there was anything."""
    files = _cached_files(function, folder)
    for file in files:
        file.unlink()
    return bool(files)


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
def _announce(kept: bool) -> None:
    _log.info(
        "compiling for this machine, which takes 5 to 10 seconds, or up to two minutes where all "
        "processors are busy%s ...",
        ", once"
        if kept
        else " on each start, as there is no folder to keep the result in that can be written; "
        "set NUMBA_CACHE_DIR to one",
    )


def _announcer(event: types.ModuleType, kept: bool) -> Any:
    """A listener that says why nothing seems to happen, when code is really being compiled."""

    class Announcer(event.Listener):  # type: ignore[name-defined, misc]
        def on_start(self, event: Any) -> None:
            _announce(kept)

        def on_end(self, event: Any) -> None:
            """The result says that it has ended."""

    return Announcer()


# Where compiled code is kept


@functools.cache
def cache_folder() -> str | None:
    """The folder for compiled code: the first of some that can be written; None if none can.

    It is `__pycache__` of the package, else the user's cache folder, else one in the folder for
    temporary files. Its name tells the sources: numba looks for changes in a function's own file
    alone, but machine code also holds the functions of other files that it calls.
    """
    name = f"compiled-{sources_digest()}"
    package = PACKAGE / "__pycache__" / name
    if _is_writable(package):
        return str(package)
    for parent in _folders_outside():
        # Whoever can write there can have this process run their code: it must be ours alone.
        if _is_private(parent) and _is_writable(parent / name):
            return str(parent / name)
    return None


def sources_digest(package: Path = PACKAGE) -> str:
    """A name for the present text of all files that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if _DECORATED.search(text):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


def _folders_outside() -> Iterator[Path]:
    """Folders of this user outside the package, in the order of preference."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.expanduser raises without a home)
    if sys.platform == "win32":
        variable, default = "LOCALAPPDATA", home / "AppData" / "Local"
    elif sys.platform == "darwin":
        variable, default = "XDG_CACHE_HOME", home / "Library" / "Caches"
    else:
        variable, default = "XDG_CACHE_HOME", home / ".cache"
    for base in (Path(os.environ.get(variable, "")), default):
        if base.is_absolute():
            yield base / "asr"
            break
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"asr-{user}"


def _is_writable(folder: Path) -> bool:
    """Whether a folder is there, or can be made, and a file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)  # a full disk may still have room for names
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Whether a folder, made if it is missing, is this user's and nobody else can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):  # a link may lead anywhere
        return False
    if not hasattr(os, "getuid"):  # Windows: the profile's folders are private by inheritance
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
