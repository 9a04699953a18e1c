"""Download a corpus archive from one of several mirrors and unpack it safely.

`download` resumes an interrupted transfer and renames the file to its final name only after
verifying its size and SHA-256. `unpack` writes nothing outside its folder, which gets its final
name only when it is complete.
"""

import lzma
import shutil
import stat
import sys
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from asr.corpus.download import ContentError, DownloadError, transfer, verify
from asr.files import sha256_of, write_error, write_text_atomic

__all__ = ["DownloadError", "download", "download_first", "unpack"]

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
    ValueError,  # an impossible file name
)


def download_first(
    urls: Sequence[str], path: Path, size: int | None = None, sha256: str | None = None
) -> Path:
    """`download` from the first of several mirrors that succeeds."""
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
    """Download `url` to `path` and return `path`; an existing file that is valid is kept.

    The transfer goes to `path` + `.part`; an earlier partial file is continued if the server
    supports it. `size` in bytes and `sha256` (hexadecimal) are checked. Without `sha256` the first
    download is trusted: its digest is written to `path` + `.sha256` and compared whenever the file
    is used or downloaded again.

    Raises DownloadError if the address cannot be reached, the transfer breaks off, the file cannot
    be written, or size or digest differ from what was expected.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url}: expected an http:// or https:// address")
    if path.is_file():
        _check(path, size, sha256, path, f"{path}")
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.open("ab").close()
        if size is not None and part.stat().st_size > size:
            part.write_bytes(b"")
        if part.stat().st_size != size:
            transfer(url, part, size or _MAX_DOWNLOAD, timeout_seconds, show_progress=True)
    except OSError as error:
        raise DownloadError(write_error(part, error)) from error
    except DownloadError as error:
        raise DownloadError(
            f"{error}. Run again to continue; without a network, unpack a copy of the archive and "
            "pass --source"
        ) from error
    try:
        _check(part, size, sha256, path, url)
    except DownloadError:
        part.unlink()
        raise
    part.replace(path)
    return path


def _check(file: Path, size: int | None, sha256: str | None, path: Path, where: str) -> None:
    """Verify `file`, which is or will become `path`, recording its digest if none is known."""
    record = path.with_name(path.name + ".sha256")
    if sha256 is None and record.is_file():
        sha256 = record.read_text(encoding="utf-8").split(" ")[0]
    try:
        verify(file, size, sha256, where)
    except ContentError as error:
        raise DownloadError(
            f"{error}; the file is damaged or has been altered. Delete {path} if it exists and run "
            "again; if the error persists and you trust the source, unpack it yourself and pass "
            "--source"
        ) from error
    if sha256 is None:
        found = sha256_of(file)
        print(f"{path.name}: SHA-256 {found}, recorded in {record}", file=sys.stderr)
        write_text_atomic(record, f"{found}  {path.name}\n")


def unpack(archive: Path, folder: Path, max_bytes: int = _MAX_UNPACKED) -> Path:
    """Unpack a tar (of any compression) or zip into `folder`, and return it.

    An existing `folder` is the result of an earlier call and is kept. Raises DownloadError, leaving
    no `folder`, if the archive is damaged, unpacks to more than `max_bytes` or 200,000 members, or
    has a member that is a device or would lie or point outside the folder.
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
            f"{archive}: unpacks to {count} members and {total} bytes so far; the limits are "
            f"{_MAX_MEMBERS} and {max_bytes}"
        )
