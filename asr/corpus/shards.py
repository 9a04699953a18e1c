"""Packs a corpus into shards: tar files of some hundred megabytes, for disks and networks that are
slow with many small files.

Members are `NAME.flac` (or another suffix: recordings are copied byte by byte) and `NAME.json`,
the record, in the order given: the layout of webdataset. NAME is the id with all characters except
letters, digits, `_`, `-` and `~` escaped as in URLs (`%2F`); a long one is shortened and ends with
its SHA-256, so that no two ids share a name. A segment of a longer recording is written as 16-bit
FLAC. The output is reproducible: members have neither times nor owners.
"""

import hashlib
import io
import itertools
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from asr.corpus.manifest import Utterance, shard_keys
from asr.corpus.record import Record
from asr.corpus.recordings import read_member, read_utterance
from asr.corpus.tar import INDEX_FILE, MANIFEST_FILE, Member, MemberDigest, Shard, write_index
from asr.errors import AsrError, AudioError
from asr.files import atomic_write, encode_utf8, json_line, make_folder, sha256_of
from asr.signal import audio

_LONGEST_STEM = 80
"""Names in a plain tar header have at most 100 bytes."""
_OTHER_SUFFIX = ".audio"


@dataclass(frozen=True)
class _Sample:
    """The two members of an utterance: a sample in webdataset's terms."""

    name: str
    recording: bytes
    record: Record

    @property
    def metadata(self) -> bytes:
        """The content of the second member."""
        return encode_utf8(json_line(self.record).rstrip("\n"), self.name)


def write_shards(
    utterances: Iterable[Utterance],
    folder: Path,
    shard_bytes: int,
    advance: Callable[[], object] = lambda: None,
) -> list[Shard]:
    """Write shards of at most `shard_bytes`, `shards.json` and `manifest.jsonl` to an empty folder.

    A larger recording gets a shard of its own. `advance` is called after each utterance. Raises
    AudioError on a recording that cannot be read, and AsrError on a folder that is not empty or
    cannot be written; the folder is empty again then. `manifest.jsonl` appears last, so that what a
    killed process leaves behind is not mistaken for a corpus.
    """
    make_folder(folder)
    found = sorted(path.name for path in folder.iterdir())
    if found:
        raise AsrError(
            f"{folder}: expected an empty folder, found {len(found)} files, the first "
            f"{found[0]!r}; name another folder, or remove what is left of an earlier attempt"
        )
    shards: list[Shard] = []
    try:
        with atomic_write(folder / MANIFEST_FILE) as path, path.open("wb") as manifest:
            samples = map(_to_sample, utterances)
            for number, of_shard in itertools.groupby(samples, key=_ShardNumbering(shard_bytes)):
                name = f"shard-{number:06d}.tar"
                with atomic_write(folder / name) as temporary:
                    shard, members = _write_shard(temporary, name, of_shard, advance)
                shards.append(shard)
                for record, member in members:
                    manifest.write(encode_utf8(json_line(record | shard_keys(member)), path))
            write_index(folder, shards)
    except BaseException:
        for name in (*(shard.location for shard in shards), INDEX_FILE):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        raise
    return shards


def member_stem(key: str) -> str:
    """The name of an utterance's members before their suffixes, by its id."""
    stem = quote(key, safe="").replace(".", "%2E")  # a dot would end webdataset's key
    if len(stem) <= _LONGEST_STEM:
        return stem
    # "%-" cannot come from escaping, so this name is not that of another id.
    return f"{stem[:40]}%-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class _ShardNumbering:
    """Assigns shard numbers to samples in order, starting a new shard when one is full.

    The key function of `itertools.groupby`, which makes the groups lazily: only one sample is in
    memory at a time.
    """

    def __init__(self, shard_bytes: int) -> None:
        self._limit, self._filled, self._number = shard_bytes, 0, 0

    def __call__(self, sample: _Sample) -> int:
        size = sum(
            # A header block, and the content padded to whole blocks.
            tarfile.BLOCKSIZE * (1 + -(-len(content) // tarfile.BLOCKSIZE))
            for content in (sample.recording, sample.metadata)
        )
        if self._filled and self._filled + size > self._limit:
            self._number, self._filled = self._number + 1, 0
        self._filled += size
        return self._number


def _to_sample(utterance: Utterance) -> _Sample:
    stem = member_stem(utterance.id)
    if utterance.member is not None:
        suffix, recording = Path(utterance.member.name).suffix, read_member(utterance.member)
    elif utterance.offset is not None or utterance.channel is not None or utterance.damaged:
        suffix = ".flac"
        recording = audio.encode(Path(f"{stem}.flac"), *read_utterance(utterance))
    else:
        suffix, recording = utterance.audio_filepath.suffix.lower(), _whole_file(utterance)
    if suffix not in audio.SUFFIXES:
        suffix = _OTHER_SUFFIX
    record: Record = {
        "id": utterance.id,
        "audio_filepath": f"{stem}{suffix}",
        "duration": round(utterance.duration, 6),
        "text": utterance.text,
    }
    if utterance.speaker is not None:
        record["speaker"] = utterance.speaker
    return _Sample(f"{stem}{suffix}", recording, record)


def _whole_file(utterance: Utterance) -> bytes:
    path = utterance.audio_filepath
    audio.probe(path)  # refuses unreadable audio now rather than during training
    try:
        return path.read_bytes()
    except OSError as error:
        raise AudioError(
            f"{path}: expected a readable audio file, found {error.strerror or error}; check the "
            "path and its permissions"
        ) from error


def _write_shard(
    path: Path, name: str, samples: Iterator[_Sample], advance: Callable[[], object]
) -> tuple[Shard, list[tuple[Record, Member]]]:
    listing, positions = MemberDigest(), []
    with (
        path.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for sample in samples:
            stem = sample.name.partition(".")[0]
            for member, content in (
                (sample.name, sample.recording),
                (f"{stem}.json", sample.metadata),
            ):
                start = file.tell() + tarfile.BLOCKSIZE  # after the header
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                listing.add(member, start, len(content))
                if member == sample.name:
                    positions.append((sample.record, start, len(content)))
            advance()
    shard = Shard(name, path.stat().st_size, sha256_of(path), listing.count, listing.hexdigest())
    return shard, [
        (record, Member(shard, record["audio_filepath"], start, size))
        for record, start, size in positions
    ]
