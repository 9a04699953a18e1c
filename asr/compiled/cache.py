"""Machine code kept on disk, in a folder that is this user's alone.

A file of this cache is the SHA-256 of a key and of what follows it, then a compiled function as
numba writes it. The key says what the code was made from and for. Loading a file runs what it says,
so none is read that another user could have written, or whose checksum is wrong.

The cache can only fail to help: whatever is wrong with it, the function is compiled again.
"""

import functools
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from asr.errors import AsrError
from asr.files import atomic_write

PACKAGE = Path(__file__).resolve().parents[1]
FOLDER_VARIABLE: Final = "NUMBA_CACHE_DIR"
"""Environment variable: the folder to keep compiled code in, if not one of the usual ones."""

_PREFIX, _SUFFIX = "compiled-", ".code"
_DIGEST_BYTES = 32
_ROOM_BYTES = 2**20
"""More than all compiled functions take; a folder without that room would fail in use."""
_OLD_SECONDS = 30 * 86_400.0
"""Age at which code of other sources is removed."""
_DECORATED = re.compile(rb"^@(compiled|helper|inlined)$", re.MULTILINE)

_log = logging.getLogger(__name__)


class CodeCache:
    """The cache of one function, as a dispatcher of numba calls it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        assert function.__closure__ is None, "what it closes over would not be part of the key"
        self._function = function

    @property
    def cache_path(self) -> str | None:
        """For numba's statistics."""
        folder = cache_folder()
        return None if folder is None else str(folder)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled function, or None if the cache has none that is whole and fits."""
        from numba.core.compiler import CompileResult
        from numba.core.serialize import loads

        context.refresh()
        key = self._key(signature, context.codegen())
        for folder in _folders():
            code = _read_code(folder / self._name(key), key)
            if code is None:
                continue
            try:
                return CompileResult._rebuild(context, *loads(code))  # type: ignore[no-untyped-call]
            except Exception as error:
                _log.debug("%s: cannot use this code: %r", folder, error)
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled function; a warning, once, says if that is impossible."""
        from numba.core.serialize import dumps

        folder = cache_folder()
        if folder is None or result.library.has_dynamic_globals:
            return
        key = self._key(signature, result.codegen)
        code: bytes = dumps(result._reduce())  # type: ignore[no-untyped-call]
        try:
            _write_code(folder / self._name(key), key, code)
        except AsrError as error:
            _warn_once(
                f"compiled code cannot be kept, and is compiled again on each start: {error}, or "
                f"set {FOLDER_VARIABLE} to another folder of yours"
            )

    def is_kept(self) -> bool:
        """Whether there is code of this function, for whatever processor."""
        return any(
            _read_code(path, path.stem.rpartition("-")[2].encode()) is not None
            for folder in _folders()
            for path in folder.glob(self._name(b"*"))
        )

    def _name(self, key: bytes) -> str:
        module = self._function.__module__.rpartition(".")[2]
        name = re.sub("[<>]", "", self._function.__qualname__)
        return f"{module}.{name}-{key.decode()}{_SUFFIX}"

    def _key(self, signature: Any, codegen: Any) -> bytes:
        """What the code depends on, apart from the sources that the folder's name tells."""
        import numba

        code = self._function.__code__
        sources = [code.co_filename, str(PACKAGE / "compiled" / "functions.py")]
        parts = (
            *(numba.__version__, sys.version_info[:2], codegen.magic_tuple(), str(signature)),
            *(*map(_source_digest, sources), code.co_firstlineno, code.co_code),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32].encode()


@functools.cache
def _source_digest(path: str) -> str:
    with suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""


# Files


def _read_code(path: Path, key: bytes) -> bytes | None:
    """What a file holds behind its checksum; None unless it is whole, of that key and this user."""
    try:
        with path.open("rb") as file:
            if not _is_mine(os.fstat(file.fileno())):
                return None
            content = file.read()
    except OSError:
        return None
    digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return code if digest == hashlib.sha256(key + code).digest() else None


def _write_code(path: Path, key: bytes, code: bytes) -> None:
    """Write a file to which no other user can write. Raises AsrError if that fails."""
    with suppress(OSError):
        path.unlink(missing_ok=True)  # a new file would get its mode
    with atomic_write(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_bytes(hashlib.sha256(key + code).digest() + code)


# Folders


def cache_folder() -> Path | None:
    """The folder to keep code in: the first that is or can be made private and has room."""
    usable = (folder for folder in _candidates() if _is_made(folder) and _has_room(folder))
    return next(usable, None)


def _folders() -> Iterator[Path]:
    """The folders that code may be loaded from, in the order of preference.

    Also those in which nothing can be written now: the disk may be full, or read-only.
    """
    return filter(_is_private, _candidates())


def _candidates() -> Iterator[Path]:
    """The folder that the user has chosen; else the package's, the user's and a temporary one.

    Their name tells the sources, because machine code also holds the functions of other files that
    it calls.
    """
    name = folder_name()
    if chosen := os.environ.get(FOLDER_VARIABLE):
        if _is_made(Path(chosen).absolute() / name):
            yield Path(chosen).absolute() / name
            return
        _warn_once(
            f"{FOLDER_VARIABLE}={chosen}: expected a folder in which {name} can be made, or is "
            "yours and closed to other users; compiled code is kept elsewhere"
        )
    yield PACKAGE / "__pycache__" / name
    for parent in _folders_outside():
        # Another user who can write to it could at least keep this one from using it.
        if _is_private(parent) or not os.path.lexists(parent):
            yield parent / name


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
    with suppress(OSError):  # there is none that can be written
        yield Path(tempfile.gettempdir()) / f"asr-{user}"


def _is_made(folder: Path) -> bool:
    """Whether a folder, made if it is missing, is private."""
    try:
        if not folder.exists():
            inside = folder.is_relative_to(PACKAGE)  # others read its parent
            folder.parent.mkdir(mode=0o755 if inside else 0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            _remove_old(folder)
    except OSError:
        return False
    return _is_private(folder)


def _has_room(folder: Path) -> bool:
    """Whether all compiled code can be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * _ROOM_BYTES)
    except OSError:
        return False
    return True


def _is_private(folder: Path) -> bool:
    """Whether this is a folder of this user to which nobody else can write."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    # A link may lead anywhere.
    return stat.S_ISDIR(status.st_mode) and _is_mine(status)


def _is_mine(status: os.stat_result) -> bool:
    """Whether a file or folder is this user's and nobody else can write to it."""
    if not hasattr(os, "getuid"):  # Windows: the profile's folders are private by inheritance
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _remove_old(folder: Path) -> None:
    """Remove the code of other sources that nobody has used for long; failing is harmless."""
    for other in folder.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if other != folder and other.lstat().st_mtime < time.time() - _OLD_SECONDS:
                shutil.rmtree(other)


@functools.cache
def folder_name() -> str:
    """The name of a folder for code of the present sources."""
    return f"{_PREFIX}{sources_digest()}"


def sources_digest(package: Path = PACKAGE) -> str:
    """A name for the present text of all files that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if _DECORATED.search(text):
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning("%s", message)
