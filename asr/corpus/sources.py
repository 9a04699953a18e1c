"""A manifest file read through: every line checked, little of it kept."""

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

from asr.corpus.entries import Entry, parse_entry
from asr.corpus.fetch import fetch_text
from asr.corpus.present import Presence
from asr.corpus.tar import INDEX_FILE, Shard, is_url, read_index
from asr.errors import ManifestError


class Source:
    """A manifest: its entries in order, and any of its lines again later.

    Raises ManifestError if it cannot be read. Small enough to be sent to a worker process.
    """

    def __init__(self, path: Path | str) -> None:
        self.name = str(path)
        """As it was given."""
        remote = is_url(self.name)
        self.path = fetch_text(self.name) if remote else Path(path).absolute()
        self.folder = posixpath.dirname(self.name) if remote else str(self.path.parent)
        """What its paths are relative to: an absolute folder, or a URL."""
        self.is_remote = remote
        self.shards: dict[str, Shard] = {}
        """Those met so far, by their names in the manifest."""
        with self._open() as file:
            self.stamp = _stamp(file)

    def entries(self, require_audio: bool) -> Iterator[tuple[int, Entry]]:
        """Each entry, checked, and the byte at which its line begins.

        Repeated ids and missing recordings show at the end at the latest. Raises ManifestError
        with the line number.
        """
        presence = Presence()
        starts, numbers, ids = array("q"), array("q"), array("q")
        for start, number, line in self.lines():
            entry = parse_entry(line, f"{self.name}, line {number}")
            if entry.get("shard") is not None:
                self._check_shard(entry["shard"], number, require_audio)
            elif require_audio or self.is_remote:
                path = self._audio_path(entry["audio_filepath"], number)
                self._refuse_missing(presence.missing(path, number) if require_audio else None)
            starts.append(start)
            numbers.append(number)
            ids.append(hash(entry["id"]))
            yield start, entry
        self._refuse_missing(presence.rest())
        self._check_ids(starts, numbers, ids)
        if not starts:
            raise ManifestError(
                f"{self.name}: the manifest is empty; expected one JSON object a line"
            )

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """Byte, number from 1, and text of each line that is not blank.

        Raises ManifestError if the file has changed since it was opened.
        """
        start = 0
        with self._open() as file:
            self._refuse_change(file)
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self._unreadable(f"line {number}: {error}") from error
                if line and not line.isspace():
                    yield start, number, line.removesuffix("\n")
                start += len(raw)

    def line(self, start: int) -> str:
        """The line at a byte of the file. Raises ManifestError if the file has changed."""
        with self._open() as file:
            self._refuse_change(file)
            file.seek(start)
            return file.readline().decode("utf-8-sig")

    def sha256(self) -> str:
        """Digest of the file. Raises ManifestError if it has changed since it was opened."""
        with self._open() as file:
            self._refuse_change(file)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _refuse_change(self, file: BinaryIO) -> None:
        if _stamp(file) != self.stamp:
            raise ManifestError(
                f"{self.name}: expected the manifest as it was opened, found it changed; leave it "
                "alone while it is in use"
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
            "object a line"
        )

    def _audio_path(self, path: str, number: int) -> str:
        if os.path.isabs(path):  # noqa: PTH117 (here and below: ten times as fast as a Path)
            return path
        if self.is_remote:
            raise ManifestError(
                f"{self.name}, line {number}: expected recordings in shards beside a manifest that "
                f"is at a URL, found the file {path[:80]!r}; pack them with `asr shard`"
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
        shard = self._index().get(name)
        if shard is None:
            raise ManifestError(
                f"{where}: expected a shard that {INDEX_FILE} tells of, found {name[:80]!r}; the "
                f"manifest and {INDEX_FILE} must come from one `asr shard`"
            )
        self.shards[name] = shard
        if require_audio and not shard.is_remote:
            try:
                size = Path(shard.location).stat().st_size
            except (OSError, ValueError) as error:
                raise ManifestError(
                    f"{where}: expected the shard {shard.location}, found none "
                    f"({getattr(error, 'strerror', error)}); get it again, or make the shards anew"
                ) from error
            if size != shard.num_bytes:
                raise ManifestError(
                    f"{where}: expected {shard.num_bytes} bytes in {shard.location}, found {size}; "
                    "the shard is truncated or another one: get it again, or make the shards anew"
                )

    def _index(self) -> dict[str, Shard]:
        if not hasattr(self, "_index_read"):
            place = f"{self.folder}/{INDEX_FILE}"
            path = fetch_text(place) if self.is_remote else Path(place)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ManifestError(
                    f"{place}: cannot read it ({error}); expected it beside {self.name}, as "
                    "`asr shard` wrote them"
                ) from error
            self._index_read = {
                name: self._located(shard) for name, shard in read_index(text, place).items()
            }
        return self._index_read

    def _located(self, shard: Shard) -> Shard:
        location = shard.location
        if not (is_url(location) or os.path.isabs(location)):  # noqa: PTH117
            location = f"{self.folder}/{location}"
        return Shard(location, shard.num_bytes, shard.sha256, shard.members, shard.listing)

    def _check_ids(self, starts: "array[int]", numbers: "array[int]", ids: "array[int]") -> None:
        """Refuse an id that stands on two lines; equal hashes are looked at again."""
        hashes = np.array(ids, np.int64)
        order = hashes.argsort(kind="stable")
        alike = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        for second, first in sorted((int(order[i + 1]), int(order[i])) for i in alike):
            where = f"{self.name}, line {numbers[second]}"
            one, other = (parse_entry(self.line(starts[i]), where) for i in (first, second))
            if one["id"] == other["id"]:
                raise ManifestError(
                    f"{where}: the id {other['id']!r} stands already on line {numbers[first]}; "
                    "ids must be unique"
                )


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
