"""The cache of remote files: shards and manifests at URLs, downloaded whole and verified.

A cached shard is named by its SHA-256 and gets this name only when it is complete and has that
digest, so that an interrupted transfer is never mistaken for a whole one. Several processes may
use the cache at once: one downloads a shard, the others that need it wait. The least recently used
shards are removed to make room for new ones within `ASR_CACHE_GB`; processes that download at the
same time may exceed it by one shard each.
"""

import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from asr.corpus.download import ContentError, DownloadError, transfer, verify
from asr.errors import AsrError, AudioError, ConfigError, ManifestError
from asr.files import PARTIAL, atomic_write, make_folder, sha256_of, write_error

try:
    import fcntl
except ImportError:  # Windows: processes may download the same shard twice; one copy remains
    fcntl = None  # type: ignore[assignment]

FOLDER_VARIABLE = "ASR_CACHE"
"""Environment variable: the cache folder; by default `asr` in the user's cache folder."""
LIMIT_VARIABLE = "ASR_CACHE_GB"
"""Environment variable: the largest total size of cached shards, in units of 10⁹ bytes."""
_DEFAULT_GB = 20.0
_MAX_TEXT_BYTES = 1 << 36
_ATTEMPTS = 5
_STALE_SECONDS = 86_400.0
"""Age at which a partial file must belong to a process that was killed."""


def cache_folder() -> Path:
    """The folder of cached files."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else (Path(caches) if caches else Path.home() / ".cache") / "asr"


def cache_limit_bytes() -> float:
    """The largest total size of cached shards. Raises ConfigError if it is not a valid number."""
    stated = os.environ.get(LIMIT_VARIABLE) or str(_DEFAULT_GB)
    try:
        limit = float(stated) * 1e9
    except ValueError:
        limit = -1.0
    if not limit >= 0:
        raise ConfigError(
            f"{LIMIT_VARIABLE}: expected gigabytes as a number of 0 or more, found {stated!r}"
        )
    return limit


def open_cached_shard(url: str, num_bytes: int, sha256: str) -> BinaryIO:
    """Open the cached copy of a remote shard, downloading it first if there is none.

    The open file stays readable even if the copy is removed from the cache in the meantime. Raises
    AudioError if the URL cannot be read or its content has another size or SHA-256, AsrError if the
    copy cannot be written.
    """
    path = cache_folder() / f"{sha256}.tar"
    try:
        # A copy that another process downloaded may be evicted before this one opens it.
        for _ in range(_ATTEMPTS):
            file = _open_complete(path, num_bytes)
            file = file or _download_shard(url, num_bytes, sha256, path)
            if file is not None:
                return file
    except OSError as error:
        raise AsrError(write_error(path, error)) from error
    raise AudioError(
        f"{url}: expected its copy to stay in {path.parent} while it is opened, found it removed "
        f"{_ATTEMPTS} times; too many processes share too small a cache: raise {LIMIT_VARIABLE}"
    )


def _open_complete(path: Path, num_bytes: int) -> BinaryIO | None:
    """Open a copy and mark it as just used; None if there is none. A truncated one is removed."""
    try:
        file = io.FileIO(path)
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size != num_bytes:
        file.close()
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # removed in the meantime, or the folder belongs to another user
        os.utime(path)
    return io.BufferedReader(file)


def fetch_text(url: str) -> Path:
    """Download a manifest or another text file, anew each time, and return the path of the copy.

    Raises ManifestError if the URL cannot be read, AsrError if the copy cannot be written.
    """
    folder = cache_folder()
    make_folder(folder)
    temporary = folder / f"{PARTIAL}{secrets.token_hex(4)}"
    try:
        temporary.touch()
        transfer(url, temporary, _MAX_TEXT_BYTES)
        digest, size = sha256_of(temporary), temporary.stat().st_size
        path = folder / f"{digest}.text"
        with _lock(digest):
            # An existing copy has the same content, and another process may have recorded its
            # modification time: it must not be replaced.
            if not (path.is_file() and path.stat().st_size == size):
                temporary.replace(path)
    except DownloadError as error:
        raise ManifestError(str(error)) from error
    except OSError as error:
        raise AsrError(write_error(temporary, error)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _download_shard(url: str, num_bytes: int, sha256: str, path: Path) -> BinaryIO | None:
    """Download a shard and open it; None if another process did while this one waited."""
    make_folder(path.parent)
    with _lock(sha256):
        if path.exists():
            return None
        _make_room(path.parent, num_bytes)
        with atomic_write(path) as temporary:
            try:
                transfer(url, temporary, num_bytes)
                verify(temporary, num_bytes, sha256, url)
            except ContentError as error:
                raise AudioError(
                    f"{error}; the shard is truncated or a different one: copy it there again, or "
                    "create the shards again with `asr shard`"
                ) from error
            except DownloadError as error:
                raise AudioError(str(error)) from error
            # Opened before it gets its name: from then on another process may evict it. Windows
            # cannot rename an open file.
            file = io.BufferedReader(io.FileIO(temporary)) if fcntl is not None else None
    return file


def _make_room(folder: Path, num_bytes: int) -> None:
    """Remove the least recently used copies until another of `num_bytes` fits."""
    limit = cache_limit_bytes()
    copies = []
    for entry in os.scandir(folder):
        with suppress(OSError):  # another process may remove files at the same time
            status = entry.stat()
            if entry.name.endswith(".tar") and not entry.name.startswith("."):
                copies.append((status.st_mtime, entry.path, status.st_size))
            elif entry.name.startswith(PARTIAL) and status.st_mtime < time.time() - _STALE_SECONDS:
                Path(entry.path).unlink()
    total = sum(size for _, _, size in copies) + num_bytes
    for _, path, size in sorted(copies):
        if total <= limit:
            return
        with suppress(OSError):
            Path(path).unlink()
        total -= size


@contextmanager
def _lock(sha256: str) -> Iterator[None]:
    """One process at a time for a digest; the system releases the lock of a process that dies.

    64 lock files serve all digests, so that they need not be cleaned up.
    """
    with (cache_folder() / f"lock-{int(sha256[:8], 16) % 64}").open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
