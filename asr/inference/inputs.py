"""Which recordings are meant, and what their transcripts are called.

A transcript lies below the output folder where its recording lies below the folder that was named.
"""

import dataclasses
import glob
import hashlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AsrError, AudioError, ConfigError
from asr.files import file_stem, is_folder
from asr.inference.recording import ANY_LENGTH, FileChannel
from asr.signal.audio import RawFormat, find_audio, probe

MANIFEST_SUFFIX = ".jsonl"
_LONGEST_NAME_BYTES = 200
"""Of 255 that file systems allow; suffixes come on top."""


@dataclass(frozen=True)
class Input:
    """A recording to be transcribed."""

    recording: Path | Utterance | FileChannel
    name: str
    """Of its transcripts, without a suffix: a path below the output folder."""
    id: str
    """What it is called where several recordings stand in one file, apart from its channel: the id
    in its manifest, or the name of the file with as many folders as tell it apart."""

    @property
    def path(self) -> Path:
        """Of the audio file, for messages."""
        one = self.recording
        if isinstance(one, Utterance):
            return one.audio_filepath
        return one.path if isinstance(one, FileChannel) else one

    @property
    def label(self) -> str:
        """The path, on one line whatever is in it, and the channel if one was chosen."""
        shown = str(self.path).replace("\n", "\\n").replace("\t", "\\t")
        one = self.recording
        return f"{shown}, channel {one.channel}" if isinstance(one, FileChannel) else shown

    @property
    def num_bytes(self) -> int:
        """Of the audio file; 0 where that is not known."""
        one = self.recording
        if isinstance(one, Utterance) and one.member is not None:
            return one.member.num_bytes
        try:
            return self.path.stat().st_size
        except (OSError, ValueError):
            return 0


@dataclass(frozen=True)
class _Found:
    recording: Path | Utterance
    root: Path
    """The folder that was named, or that of the file or manifest."""

    @property
    def key(self) -> str:
        """The same for a recording that was found again."""
        if isinstance(self.recording, Utterance):
            return f"{self.root}\0{self.recording.id}"
        return os.path.abspath(self.recording)  # noqa: PTH100 (links stay what they are)


def find_inputs(arguments: Sequence[str], listed: str | None = None) -> list[Input]:
    """The recordings that some arguments, and a file that lists more, stand for, each once.

    An argument is an audio file, a folder, a glob pattern (see `find_audio`) or a manifest
    (`.jsonl`). The file `listed` (`-`: standard input) has a file, folder or manifest a line, or
    between null characters; no patterns.

    Transcripts are named after their files. Where that is ambiguous, they also have the folders
    that tell the files apart; and where files of one folder differ in nothing but their suffixes,
    these. Raises AudioError as `find_audio`, ManifestError as `read_manifest`, AsrError on a list
    that cannot be read or where there is no recording at all.
    """
    found = [one for argument in arguments for one in _find(argument)]
    for name in _names_in(listed) if listed is not None else ():
        found += _find(name, literal=True)
    unique = list({one.key: one for one in reversed(found)}.values())[::-1]
    if not unique:
        raise AsrError("expected recordings to transcribe, found none; name files or folders")
    return _named(unique)


def of_channels(inputs: Sequence[Input], choice: str, raw: RawFormat | None) -> list[Input]:
    """The same recordings, of files that channel which is chosen: a number, or "mix"; or "all".

    Each channel is then a recording of its own. Raises ConfigError on anything else.
    """
    if choice == "mix":
        return list(inputs)
    if choice != "all" and not (choice.isdecimal() and int(choice) > 0):
        raise ConfigError(
            f"channel: expected the number of one, 1 being the first, all or mix, found {choice!r}"
        )
    found = []
    for one in inputs:
        path = one.recording
        if not isinstance(path, Path):  # a manifest has its own channels
            found.append(one)
        elif choice != "all":
            found.append(dataclasses.replace(one, recording=FileChannel(path, int(choice))))
        else:
            count = _channels(path, raw)
            found += [
                dataclasses.replace(
                    one,
                    recording=FileChannel(path, number),
                    name=f"{one.name}-{number}" if count > 1 else one.name,
                )
                for number in range(1, count + 1)
            ]
    return found


def _channels(path: Path, raw: RawFormat | None) -> int:
    try:
        return probe(path, raw, ANY_LENGTH).channels
    except AudioError:  # which reading it will raise again
        return 1


def _names_in(listed: str) -> Iterator[str]:
    try:
        content = sys.stdin.buffer.read() if listed == "-" else Path(listed).read_bytes()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise AsrError(f"{listed}: cannot read this list of files ({cause})") from error
    separator = b"\0" if b"\0" in content else b"\n"
    for name in content.split(separator):
        if name := name.removesuffix(b"\r") if separator == b"\n" else name:
            yield os.fsdecode(name)


def _find(argument: str, literal: bool = False) -> Iterator[_Found]:
    path = Path(argument)
    if path.suffix.lower() == MANIFEST_SUFFIX and not is_folder(path):
        for utterance in read_manifest(path):
            yield _Found(utterance, path)
        return
    if is_folder(path):
        root = path
    elif literal or os.path.lexists(argument) or not glob.has_magic(argument):
        yield _Found(path, path.parent)
        return
    else:
        root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    for file in find_audio([argument]):
        yield _Found(file, root)


def _named(found: Sequence[_Found]) -> list[Input]:
    """Each with a name of its own, no longer than it has to be."""
    names = [_name(one.recording, one.root) for one in found]
    if _taken_twice(names):
        folders = [os.path.abspath(one.root) for one in found]  # noqa: PTH100
        common = Path(os.path.commonpath(folders))
        names = [_name(one.recording, common) for one in found]
        twice = _taken_twice(names)
        for number, one in enumerate(found):
            if names[number].casefold() in twice:
                names[number] += one.recording.suffix if isinstance(one.recording, Path) else ""
    if twice := _taken_twice(names):
        raise AsrError(
            f"two recordings would both be written to {min(twice)!r}; transcribe them into "
            "different folders"
        )
    return [
        Input(one.recording, name, _id(one.recording, name))
        for one, name in zip(found, names, strict=True)
    ]


def _id(recording: Path | Utterance, name: str) -> str:
    return recording.id if isinstance(recording, Utterance) else Path(name).as_posix()


def _taken_twice(names: Sequence[str]) -> set[str]:
    """Names, in lower case, of several: some file systems do not tell upper from lower case."""
    return {name for name, count in Counter(map(str.casefold, names)).items() if count > 1}


def _name(recording: Path | Utterance, root: Path) -> str:
    if isinstance(recording, Utterance):
        return file_stem(recording.id)
    relative = Path(os.path.relpath(recording.with_suffix(""), root))
    return str(Path(*map(_fitting, relative.parts)))


def _fitting(name: str) -> str:
    """A name that leaves room for a suffix: the end of a very long one becomes a hash."""
    content = os.fsencode(name)
    if len(content) <= _LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{content[: _LONGEST_NAME_BYTES // 2].decode('utf-8', 'ignore')}-{digest}"
