"""Downloads of remote files, resumed where they ended and verified by size and SHA-256.

HTTP and HTTPS go through the standard library; any other URL through fsspec (`s3://`, `gs://` and
the like need the package that fsspec names for them).
"""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from asr.errors import AsrError
from asr.files import sha256_of
from asr.printing import shown

SCHEMES = "http https file memory s3 s3a gs gcs az abfs abfss adl oss hf hdfs webhdfs".split()
"""What URLs may begin with. Others of fsspec's protocols open what another URL names, compute what
a file says, or read from this machine's own programs: an index of shards, which anybody may have
written, must not ask for that."""
_CHUNK_BYTES = 1 << 18


class DownloadError(AsrError):
    """A file that cannot be downloaded."""


class ContentError(DownloadError):
    """A downloaded file whose size or SHA-256 is not the expected one."""


def check_url(url: str) -> None:
    """Raise DownloadError unless a URL is of one of `SCHEMES`; `::` would chain several."""
    scheme = url.partition("://")[0]
    is_chain = "::" in url and scheme.lower() not in ("http", "https")  # which name IPv6 hosts so
    if is_chain or scheme.lower() not in SCHEMES:
        raise DownloadError(
            f"{url[:200]}: expected a URL that begins with one of {', '.join(SCHEMES)}, without "
            f"`::`, found {shown(scheme)}; copy the files to such a place, or to this machine"
        )


class _Remote(NamedTuple):
    stream: BinaryIO | http.client.HTTPResponse
    offset: int
    """Position in the remote file at which the stream begins."""
    total: int | None
    """Size of the remote file in bytes, if the server states it."""


def transfer(
    url: str,
    target: Path,
    max_bytes: int,
    timeout_seconds: float = 30.0,
    show_progress: bool = False,
) -> None:
    """Download `url` to `target`, an existing file, continuing where its content ends.

    A server that does not support ranges sends the whole file, which then replaces what was there.
    Raises ContentError if the remote file has more than `max_bytes` bytes, DownloadError if
    `check_url` refuses it, it cannot be reached or the connection breaks off (what has arrived
    stays in `target`), and OSError if `target` cannot be written.
    """
    check_url(url)
    with contextlib.ExitStack() as stack:
        # Errors of the remote side and of the disk are told apart by where they are raised: both
        # may be OSErrors.
        try:
            remote = _open_remote(url, target.stat().st_size, timeout_seconds, stack)
        except DownloadError:
            raise
        except Exception as error:  # each file system of fsspec has exceptions of its own
            raise _failure(url, error) from error
        received = remote.offset
        file = stack.enter_context(target.open("ab" if received else "wb"))
        progress = stack.enter_context(
            tqdm(
                total=remote.total,
                initial=received,
                unit="B",
                unit_scale=True,
                desc=target.stem,
                disable=not show_progress,
            )
        )
        for chunk in _chunks(url, remote):
            received += len(chunk)
            if received > max_bytes:
                raise ContentError(f"{url}: expected at most {max_bytes} bytes, found more")
            file.write(chunk)
            progress.update(len(chunk))
    if remote.total is not None and received < remote.total:
        raise DownloadError(
            f"{url}: the connection ended after {received} of {remote.total} bytes; try again"
        )


def verify(path: Path, num_bytes: int | None, sha256: str | None, where: str) -> None:
    """Check a file's size and SHA-256 in hexadecimal; None is not checked.

    Raises ContentError, its message starting with `where`, if they differ.
    """
    size = path.stat().st_size
    if num_bytes is not None and size != num_bytes:
        raise ContentError(f"{where}: expected {num_bytes} bytes, found {size}")
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        raise ContentError(f"{where}: expected SHA-256 {sha256}, found {found}")


def _open_remote(
    url: str, offset: int, timeout_seconds: float, stack: contextlib.ExitStack
) -> _Remote:
    if url.partition("://")[0].lower() in ("http", "https"):
        return _open_http(url, offset, timeout_seconds, stack)
    import fsspec  # type: ignore[import-untyped]

    stream = stack.enter_context(fsspec.open(url, "rb"))
    if offset:
        stream.seek(offset)
    return _Remote(stream, offset, None)


def _open_http(
    url: str, offset: int, timeout_seconds: float, stack: contextlib.ExitStack
) -> _Remote:
    headers = {"User-Agent": "asr", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    try:
        response = stack.enter_context(
            urllib.request.urlopen(request, timeout=timeout_seconds)  # noqa: S310
        )
    except urllib.error.HTTPError as error:
        if error.code == 416 and offset:  # the remote file is no longer than the local part
            return _open_http(url, 0, timeout_seconds, stack)
        raise DownloadError(
            f"{url}: the server answered {error.code} {error.reason}; check the address and your "
            "permissions"
        ) from error
    if response.status == 206:
        content_range = response.headers.get("Content-Range", "")
        if not content_range.startswith(f"bytes {offset}-"):
            raise DownloadError(
                f"{url}: expected bytes from {offset} on, found {content_range!r} in the server's "
                "answer; remove the partial file and try again"
            )
    else:
        offset = 0
    length = response.headers.get("Content-Length")
    return _Remote(response, offset, None if length is None else offset + int(length))


def _chunks(url: str, remote: _Remote) -> Iterator[bytes]:
    while True:
        try:
            chunk = remote.stream.read(_CHUNK_BYTES)
        except Exception as error:  # as above
            raise _failure(url, error) from error
        if not chunk:
            return
        yield chunk


def _failure(url: str, error: Exception) -> DownloadError:
    cause = getattr(error, "reason", None) or f"{type(error).__name__}: {error}"
    return DownloadError(
        f"{url}: cannot download it ({cause}); check the address, the network and your permissions"
    )
