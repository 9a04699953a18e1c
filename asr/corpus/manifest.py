"""Corpus manifests: JSON lines, one object for each utterance.

`{"id": "an251", "audio_filepath": "wav/an251.wav", "duration": 1.1, "text": "YES", "speaker": "f"}`

`speaker` is optional; an empty `text` means a recording without speech. Relative audio paths are
relative to the manifest's folder, so that a corpus can be moved as a whole. With an `offset` in
seconds (also with `"offset": 0`) the utterance is the segment of the recording that starts there
and lasts `duration` seconds; without it, the whole recording. With a `channel`, counted from 1, it
is that channel of the recording; without it, the mean of all. `"damaged": true` says that the
recording lacks a part, and that what is left of it is meant.

`asr shard` writes manifests of recordings in tar files: `"shard": "shard-000000.tar"` names the tar
file, `audio_filepath` its member, `start_byte` and `num_bytes` the position of the recording in it.
The shards' own description, `shards.json`, lies beside such a manifest.
"""

import bisect
import gc
import itertools
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from asr.corpus.manifest_file import ManifestFile
from asr.corpus.record import Record, parse_record
from asr.corpus.tar import Member, Shard
from asr.errors import ManifestError
from asr.files import encode_utf8, json_line, make_folder, write_text_atomic
from asr.text.tokens import Units, split_text

_CHUNK = 4096
"""Texts whose characters are counted together."""


@dataclass(frozen=True)
class Utterance:
    """One recording, or a segment of one, with its transcript."""

    id: str
    audio_filepath: Path
    """For a recording in a shard, `SHARD/MEMBER`: a name for messages, not a readable path."""
    duration: float
    """Seconds."""
    text: str
    speaker: str | None = None
    offset: float | None = None
    """Start of the utterance within the recording, in seconds; None: the whole recording."""
    member: Member | None = None
    """Position of the recording in a shard; None: it is a file of its own."""
    channel: int | None = None
    """The channel that is meant, counted from 1; None: the mean of all."""
    damaged: bool = False
    """The recording lacks a part, and what is left of it is meant."""


