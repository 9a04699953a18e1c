"""Corpus manifests: one JSON object a line, one line an utterance.

`{"id": "an251", "audio_filepath": "wav/an251.wav", "duration": 1.1, "text": "YES", "speaker": "f"}`

`speaker` is optional; with an empty `text` nothing is said in the recording. Relative audio paths
are relative to the manifest's folder, so that a corpus can be moved as a whole. With
`"offset": 12.5`, also with `"offset": 0`, the utterance is the part of the recording from there on
that is `duration` seconds long; without it, the whole recording.

`asr shard` writes manifests of recordings in tar files: `"shard": "shard-000000.tar"` names the tar
file, `audio_filepath` its member, `start_byte` and `num_bytes` where in it the recording lies.

A manifest may also be at a URL that fsspec can open, if its recordings lie in shards beside it.
"""

import bisect
import gc
import json
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

from asr.corpus.entries import Entry, parse_entry
from asr.corpus.sources import Source
from asr.corpus.tar import Member, Shard
from asr.errors import ManifestError
from asr.files import make_folder, utf8, write_text_atomic

_CHUNK = 4096
"""Texts that are counted at a time."""


@dataclass(frozen=True)
class Utterance:
    """One recording, or a part of one, and what is said in it."""

    id: str
    audio_filepath: Path
    """In a shard, the member's name as if the shard were a folder: it names, and cannot be read."""
    duration: float
    """Length of the utterance in seconds."""
    text: str
    speaker: str | None = None
    offset: float | None = None
    """Where the utterance begins in the recording, in seconds; None: it is the whole recording."""
    member: Member | None = None
    """Where in a shard the recording lies; None: it is a file of its own."""


