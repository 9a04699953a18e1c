"""Fetch an archive and unpack it, trusting neither the network nor the archive.

`download` resumes an interrupted transfer, and a file has its final name only once its size and
SHA-256 are right. `unpack` writes nothing outside its folder, and the folder has its final name
only once it is complete.
"""

import http.client
import lzma
import shutil
import stat
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from asr.errors import AsrError
from asr.files import sha256_of, write_error, write_text_atomic

_CHUNK = 1 << 18
_MAX_DOWNLOAD = 1 << 32
_MAX_UNPACKED = 1 << 32
_MAX_MEMBERS = 200_000
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # zip: a password, an unknown compression
    ValueError,  # a name no file can have
)


class DownloadError(AsrError):
    """A transfer that failed, or an archive that is not what was expected."""


def download_first(
    urls: Sequence[str], path: Path, size: int | None = None, sha256: str | None = None
) -> Path:
    """`download` from the first of several addresses of the same file that answers."""
    failures = []
    for url in urls:
        try:
            return download(url, path, size, sha256)
        except DownloadError as error:
            failures.append(str(error))
    raise DownloadError("\n".join(failures))


def download(
    url: str,
    path: Path,
    size: int | None = None,
    sha256: str | None = None,
    timeout_seconds: float = 30.0,
) -> Path:
    """Fetch `url` to `path` and return `path`; a right file that is there already is kept.

    The transfer goes to `path` + `.part`; what an earlier one left there is continued if the
    server can (HTTP Range), else fetched anew. `size` in bytes and `sha256` (hexadecimal) are
    checked. Without `sha256` the first transfer is trusted: its sum is written beside the file,
    as `path` + `.sha256`, and compared whenever the file is used or fetched again.

    Raises DownloadError if the address cannot be reached, the transfer breaks off, or size or
    sum differ from what was expected.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url}: expected an http:// or https:// address")
    if path.is_file():
        _verify(path, size, sha256, path)
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("ab").close()
    except OSError as error:
        raise DownloadError(write_error(part, error)) from error
    if part.stat().st_size != size:
        _fetch(url, part, size, timeout_seconds)
    try:
        _verify(part, size, sha256, path)
    except DownloadError as error:
        part.unlink()
        raise DownloadError(f"{url}: {error}") from error
    part.replace(path)
    return path


def _verify(file: Path, size: int | None, sha256: str | None, path: Path) -> None:
    """Check `file`, which is or will be `path`."""
    found_size = file.stat().st_size
    if size is not None and found_size != size:
        raise DownloadError(
            f"{file}: expected {size} bytes, found {found_size}; delete it and run again"
        )
    found = sha256_of(file)
    record = path.with_name(path.name + ".sha256")
    if sha256 is None and record.is_file():
        sha256 = record.read_text(encoding="utf-8").split(" ")[0]
    if sha256 is None:
        print(f"{path.name}: SHA-256 {found}, recorded in {record}", file=sys.stderr)
        write_text_atomic(record, f"{found}  {path.name}\n")
    elif found != sha256:
        raise DownloadError(
            f"{file}: expected SHA-256 {sha256}, found {found}; the file is damaged or has been "
            "altered. Delete it and run again; if the sum stays the same and you trust its "
            "origin, unpack it yourself and pass --source"
        )


def _fetch(url: str, part: Path, size: int | None, timeout_seconds: float) -> None:
    """Bring `part` to its full length, continuing where it ends."""
    offset = part.stat().st_size
    if size is not None and offset > size:
        offset = 0
    headers = {"User-Agent": "asr-recipes", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:  # noqa: S310
            if response.status != 206:
                offset = 0  # a server without Range sends the whole file
            elif not _continues_at(response.headers.get("Content-Range", ""), offset):
                raise DownloadError(
                    f"{url}: asked for bytes from {offset}, the server sent "
                    f"{response.headers.get('Content-Range')!r}; delete {part} and run again"
                )
            length = response.headers.get("Content-Length")
            total = None if length is None else offset + int(length)
            with part.open("ab" if offset else "wb") as file:
                _copy(response, file, offset, total, size or _MAX_DOWNLOAD)
    except urllib.error.HTTPError as error:
        if error.code == 416 and offset:  # the remote file is no longer than what is here
            part.write_bytes(b"")
            _fetch(url, part, size, timeout_seconds)
            return
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{url}: the transfer failed ({reason}). Check the network and run again, which "
            "continues it; without a network, unpack a copy of the archive and pass --source"
        ) from error


def _continues_at(content_range: str, offset: int) -> bool:
    return content_range.startswith(f"bytes {offset}-")


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    offset: int,
    total: int | None,
    limit: int,
) -> None:
    """Append the body of `response` to `file`; `total` and `limit` count from the file's start."""
    part = Path(file.name)
    received = offset
    with tqdm(total=total, initial=offset, unit="B", unit_scale=True, desc=part.stem) as progress:
        while chunk := response.read(_CHUNK):
            received += len(chunk)
            if received > limit:
                raise DownloadError(f"{part}: expected at most {limit} bytes, the server has more")
            try:
                file.write(chunk)
            except OSError as error:
                raise DownloadError(write_error(part, error)) from error
            progress.update(len(chunk))
    if total is not None and received < total:
        raise DownloadError(
            f"{part}: the connection ended after {received} of {total} bytes; run again to continue"
        )


def unpack(archive: Path, folder: Path, max_bytes: int = _MAX_UNPACKED) -> Path:
    """Unpack a tar (of any compression) or zip into `folder`, and return it.

    A `folder` that exists is the result of an earlier call, and is kept. Raises DownloadError,
    leaving no `folder`, if the archive is damaged, unpacks to more than `max_bytes` or 200,000
    members, or has a member that would lie or point outside the folder, or is a device.
    """
    if folder.is_dir():
        return folder
    part = folder.with_name(folder.name + ".part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    try:
        if tarfile.is_tarfile(archive):
            _unpack_tar(archive, part, max_bytes)
        else:
            _unpack_zip(archive, part, max_bytes)
    except _DAMAGE as error:
        shutil.rmtree(part)
        raise DownloadError(f"{archive}: cannot unpack it ({error})") from error
    except BaseException:
        shutil.rmtree(part)
        raise
    part.replace(folder)
    return folder


def _unpack_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError("unpacking a tar safely needs Python 3.11.4 or newer")
    with tarfile.open(archive) as tar:
        total = 0
        for count, member in enumerate(tar, 1):
            total += member.size
            _check_bounds(archive, count, total, max_bytes)
            try:
                tar.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise DownloadError(
                    f"{archive}: refused the member {member.name!r} ({error})"
                ) from error


def _unpack_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    root = folder.resolve()
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check_bounds(archive, len(members), sum(m.file_size for m in members), max_bytes)
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DownloadError(
                    f"{archive}: refused the member {member.filename!r} (a link or a device)"
                )
            target = (root / member.filename.replace("\\", "/")).resolve()
            if not target.is_relative_to(root):
                raise DownloadError(
                    f"{archive}: refused the member {member.filename!r} (outside the folder)"
                )
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as source, target.open("wb") as output:
                shutil.copyfileobj(source, output)


def _check_bounds(archive: Path, count: int, total: int, max_bytes: int) -> None:
    if count > _MAX_MEMBERS or total > max_bytes:
        raise DownloadError(
            f"{archive}: unpacks to {count} members and {total} bytes so far, allowed are "
            f"{_MAX_MEMBERS} and {max_bytes}"
        )