class Corpus(Sequence[Utterance]):
    """The utterances of one or several manifests, in order, read from disk on access.

    Only a few numbers per utterance are in memory; `corpus[i]` reads its line again. Safe to use in
    worker processes and threads, forked or spawned: no file stays open. Raises ManifestError if a
    manifest has changed since it was opened.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        require_audio: bool = True,
        units: Units = "characters",
    ) -> None:
        columns = _Columns(units)
        self._manifests: list[ManifestFile] = []
        self._ends: list[int] = []
        self.sha256: dict[str, str] = {}
        """SHA-256 of each manifest, by its path as given."""
        for path in paths:
            manifest = ManifestFile(path)
            with _garbage_collector_paused():
                for start, record in manifest.records(require_audio):
                    columns.add(start, record, manifest)
            self._manifests.append(manifest)
            self._ends.append(len(columns.starts))
            self.sha256[str(path)] = manifest.sha256()
        self.characters = columns.characters()
        """All code points that occur in the texts."""
        self.tokens = columns.tokens()
        """All characters that occur in the texts, as `units` counts them."""
        self._starts = np.array(columns.starts, np.int64)
        self.durations: NDArray[np.float64] = np.array(columns.durations, np.float64)
        """Seconds of each utterance."""
        self.min_frames: NDArray[np.int32] = np.array(columns.min_frames, np.int32)
        """Fewest frames in which CTC can emit each text (see `asr.corpus.check.minimum_frames`):
        its tokens, plus one for each that repeats the one before; 0 for an empty text."""
        self.shard_indices: NDArray[np.int32] = np.array(columns.shard_indices, np.int32)
        """Index in `shards` of each utterance's shard; -1: a file of its own."""
        self.shards: tuple[Shard, ...] = tuple(columns.shards)
        self.recording_hashes: NDArray[np.int64] = np.array(columns.recording_hashes, np.int64)
        """Equal for the same segment of the same recording, in all corpora of a process."""

    @classmethod
    def open(
        cls,
        paths: Sequence[Path | str],
        require_audio: bool = True,
        units: Units = "characters",
    ) -> "Corpus":
        """Read manifests and check every line, raising as `read_manifest` does.

        Ids must be unique within each manifest. `units` is what the tokens of the texts will be.
        """
        return cls(paths, require_audio, units)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        position = range(len(self))[index]  # handles negative indices, raises IndexError
        manifest = self._manifests[bisect.bisect_right(self._ends, position)]
        where = f"{manifest.name}, utterance {position + 1} of the corpus"
        line = manifest.line(int(self._starts[position]))
        return _to_utterance(parse_record(line, where), manifest)

    def __iter__(self) -> Iterator[Utterance]:
        for manifest in self._manifests:
            for _, number, line in manifest.lines():
                record = parse_record(line, f"{manifest.name}, line {number}")
                yield _to_utterance(record, manifest)


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause the search for reference cycles while a manifest is read.

    Millions of small objects are created and freed here, none of them in a cycle; searching
    everything that torch holds again and again would take a twentieth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Columns:
    """The numbers that are kept of each utterance, as growing arrays (8 bytes a value or less)."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._numbers: dict[str, int] = {}  # of the grapheme clusters
        self.starts, self.durations = array("q"), array("d")
        self.recording_hashes = array("q")
        self.min_frames, self.shard_indices = array("i"), array("i")
        self.shards: dict[Shard, int] = {}
        self._texts: list[str] = []
        self._occurs = np.zeros(sys.maxunicode + 1, np.bool_)

    def add(self, start: int, record: Record, manifest: ManifestFile) -> None:
        shard_index, shard = -1, record.get("shard")
        if shard is not None:
            shard_index = self.shards.setdefault(manifest.shards[shard], len(self.shards))
        self.starts.append(start)
        self.durations.append(record["duration"])
        self.shard_indices.append(shard_index)
        part = record.get("offset"), record.get("channel")
        recording = manifest.folder, shard, record["audio_filepath"], *part
        self.recording_hashes.append(hash(recording))
        self._texts.append(record["text"])
        if len(self._texts) == _CHUNK:
            self._count_characters()

    def characters(self) -> frozenset[str]:
        """All code points that occur; to be called once every record has been added."""
        self._count_characters()
        return frozenset(map(chr, np.flatnonzero(self._occurs).tolist()))

    def tokens(self) -> frozenset[str]:
        """All tokens that occur; to be called after `characters`."""
        return self.characters() if self._units == "characters" else frozenset(self._numbers)

    def _count_characters(self) -> None:
        """Note the characters of the collected texts, and append the `min_frames` of each.

        A Python loop over the characters would take longer than reading the manifest. Instead the
        texts are joined and treated as one array of code points; the number of repeats in each
        text is then a difference of two prefix sums. Grapheme clusters, which take such a loop, are
        numbered in the order in which they are met.
        """
        codes = np.frombuffer("".join(self._texts).encode("utf-32-le"), np.uint32)
        self._occurs[codes] = True
        texts: Sequence[Sequence[str]] = self._texts
        if self._units == "graphemes":
            texts, numbers = [split_text(text, "graphemes") for text in self._texts], self._numbers
            clusters = itertools.chain.from_iterable(texts)
            codes = np.array([numbers.setdefault(c, len(numbers)) for c in clusters], np.uint32)
        lengths = np.array([len(text) for text in texts], np.int64)
        ends = lengths.cumsum()
        begins = ends - lengths
        # repeats[i + 1] says whether character i repeats the one before, so that the prefix sum
        # up to and including index i counts the characters before i.
        repeats = np.zeros(len(codes) + 2, np.int64)
        repeats[2:-1] = codes[1:] == codes[:-1]
        # The first character of a text follows the last one of another text, which is no repeat.
        # An empty text at the end begins at len(codes); the last element is there for its index.
        repeats[begins + 1] = 0
        prefix_sums = repeats.cumsum()
        self.min_frames.extend((lengths + prefix_sums[ends] - prefix_sums[begins]).tolist())
        self._texts.clear()


def total_hours(utterances: Iterable[Utterance]) -> float:
    """How many hours some utterances last together."""
    return sum(utterance.duration for utterance in utterances) / 3600


def read_manifest(path: Path | str, require_audio: bool = True) -> list[Utterance]:
    """Read every utterance of a manifest, in order.

    Text is brought to its normal form. Raises ManifestError with the line number on
    malformed JSON, a missing, unknown or mistyped key, a duplicate id, a duration that is not
    positive, a shard that is not in `shards.json`, or (unless `require_audio` is False) an audio
    file or shard that does not exist, or a shard that does not have the size stated there.
    """
    manifest = ManifestFile(path)
    return [_to_utterance(record, manifest) for _, record in manifest.records(require_audio)]


def _to_utterance(record: Record, manifest: ManifestFile) -> Utterance:
    """The utterance that a checked record describes, with absolute paths."""
    member, folder = None, manifest.folder
    if record.get("shard") is not None:
        shard = manifest.shards[record["shard"]]
        folder = shard.location
        member = Member(shard, record["audio_filepath"], record["start_byte"], record["num_bytes"])
    return Utterance(
        id=record["id"],
        audio_filepath=Path(folder, record["audio_filepath"]),
        duration=record["duration"],
        text=record["text"],
        speaker=record.get("speaker"),
        offset=record.get("offset"),
        member=member,
        channel=record.get("channel"),
        damaged=bool(record.get("damaged")),
    )


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically, with audio paths relative to its folder.

    A file that has the same content already is not touched, because a training run that reads it
    would stop at a changed modification time. Utterances in shards are written with the names of
    their shards, so the manifest must be beside `shards.json`: raises ManifestError if the shards
    are in another folder or a record could not be read again, and AsrError if the file cannot be
    written.
    """
    path = Path(path)
    folder = path.parent.resolve()
    lines = [json_line(_to_record(utterance, folder)) for utterance in utterances]
    for number, line in enumerate(lines, start=1):
        parse_record(line, f"{path}: not written: line {number}")
    text = "".join(lines)
    with suppress(OSError):
        if path.read_bytes() == encode_utf8(text, path):
            return
    make_folder(path.parent)
    write_text_atomic(path, text)


def _to_record(utterance: Utterance, folder: Path) -> Record:
    member = utterance.member
    name = os.path.relpath(utterance.audio_filepath.resolve(), folder) if member is None else None
    record: Record = {
        "id": utterance.id,
        "audio_filepath": member.name if member else name,
        "duration": round(utterance.duration, 6),
        "text": utterance.text,
    }
    if utterance.speaker is not None:
        record["speaker"] = utterance.speaker
    if utterance.offset is not None:
        record["offset"] = round(utterance.offset, 6)
    if utterance.channel is not None:
        record["channel"] = utterance.channel
    if utterance.damaged:
        record["damaged"] = True
    if member is not None:
        record |= shard_keys(member)
        if Path(member.shard.location).parent.resolve() != folder:
            raise ManifestError(
                f"{folder}: expected utterances in shards of this folder, found {utterance.id} in "
                f"{member.shard.location}; write the manifest beside its shards"
            )
    return record


def shard_keys(member: Member) -> Record:
    """The keys of a record that give the position of a recording in a shard."""
    return {
        "shard": Path(member.shard.location).name,
        "start_byte": member.start_byte,
        "num_bytes": member.num_bytes,
    }
