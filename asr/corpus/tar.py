"""The format of shards: tar files of recordings, described by `shards.json` beside the manifest.

The layout is that of webdataset: `NAME.flac`, the recording, followed by `NAME.json`, its record.
`shards.json` states the size of each shard, its SHA-256, and a digest of the list of its members,
so that any file that is not the one written is refused.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from asr.corpus.record import is_plain_name
from asr.errors import AsrError, AudioError, ManifestError
from asr.files import parse_json, write_json_atomic

MANIFEST_FILE, INDEX_FILE = "manifest.jsonl", "shards.json"
"""The files that `asr shard` writes beside the shards."""
_VERSION = 1
_REMEDY = "copy it again, or create the shards again with `asr shard`"


@dataclass(frozen=True)
class Shard:
    """A tar file of recordings, as `shards.json` describes it."""

    location: str
    """Path or URL."""
    num_bytes: int
    sha256: str
    members: int
    listing: str
    """SHA-256 of the names, positions and sizes of the members, as `MemberDigest` computes it."""

    @property
    def is_remote(self) -> bool:
        """Whether it must be downloaded before it can be read."""
        return is_url(self.location)


@dataclass(frozen=True)
class Member:
    """Position of a recording in a shard."""

    shard: Shard
    name: str
    start_byte: int
    num_bytes: int


def is_url(location: str) -> bool:
    """Whether a location is a URL rather than a path."""
    return "://" in location


class MemberDigest:
    """A digest of the list of members of a shard, in order, and their number."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, name: str, start_byte: int, num_bytes: int) -> None:
        """Add a member: its name, and the position and number of its bytes in the tar file."""
        self.count += 1
        self._hash.update(f"{name}\t{start_byte}\t{num_bytes}\n".encode())

    def hexdigest(self) -> str:
        """SHA-256 in hexadecimal."""
        return self._hash.hexdigest()


def write_index(folder: Path, shards: Iterable[Shard]) -> None:
    """Write `shards.json`; the locations of the shards are file names in `folder`."""
    described = {
        shard.location: {
            "num_bytes": shard.num_bytes,
            "sha256": shard.sha256,
            "members": shard.members,
            "listing": shard.listing,
        }
        for shard in shards
    }
    write_json_atomic(folder / INDEX_FILE, {"version": _VERSION, "shards": described})


def read_index(text: str, where: str) -> dict[str, Shard]:
    """The shards of a `shards.json`, by name. Raises ManifestError if it is malformed."""
    try:
        content = parse_json(text)
        if content["version"] != _VERSION:
            raise ManifestError(
                f"{where}: expected version {_VERSION}, found {content['version']!r}; use the "
                "version of asr that wrote it, or create the shards again with `asr shard`"
            )
        return {str(name): _shard(str(name), fields) for name, fields in content["shards"].items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{where}: expected an index written by `asr shard`, found something else "
            f"({type(error).__name__}: {error}); {_REMEDY}"
        ) from error


def _shard(name: str, fields: Any) -> Shard:
    num_bytes, members = fields["num_bytes"], fields["members"]
    sha256, listing = fields["sha256"], fields["listing"]
    if type(num_bytes) is not int or type(members) is not int:
        raise TypeError(f"{name}: num_bytes and members must be integers")
    for digest in (sha256, listing):
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{name}: {digest[:80]!r} is not a SHA-256")
    return Shard(name, num_bytes, sha256, members, listing)


def check_members(file: BinaryIO, shard: Shard, expected_names: Callable[[], Set[str]]) -> None:
    """Check that the members of an open shard are those that were written.

    `expected_names` returns the names in the manifest, to find out which members are foreign; it is
    called only if something is wrong. Raises AudioError on a file that is not a tar file or is
    truncated, on links and devices, on absolute and `..` names, and on other members than those
    written.
    """
    listing, names = MemberDigest(), []
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                if not info.isreg():
                    raise shard_error(
                        shard, "regular files", f"a link or device, {info.name[:80]!r}"
                    )
                if not is_plain_name(info.name):
                    raise shard_error(shard, "plain names of members", f"{info.name[:80]!r}")
                listing.add(info.name, info.offset_data, info.size)
                names.append(info.name)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise shard_error(shard, "a whole tar file", f"damage ({error})") from error
    if (listing.count, listing.hexdigest()) == (shard.members, shard.listing):
        return
    expected, stems = f"the {shard.members} members listed in {INDEX_FILE}", set[str]()
    with suppress(AsrError):
        stems = {name.partition(".")[0] for name in expected_names()}
    foreign = [name for name in names if stems and name.partition(".")[0] not in stems]
    if foreign:
        raise shard_error(shard, expected, f"{len(foreign)} unexpected, first {foreign[0][:80]!r}")
    raise shard_error(shard, expected, f"{listing.count} with other names, positions or sizes")


def member_bytes(file: BinaryIO, member: Member) -> bytes:
    """The content of a member of an open shard.

    Raises AudioError unless it is preceded by a tar header with its name and size.
    """
    expected = f"{member.name} of {member.num_bytes} bytes at byte {member.start_byte}"
    end = member.shard.num_bytes - member.num_bytes
    if not tarfile.BLOCKSIZE <= member.start_byte <= end:
        raise shard_error(member.shard, expected, f"a shard of {member.shard.num_bytes} bytes")
    file.seek(member.start_byte - tarfile.BLOCKSIZE)
    try:
        info = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise shard_error(member.shard, expected, f"no tar header there ({error})") from error
    if not info.isreg() or (info.name, info.size) != (member.name, member.num_bytes):
        found = f"{info.name[:80]} of {info.size} bytes"
        raise shard_error(member.shard, expected, found)
    return file.read(member.num_bytes)


def shard_error(shard: Shard, expected: str, found: str) -> AudioError:
    """The form of all error messages about shards."""
    return AudioError(f"{shard.location}: expected {expected}, found {found}; {_REMEDY}")
