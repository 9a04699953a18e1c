"""Atomic writing of files, one at a time or several together.

A kill, a full disk or Ctrl-C while writing leaves the previous content in place.
"""

import errno
import functools
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.printing import printable_json

try:
    import fcntl
except ImportError:  # Windows: half-written files of killed processes stay
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".part-"
"""Start of the names of files that are being written."""
_UNSAFE = re.compile(r"[/\\%\x00-\x1f\x7f]|^\.")
_LONGEST_STEM_BYTES = 200
"""Of 255 that file systems allow; suffixes and temporary names come on top."""
_DEEPEST_JSON = 100
_INCOMING, _COMPLETE = ".incoming", ".complete"

_ADVICE = {
    errno.ENOSPC: "free some space on that disk and try again",
    errno.EDQUOT: "free some of your disk quota and try again",
    errno.EFBIG: "raise the file size limit (`ulimit -f`) and try again",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a path whose parents are folders",
    errno.EEXIST: "choose another name, or move the existing file",
    errno.EISDIR: "choose the path of a file, not of a folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
}

_log = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it when the block ends without an error.

    The temporary file exists, is empty and has the suffix of `path`, for writers that choose their
    format by it. Its content is flushed to disk before it is renamed. If the block or the write
    fails in any way, Ctrl-C included, the temporary file is removed and `path` is unchanged. Links
    are followed; a device or a pipe (`/dev/stdout`) cannot be replaced and is yielded itself. The
    folder must exist. What a process that was killed has left half written in it is removed.

    Any OSError, also from the block, becomes an AsrError that names `path` and what to do.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            yield path
            return
        target = path.resolve()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _remove_partial_once(target.parent)
        with _partial_file(target) as temporary:
            try:
                yield temporary
                sync(temporary)
                with suppress(OSError):  # a new file, or a file system without modes
                    shutil.copymode(target, temporary)
                temporary.replace(target)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
        # So that the new name survives a power failure; some network file systems refuse this.
        with suppress(OSError):
            sync(target.parent)
    except OSError as error:
        raise AsrError(write_error(path, error)) from error


@contextmanager
def _partial_file(target: Path) -> Iterator[Path]:
    """A new, empty file beside `target`, locked while this process may write to it."""
    while True:
        path = target.with_name(f"{PARTIAL}{secrets.token_hex(8)}{target.suffix}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl is None:
            os.close(descriptor)
            yield path
            return
        with os.fdopen(descriptor, "wb"):
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:  # not removed between its creation and its locking
                yield path
                return


def remove_partial(folder: Path, pattern: str = f"{PARTIAL}*") -> None:
    """Remove half-written files that no process is writing; what cannot be removed stays."""
    if fcntl is None:
        return
    for path in folder.glob(pattern):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@functools.cache
def _remove_partial_once(folder: Path) -> None:
    """Only once, as a folder may hold many files; and only what `atomic_write` itself has named."""
    remove_partial(folder, PARTIAL + 16 * "[0-9a-f]" + "*")


def write_files_atomic(folder: Path | str, contents: Mapping[str, bytes]) -> None:
    """Write several files to a folder so that a reader finds all the new ones or all the old ones.

    The new files are written to `.incoming`. Renaming that folder to `.complete` commits them all
    in one step; then they are moved to their places. `read_committed` takes a file from `.complete`
    if it is still there, and the next write finishes an interrupted move. The folder is created if
    it is missing, and its other files are left alone. Only one process at a time may write to it.

    Raises AsrError, naming the folder and what to do, if it cannot be written.
    """
    folder = Path(folder)
    incoming = folder / _INCOMING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _finish_commit(folder)
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            incoming.mkdir()
            for name, content in contents.items():
                (incoming / name).write_bytes(content)
                sync(incoming / name)
            sync(incoming)
            incoming.rename(folder / _COMPLETE)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
    except OSError as error:
        raise AsrError(write_error(folder, error)) from error
    try:
        sync(folder)
        _finish_commit(folder)
    except OSError as error:
        _log.warning(
            "%s: saved, but not yet moved into place (%s); the next save will do that",
            folder,
            error,
        )


def read_committed(folder: Path, name: str, max_bytes: int) -> bytes | None:
    """The content of a file that `write_files_atomic` wrote; None if there is none.

    Raises AsrError if it has more than `max_bytes` bytes, is not a regular file or cannot be read.
    """
    for path in (folder / _COMPLETE / name, folder / name):
        try:
            if path.exists() and not path.is_file():  # opening a pipe would block for ever
                raise AsrError(f"{path}: expected a regular file, found something else")
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > max_bytes:
                    raise AsrError(f"{path}: expected at most {max_bytes} bytes, found {size}")
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise AsrError(f"{path}: cannot read ({error.strerror or error})") from error
    return None


def committed_path(folder: Path, name: str) -> Path:
    """The path of a file that `write_files_atomic` wrote; it need not exist."""
    complete = folder / _COMPLETE / name
    return complete if complete.exists() else folder / name


def is_committed(folder: Path) -> bool:
    """Whether every file of the last `write_files_atomic` is in its place."""
    return not (folder / _COMPLETE).exists()


def _finish_commit(folder: Path) -> None:
    """Move committed files to their places; repeating an interrupted move is harmless."""
    if is_committed(folder):
        return
    for path in sorted((folder / _COMPLETE).iterdir()):
        path.replace(folder / path.name)
    sync(folder)
    (folder / _COMPLETE).rmdir()


def write_error(path: Path, error: OSError) -> str:
    """The message for a failed write: the file, the cause and what to do."""
    cause = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "check the disk and the path")
    return f"{path}: cannot write ({cause}); the previous content is unchanged; {advice}"


