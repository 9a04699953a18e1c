"""A folder of transcripts: what is in it, and of which recordings, so that a run can go on.

Beside the transcripts lies `JOURNAL`, to which a line is added when those of a recording are
written: its name and a digest of the audio, the checkpoint and the options. A recording with such
a line need not be transcribed again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_member
from asr.errors import AsrError
from asr.files import json_line, make_folder, parse_json, sha256_of, write_error, write_text_atomic
from asr.inference.inputs import Input

if TYPE_CHECKING:
    from asr.inference.options import Decoding
    from asr.inference.recognizer import Recognizer

JOURNAL = ".transcribed.jsonl"


def audio_digest(one: Input) -> str:
    """A digest of the audio of a recording. Raises AsrError where it cannot be read."""
    recording = one.recording
    if not isinstance(recording, Utterance):
        return sha256_of(one.path)
    part = (recording.offset, recording.duration, recording.channel, recording.damaged)
    if recording.member is not None:
        content = hashlib.sha256(read_member(recording.member)).hexdigest()
    else:
        content = sha256_of(recording.audio_filepath)
    return hashlib.sha256(f"{content} {part}".encode()).hexdigest()


def deciding_settings(recognizer: "Recognizer", decoding: "Decoding") -> dict[str, Any]:
    """What decides, besides the audio, what is transcribed: files by their content."""
    options = decoding.options
    files = {"lm": decoding.lm, "lexicon": options.lexicon, "grammar": options.grammar}
    return {
        "checkpoint": recognizer.checkpoint.config["sha256"],
        "decoding": decoding.settings(),
        "precision": recognizer.precision,
        "files": {name: sha256_of(path) for name, path in files.items() if path},
    }


class OutputFolder:
    """Where transcripts are written, each file in one step."""

    def __init__(self, folder: Path, suffixes: Sequence[str], settings: Mapping[str, Any]) -> None:
        """`suffixes` are those of the formats, with their dots.

        `settings` is all that a transcript depends on besides the audio.
        Raises AsrError if the folder cannot be created or written to.
        """
        make_folder(folder)
        self.folder, self._suffixes = folder, suffixes
        self._settings = json.dumps([settings, suffixes], sort_keys=True, default=str)
        self._journal = folder / JOURNAL
        self._done = self._read()

    def _read(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Of the names in the journal the key, and the suffixes of the files."""
        try:
            with self._journal.open("a+b") as file:
                file.seek(0)
                content = file.read()
                if content and not content.endswith(b"\n"):  # a process was killed
                    file.write(b"\n")
        except OSError as error:
            raise AsrError(write_error(self._journal, error)) from error
        done = {}
        for line in content.splitlines():
            try:
                record = parse_json(line)
                done[str(record["name"])] = (str(record["key"]), frozenset(record["formats"]))
            except (ValueError, TypeError, KeyError):
                continue
        return done

    def key(self, digest: str) -> str:
        """Of a recording whose audio has this digest."""
        return hashlib.sha256(f"{digest} {self._settings}".encode()).hexdigest()

    def is_done(self, name: str, key: str) -> bool:
        """Whether a recording was transcribed with these settings and all its files are there."""
        known, written = self._done.get(name, ("", frozenset()))
        paths = self.paths(name)
        return known == key and all(paths[suffix].is_file() for suffix in written)

    def paths(self, name: str) -> dict[str, Path]:
        """The files of a recording, by their suffixes."""
        return {suffix: self.folder / f"{name}{suffix}" for suffix in self._suffixes}

    def write(self, name: str, key: str, texts: Mapping[str, str]) -> None:
        """Write the transcripts of a recording, by suffix. Raises AsrError, naming the file.

        A format that cannot hold this recording may be missing.
        """
        paths = self.paths(name)
        make_folder((self.folder / name).parent)
        for suffix, text in texts.items():
            write_text_atomic(paths[suffix], text)
        line = json_line({"name": name, "key": key, "formats": [*texts]})
        try:
            with self._journal.open("ab") as file:
                file.write(line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise AsrError(write_error(self._journal, error)) from error
