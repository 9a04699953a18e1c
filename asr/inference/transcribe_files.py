"""Audio files to files of transcripts, many at once, each recording for itself."""

import dataclasses
import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr.errors import AsrError, AudioError
from asr.inference.inputs import Input
from asr.inference.output_folder import OutputFolder, audio_digest
from asr.inference.recognizer import Recognizer
from asr.inference.recording import FileChannel
from asr.inference.transcript import Transcript, make_readable
from asr.inference.writers import OutputFormat, render_each
from asr.text.readable import Readable

AS_SPOKEN = Readable()
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""Why one transcript cannot be written, and none of those that follow."""


@dataclass(frozen=True)
class FileResult:
    """What became of a recording."""

    input: Input
    number: int
    """Its place among all, from 0."""
    transcript: Transcript | None = None
    """None if it failed, or was left out because its transcripts were there already."""
    texts: Mapping[OutputFormat, str] = field(default_factory=dict)
    """The transcript in each format."""
    error: AsrError | None = None


@dataclass(frozen=True)
class _Begun:
    number: int
    input: Input
    key: str
    state: tuple[int, ...] | None


class FileTranscriber:
    """Transcribes recordings into formats, and into a folder if there is one."""

    def __init__(
        self,
        recognizer: Recognizer,
        kinds: Sequence[OutputFormat],
        provenance: Mapping[str, Any],
        readable: Readable = AS_SPOKEN,
        folder: OutputFolder | None = None,
        skip_existing: bool = False,
        **options: Any,
    ) -> None:
        """`options` are those of `Recognizer.transcribe_all`.

        With `skip_existing`, what the folder has already is left out.
        """
        self._recognizer, self._kinds, self._provenance = recognizer, kinds, provenance
        self._readable = readable
        self._folder, self._skip_existing = folder, skip_existing
        self._options = options
        self._begun: list[_Begun] = []
        self._results: list[FileResult] = []
        """Of recordings that were not even begun."""

    def __call__(self, inputs: Sequence[Input]) -> Iterator[FileResult]:
        """The result of each recording, in the order in which they are done.

        Raises AsrError where the disk takes no more transcripts.
        """
        found = self._recognizer.transcribe_all(self._begin(inputs), **self._options)
        for number, outcome in found:
            yield from self._ended_at_once()
            yield self._result(self._begun[number], outcome)
        yield from self._ended_at_once()

    def _ended_at_once(self) -> Iterator[FileResult]:
        results, self._results = self._results, []
        yield from results

    def _begin(self, inputs: Sequence[Input]) -> Iterator[Any]:
        """The recordings that are to be transcribed."""
        for number, one in enumerate(inputs):
            key = ""
            state = _state(one.path)
            if self._folder is not None:
                with suppress(AsrError):  # reading it will say what is wrong
                    key = self._folder.key(audio_digest(one))
                if self._skip_existing and self._folder.is_done(one.name, key):
                    self._results.append(FileResult(one, number))
                    continue
            self._begun.append(_Begun(number, one, key, state))
            yield one.recording

    def _result(self, begun: _Begun, outcome: Transcript | AsrError) -> FileResult:
        one, number = begun.input, begun.number
        if isinstance(outcome, AsrError):
            return FileResult(one, number, error=outcome)
        if _state(one.path) != begun.state:
            error = AudioError(
                f"{one.path}: the file changed while it was read; transcribe it again when it is "
                "complete"
            )
            return FileResult(one, number, error=error)
        transcript = make_readable(outcome, self._readable)
        if isinstance(one.recording, FileChannel):
            transcript = dataclasses.replace(transcript, channel=one.recording.channel)
        try:
            texts = render_each(one.path, one.id, transcript, self._kinds, self._provenance)
            if self._folder is not None:
                files = {kind.suffix: text for kind, text in texts.items()}
                self._folder.write(one.name, begun.key, files)
        except AsrError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
                raise
            return FileResult(one, number, error=error)
        return FileResult(one, number, transcript, texts)


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None if it is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a null character in the name
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
