"""Reads a manifest file, local or remote: checks every line, and finds single lines again later."""

import hashlib
import io
import os
import posixpath
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asr.corpus.cache import fetch_text
from asr.corpus.download import DownloadError, check_url
from asr.corpus.file_index import FileIndex
from asr.corpus.record import Record, parse_record
from asr.corpus.tar import INDEX_FILE, Shard, is_url, read_index
from asr.errors import ManifestError
from asr.printing import shown


class ManifestFile:
    """A manifest: its records in order, and any line again by its position.

    Raises ManifestError if it cannot be read. Small enough to be sent to a worker process.
    """

    def __init__(self, path: Path | str) -> None:
        self.name = str(path)
        """The path or URL as given."""
        remote = is_url(self.name)
        self.path = fetch_text(self.name) if remote else Path(path).absolute()
        self.folder = posixpath.dirname(self.name) if remote else str(self.path.parent)
        """The folder that its paths are relative to: an absolute path, or a URL."""
        self.is_remote = remote
        self.shards: dict[str, Shard] = {}
        """The shards named so far, by their names in the manifest."""
        with self._open() as file:
            self.fingerprint = _fingerprint(file)

    def records(self, require_audio: bool) -> Iterator[tuple[int, Record]]:
        """Each record, checked, with the byte position at which its line begins.

        Duplicate ids and missing recordings are reported at the end at the latest. Raises
        ManifestError with the line number.
        """
        file_index = FileIndex()
        # Arrays rather than lists: 24 bytes a line instead of over 100.
        starts, line_numbers, id_hashes = array("q"), array("q"), array("q")
        for start, number, line in self.lines():
            record = parse_record(line, f"{self.name}, line {number}")
            if record.get("shard") is not None:
                self._check_shard(record["shard"], number, require_audio)
            elif require_audio or self.is_remote:
                path = self._audio_path(record["audio_filepath"], number)
                self._refuse_missing(file_index.add(path, number) if require_audio else None)
            starts.append(start)
            line_numbers.append(number)
            id_hashes.append(hash(record["id"]))
            yield start, record
        self._refuse_missing(file_index.flush())
        self._refuse_duplicate_ids(starts, line_numbers, id_hashes)
        if not starts:
            raise ManifestError(
                f"{self.name}: the manifest is empty; expected one JSON object per line"
            )

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """Byte position, line number (from 1) and text of each line that is not blank.

        Raises ManifestError if the file has changed since it was opened.
        """
        start = 0
        with self._open() as file:
            self._refuse_change(file)
            # Read as bytes, not as text: only then is the position of each line known, and only
            # "\n" ends a line (a JSON string may contain U+2028 or U+0085).
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self._unreadable(f"line {number}: {error}") from error
                if line and not line.isspace():
                    yield start, number, line.removesuffix("\n")
                start += len(raw)

    def line(self, start: int) -> str:
        """The line at a byte position. Raises ManifestError if the file has changed."""
        with self._open() as file:
            self._refuse_change(file)
            file.seek(start)
            return file.readline().decode("utf-8-sig")

    def sha256(self) -> str:
        """SHA-256 of the file. Raises ManifestError if it has changed since it was opened."""
        with self._open() as file:
            self._refuse_change(file)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _refuse_change(self, file: BinaryIO) -> None:
        if _fingerprint(file) != self.fingerprint:
            raise ManifestError(
                f"{self.name}: expected the manifest as it was when opened, found it changed; do "
                "not edit a manifest while it is in use"
            )

    def _open(self) -> io.BufferedReader:
        try:
            file = self.path.open("rb")
        except (OSError, ValueError) as error:
            raise self._unreadable(str(error)) from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise self._unreadable("it is a pipe, socket or device")
        return file

    def _unreadable(self, cause: str) -> ManifestError:
        return ManifestError(
            f"{self.name}: cannot read the manifest ({cause}); expected a UTF-8 file with one JSON "
            "object per line"
        )

    def _audio_path(self, path: str, number: int) -> str:
        if os.path.isabs(path):  # noqa: PTH117 (here and below: ten times as fast as a Path)
            return path
        if self.is_remote:
            raise ManifestError(
                f"{self.name}, line {number}: expected recordings in shards, because the manifest "
                f"is at a URL, found the file {path[:80]!r}; pack the corpus with `asr shard`"
            )
        return f"{self.folder}{os.sep}{path}"

    def _refuse_missing(self, missing: tuple[str, int] | None) -> None:
        if missing:
            path, number = missing
            raise ManifestError(
                f"{self.name}, line {number}: no audio file at {path}; audio_filepath is taken "
                "relative to the manifest's folder"
            )

    def _check_shard(self, name: str, number: int, require_audio: bool) -> None:
        if name in self.shards:
            return
        where = f"{self.name}, line {number}"
        shard = self._shard_index().get(name)
        if shard is None:
            raise ManifestError(
                f"{where}: expected a shard listed in {INDEX_FILE}, found {name[:80]!r}; the "
                f"manifest and {INDEX_FILE} must come from the same run of `asr shard`"
            )
        self.shards[name] = shard
        if require_audio and not shard.is_remote:
            try:
                size = Path(shard.location).stat().st_size
            except (OSError, ValueError) as error:
                raise ManifestError(
                    f"{where}: expected the shard {shard.location}, found none "
                    f"({getattr(error, 'strerror', error)}); copy it again, or create the shards "
                    "again with `asr shard`"
                ) from error
            if size != shard.num_bytes:
                raise ManifestError(
                    f"{where}: expected {shard.num_bytes} bytes in {shard.location}, found {size}; "
                    "the shard is truncated or a different one: copy it again, or create the "
                    "shards again with `asr shard`"
                )

    def _shard_index(self) -> dict[str, Shard]:
        if not hasattr(self, "_loaded_index"):
            location = f"{self.folder}/{INDEX_FILE}"
            path = fetch_text(location) if self.is_remote else Path(location)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ManifestError(
                    f"{location}: cannot read it ({error}); expected it beside {self.name}, where "
                    "`asr shard` writes it"
                ) from error
            self._loaded_index = {
                name: self._resolve(shard) for name, shard in read_index(text, location).items()
            }
        return self._loaded_index

    def _resolve(self, shard: Shard) -> Shard:
        """The shard with a location that does not depend on the manifest's folder."""
        location = shard.location
        if not (is_url(location) or os.path.isabs(location)):  # noqa: PTH117
            location = f"{self.folder}/{location}"
        index = f"{self.folder}/{INDEX_FILE}"
        if is_url(location):
            try:
                check_url(location)
            except DownloadError as error:
                raise ManifestError(f"{index}: {error}") from error
        if _is_local(location) and not _is_within(location, self.folder):
            raise ManifestError(
                f"{index}: expected shards in the folder of {INDEX_FILE}, or at a URL, found "
                f"{shown(shard.location)}; move them there"
            )
        return Shard(location, shard.num_bytes, shard.sha256, shard.members, shard.listing)

    def _refuse_duplicate_ids(
        self, starts: "array[int]", line_numbers: "array[int]", id_hashes: "array[int]"
    ) -> None:
        """Raise if an id occurs on two lines.

        Only hashes of the ids are in memory: equal ones are neighbours once sorted, and just those
        lines are read again to compare the ids themselves. A stable sort keeps the earlier line
        first.
        """
        hashes = np.array(id_hashes, np.int64)
        order = hashes.argsort(kind="stable")
        same_as_next = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        for second, first in sorted((int(order[i + 1]), int(order[i])) for i in same_as_next):
            where = f"{self.name}, line {line_numbers[second]}"
            earlier, later = (parse_record(self.line(starts[i]), where) for i in (first, second))
            if earlier["id"] == later["id"]:
                raise ManifestError(
                    f"{where}: the id {later['id']!r} is used on line {line_numbers[first]} "
                    "already; ids must be unique"
                )


def _is_local(location: str) -> bool:
    return not is_url(location) or location.lower().startswith("file:")


def _is_within(location: str, folder: str) -> bool:
    """Whether a path, or a `file:` URL, is that of something below a folder."""
    path, top = (posixpath.normpath(_path(name)) for name in (location, folder))
    return _is_local(folder) and posixpath.commonpath([path, top]) == top != path


def _path(location: str) -> str:
    """The absolute path of a local location."""
    if is_url(location):
        location = location.partition("://")[2]
    return os.path.abspath(location).replace(os.sep, "/")  # noqa: PTH100 (links stay)


def _fingerprint(file: BinaryIO) -> tuple[int, int]:
    """Size and modification time: cheap enough to compare at every access."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
