"""Files at URLs, brought whole into a bounded folder of copies.

Any URL that fsspec knows will do. A copy is named by its SHA-256 and takes its name only when all
of it is there and has that digest, so that a transfer cut short is never taken for whole. Several
processes may fetch at once: one fetches a file, those that want the same wait for it. Copies of
shards least recently used go to make room for another within the bound, which several processes
that fetch at once may exceed by a shard each.
"""

import hashlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from asr.errors import AsrError, AudioError, ConfigError, ManifestError
from asr.files import atomic_write, make_folder, write_error

try:
    import fcntl
except ImportError:  # Windows; there each process may fetch a copy of its own, and one remains
    fcntl = None  # type: ignore[assignment]

FOLDER_VARIABLE = "ASR_CACHE"
"""Environment variable: the folder of the copies; `asr` in the user's folder of caches if unset."""
LIMIT_VARIABLE = "ASR_CACHE_GB"
"""Environment variable: the most that copies of shards take, in units of 10⁹ bytes."""
_DEFAULT_GB = 20.0
_BLOCK_BYTES = 1 << 20
_TRIES = 5
_PARTIAL = ".part-"
"""Begins the names of files that are being written, those of `atomic_write` as well."""
_STALE_SECONDS = 86_400.0


def cache_folder() -> Path:
    """Where copies are kept."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else (Path(caches) if caches else Path.home() / ".cache") / "asr"


def cache_limit_bytes() -> float:
    """How much the copies of shards may take. Raises ConfigError on anything but a number."""
    stated = os.environ.get(LIMIT_VARIABLE) or str(_DEFAULT_GB)
    try:
        limit = float(stated) * 1e9
    except ValueError:
        limit = -1.0
    if not limit >= 0:
        raise ConfigError(f"{LIMIT_VARIABLE}: expected gigabytes as a number, found {stated!r}")
    return limit


def open_cached_shard(url: str, num_bytes: int, sha256: str) -> BinaryIO:
    """The local copy of a shard, open for reading; fetched first if there is none.

    Raises AudioError if the URL cannot be read or holds other bytes than these, AsrError if the
    copy cannot be written. The copy in use stays readable even when it is dropped meanwhile.
    """
    path = cache_folder() / f"{sha256}.tar"
    try:
        for _ in range(_TRIES):
            file = _open_whole(path, num_bytes)
            if file is not None:
                return file
            _fetch_shard(url, num_bytes, sha256, path)
    except OSError as error:
        raise AsrError(write_error(path, error)) from error
    raise AudioError(  # many processes, and room for few shards
        f"{url}: expected its copy to stay in {path.parent} while it is used, found it dropped "
        f"{_TRIES} times; raise {LIMIT_VARIABLE}"
    )


def _open_whole(path: Path, num_bytes: int) -> BinaryIO | None:
    """A copy, marked as used now; None if there is none. One of another size is removed."""
    try:
        file = io.FileIO(path)
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size != num_bytes:
        file.close()
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # dropped meanwhile, or in a folder of somebody else
        os.utime(path)
    return io.BufferedReader(file)


def fetch_text(url: str, limit_bytes: int = 1 << 36) -> Path:
    """A copy of a manifest or of another file of text, fetched anew.

    Raises ManifestError if the URL cannot be read, AsrError if the copy cannot be written.
    """
    folder = cache_folder()
    make_folder(folder)
    temporary = folder / f"{_PARTIAL}{secrets.token_hex(4)}"
    try:
        digest, size = _copy(url, temporary, limit_bytes)
        path = folder / f"{digest}.text"
        with _lock(digest):
            # One that is there is the same, and another process may hold it to its time.
            if not (path.is_file() and path.stat().st_size == size):
                temporary.replace(path)
    except AudioError as error:
        raise ManifestError(str(error)) from error
    except OSError as error:
        raise AsrError(write_error(temporary, error)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _fetch_shard(url: str, num_bytes: int, sha256: str, path: Path) -> None:
    make_folder(path.parent)
    with _lock(sha256):
        if path.exists():  # another process was faster
            return
        _make_room(path.parent, num_bytes)
        with atomic_write(path) as temporary:
            digest, found = _copy(url, temporary, num_bytes)
            if (digest, found) != (sha256, num_bytes):
                size = f"{num_bytes} bytes of SHA-256 {sha256[:12]}…"
                raise AudioError(
                    f"{url}: expected {size}, found {found} of {digest[:12]}…; the shard is "
                    "truncated or another one: get it again, or make the shards anew"
                )


def _copy(url: str, target: Path, limit_bytes: int) -> tuple[str, int]:
    """Fetch into a file; the SHA-256 and the number of bytes. Stops soon after `limit_bytes`."""
    digest, total = hashlib.sha256(), 0
    with target.open("wb") as file:
        for block in _blocks(url):
            file.write(block)
            digest.update(block)
            total += len(block)
            if total > limit_bytes:
                break
    return digest.hexdigest(), total


def _blocks(url: str) -> Iterator[bytes]:
    import fsspec  # type: ignore[import-untyped]

    try:
        with fsspec.open(url, "rb") as remote:
            while block := remote.read(_BLOCK_BYTES):
                yield block
    except Exception as error:  # each of fsspec's file systems has errors of its own
        cause = f"{type(error).__name__}: {error}"
        raise AudioError(
            f"{url}: expected a file that can be fetched, found {cause}; check the address, the "
            "network and your rights there"
        ) from error


def _make_room(folder: Path, num_bytes: int) -> None:
    """Drop the copies least recently used until another of `num_bytes` fits."""
    limit = cache_limit_bytes()
    copies = []
    for entry in os.scandir(folder):
        with suppress(OSError):
            status = entry.stat()
            if entry.name.endswith(".tar") and not entry.name.startswith("."):
                copies.append((status.st_mtime, entry.path, status.st_size))
            elif entry.name.startswith(_PARTIAL) and status.st_mtime < time.time() - _STALE_SECONDS:
                Path(entry.path).unlink()  # of a process that was killed
    total = sum(size for _, _, size in copies) + num_bytes
    for _, path, size in sorted(copies):
        if total <= limit:
            return
        with suppress(OSError):
            Path(path).unlink()
        total -= size


@contextmanager
def _lock(sha256: str) -> Iterator[None]:
    """One process at a time for a digest; the lock of a process that dies is free again."""
    with (cache_folder() / f"lock-{int(sha256[:8], 16) % 64}").open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