def sync(path: Path) -> None:
    """Wait until the content of a file, or the list of names in a folder, is on disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders and does not need this
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_stem(key: str) -> str:
    """A file name before its suffix for the id of an utterance, which may be any text.

    The name has no path in it, and different ids have different names: slashes, control characters,
    percent signs and a dot at the start are written as in URLs, `a/b` as `a%2Fb`; what would be too
    long for a file system ends in a hash.
    """
    stem = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", key)
    if len(stem.encode("utf-8", "surrogatepass")) <= _LONGEST_STEM_BYTES:
        return stem
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{stem[:40]}%-{digest}"  # "%-" cannot come from escaping


def is_folder(path: Path | str) -> bool:
    """Whether there is a folder; False also where that cannot be known.

    Unlike `Path.is_dir`, which raises where a name is too long or the folder around it is closed.
    """
    return os.path.isdir(path)  # noqa: PTH112


def files_below(folder: Path, unlisted: Callable[[OSError], object]) -> list[Path]:
    """The files in a folder and in those below it, sorted, without hidden ones.

    `unlisted` is called with the error of each folder that cannot be listed, the first included.
    """
    files = []
    for parent, folders, names in os.walk(folder, onerror=unlisted):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(files)


def make_folder(path: Path | str) -> None:
    """Create a folder and its parents if missing. Raises AsrError, naming it and what to do."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AsrError(write_error(Path(path), error)) from error


def write_text_atomic(path: Path | str, text: str) -> None:
    """Write UTF-8 text, newlines as given. Raises AsrError as `atomic_write` and `utf8` do."""
    content = encode_utf8(text, path)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def encode_utf8(text: str, where: Path | str) -> bytes:
    """Encode a text that is to be written to the file `where`.

    Raises AsrError on a lone surrogate, which Python reads for a byte that is not valid UTF-8.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AsrError(
            f"{where}: cannot write {text[error.start : error.end]!r} as UTF-8; it comes from a "
            "file name or text with bytes that are not valid UTF-8: correct it there"
        ) from error


def write_json_atomic(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON. Raises AsrError as `atomic_write` and `json_text` do."""
    write_text_atomic(path, json_text(value, path))


def json_text(value: Any, where: Path | str) -> str:
    """A value as JSON in the form of all files of this package; keys stay in their order.

    Raises AsrError on a value that JSON cannot represent, NaN and infinity included.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    except (TypeError, ValueError, RecursionError) as error:
        raise AsrError(
            f"{where}: cannot write as JSON ({error}); expected text, finite numbers, booleans, "
            "null, lists and objects"
        ) from error
    return printable_json(text) + "\n"


def json_line(value: Any) -> str:
    """A value, which JSON can represent, as a line of a file of JSON lines."""
    return printable_json(json.dumps(value, ensure_ascii=False)) + "\n"


def parse_json(text: str | bytes, strict: bool = False) -> Any:
    """The value of a JSON text from outside; `strict` refuses NaN and infinity.

    Raises ValueError where it is not JSON or is nested more than `_DEEPEST_JSON` levels deep: what
    goes through it afterwards may recurse.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant if strict else None)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level, depth = [value], 0
    while level := [
        inner
        for item in level
        if isinstance(item, dict | list)
        for inner in (item.values() if isinstance(item, dict) else item)
    ]:
        depth += 1
        if depth > _DEEPEST_JSON:
            raise ValueError(f"nested more than {_DEEPEST_JSON} levels deep")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises AsrError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AsrError(
            f"{path}: cannot read ({error.strerror or error}); expected a readable file"
        ) from error