class Corpus(Sequence[Utterance]):
    """The utterances of one or several manifests, one after the other, read when asked for.

    What is held of each is some numbers; `corpus[i]` reads its line again. Fit for worker processes
    and threads, forked or spawned: no file is held open. Raises ManifestError where a manifest is
    no longer the one that was opened.
    """

    def __init__(self, paths: Sequence[Path | str], require_audio: bool = True) -> None:
        columns = _Columns()
        self._sources: list[Source] = []
        self._ends: list[int] = []
        self.sha256: dict[str, str] = {}
        """Of each manifest, by its path as given, the digest of the file."""
        for path in paths:
            source = Source(path)
            with _collector_at_rest():
                for start, entry in source.entries(require_audio):
                    columns.add(start, entry, source)
            self._sources.append(source)
            self._ends.append(len(columns.starts))
            self.sha256[str(path)] = source.sha256()
        self.characters = columns.characters()
        """All that occur in the texts."""
        self._starts = np.array(columns.starts, np.int64)
        self.durations: NDArray[np.float64] = np.array(columns.durations, np.float64)
        """Seconds of each utterance."""
        self.labels: NDArray[np.int32] = np.array(columns.labels, np.int32)
        """Characters of each text, and how many repeat the one before: the frames CTC needs."""
        self.groups: NDArray[np.int32] = np.array(columns.groups, np.int32)
        """Number in `shards` of the shard that each utterance lies in; -1: a file of its own."""
        self.shards: tuple[Shard, ...] = tuple(columns.shards)
        self.recordings: NDArray[np.int64] = np.array(columns.recordings, np.int64)
        """The same number for the same part of the same recording, in all corpora of a process."""

    @classmethod
    def open(cls, paths: Sequence[Path | str], require_audio: bool = True) -> "Corpus":
        """Read through manifests and check every line, as `read_manifest` does.

        Ids must be unique within each manifest.
        """
        return cls(paths, require_audio)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]  # negative ones count from the end; IndexError
        source = self._sources[bisect.bisect_right(self._ends, place)]
        where = f"{source.name}, utterance {place + 1} of the corpus"
        return _utterance(parse_entry(source.line(int(self._starts[place])), where), source)

    def __iter__(self) -> Iterator[Utterance]:
        for source in self._sources:
            for _, number, line in source.lines():
                yield _utterance(parse_entry(line, f"{source.name}, line {number}"), source)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Millions of small objects come and go here, none of them in a circle.

    To look for circles among all that torch holds, again and again, would take a twentieth of the
    time.
    """
    worked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if worked:
            gc.enable()


class _Columns:
    """Some numbers of each utterance."""

    def __init__(self) -> None:
        self.starts, self.durations = array("q"), array("d")
        self.recordings = array("q")
        self.labels, self.groups = array("i"), array("i")
        self.shards: dict[Shard, int] = {}
        self._texts: list[str] = []
        self._occurs = np.zeros(sys.maxunicode + 1, np.bool_)

    def add(self, start: int, entry: Entry, source: Source) -> None:
        group, shard = -1, entry.get("shard")
        if shard is not None:
            group = self.shards.setdefault(source.shards[shard], len(self.shards))
        self.starts.append(start)
        self.durations.append(entry["duration"])
        self.groups.append(group)
        place = source.folder, shard, entry["audio_filepath"], entry.get("offset")
        self.recordings.append(hash(place))
        self._texts.append(entry["text"])
        if len(self._texts) == _CHUNK:
            self._count_labels()

    def characters(self) -> frozenset[str]:
        """All that occur, once every entry has been added."""
        self._count_labels()
        return frozenset(map(chr, np.flatnonzero(self._occurs).tolist()))

    def _count_labels(self) -> None:
        """Of each text that waits, its characters and those that repeat the one before."""
        codes = np.frombuffer("".join(self._texts).encode("utf-32-le"), np.uint32)
        self._occurs[codes] = True
        lengths = np.array([len(text) for text in self._texts], np.int64)
        ends = lengths.cumsum()
        begins = ends - lengths
        repeats = np.zeros(len(codes) + 2, np.int64)  # up to each place
        repeats[2:-1] = codes[1:] == codes[:-1]
        repeats[begins + 1] = 0  # the character before a text is of another one
        up_to = repeats.cumsum()
        self.labels.extend((lengths + up_to[ends] - up_to[begins]).tolist())
        self._texts.clear()


def read_manifest(path: Path | str, require_audio: bool = True) -> list[Utterance]:
    """Read every utterance of a manifest, in order.

    Text is brought to Unicode NFC and stripped. Raises ManifestError with the line number on
    malformed JSON, a missing, unknown or mistyped key, a repeated id, a duration that is not
    positive, a shard that `shards.json` does not tell of, or (unless `require_audio` is False) an
    audio file or shard that does not exist, or a shard of another size than was written.
    """
    source = Source(path)
    return [_utterance(entry, source) for _, entry in source.entries(require_audio)]


def _utterance(entry: Entry, source: Source) -> Utterance:
    """What a checked entry says, its paths made absolute."""
    member, folder = None, source.folder
    if entry.get("shard") is not None:
        shard = source.shards[entry["shard"]]
        folder = shard.location
        member = Member(shard, entry["audio_filepath"], entry["start_byte"], entry["num_bytes"])
    return Utterance(
        id=entry["id"],
        audio_filepath=Path(folder, entry["audio_filepath"]),
        duration=entry["duration"],
        text=entry["text"],
        speaker=entry.get("speaker"),
        offset=entry.get("offset"),
        member=member,
    )


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically, audio paths relative to its folder.

    A file that says the same already is left alone: somebody may be training on it. Utterances in
    shards keep the names of these, so their manifest belongs beside `shards.json`. Raises
    ManifestError if the shards lie in another folder.
    """
    path = Path(path)
    folder = path.parent.resolve()
    lines = [json.dumps(_entry(utterance, folder), ensure_ascii=False) for utterance in utterances]
    text = "".join(f"{line}\n" for line in lines)
    with suppress(OSError):
        if path.read_bytes() == utf8(text, path):
            return
    make_folder(path.parent)
    write_text_atomic(path, text)


def _entry(utterance: Utterance, folder: Path) -> Entry:
    member = utterance.member
    name = os.path.relpath(utterance.audio_filepath.resolve(), folder) if member is None else None
    entry: Entry = {
        "id": utterance.id,
        "audio_filepath": member.name if member else name,
        "duration": round(utterance.duration, 6),
        "text": utterance.text,
    }
    if utterance.speaker is not None:
        entry["speaker"] = utterance.speaker
    if utterance.offset is not None:
        entry["offset"] = round(utterance.offset, 6)
    if member is not None:
        entry |= shard_keys(member)
        if Path(member.shard.location).parent.resolve() != folder:
            raise ManifestError(
                f"{folder}: expected utterances in shards of this folder, found {utterance.id} in "
                f"{member.shard.location}; write the manifest beside its shards"
            )
    return entry


def shard_keys(member: Member) -> Entry:
    """What a manifest says of the place of a recording beyond its member's name."""
    return {
        "shard": Path(member.shard.location).name,
        "start_byte": member.start_byte,
        "num_bytes": member.num_bytes,
    }
