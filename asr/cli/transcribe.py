"""`asr transcribe`: audio files to text."""

import enum
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.options import BeamSize, Checkpoint, Device, Threads, load_recognizer
from asr.errors import AsrError
from asr.files import json_text, make_folder, write_text_atomic

if TYPE_CHECKING:
    from asr.recognizer import Transcript
    from asr.signal.audio import RawFormat

_log = logging.getLogger("asr.transcribe")


class OutputFormat(enum.StrEnum):
    """How a transcript is written."""

    TXT = "txt"
    JSON = "json"


def transcribe(
    checkpoint: Checkpoint,
    audio: Annotated[
        list[str], typer.Argument(metavar="AUDIO...", help="Files, folders and globs.")
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", "-o", help="Write one file a recording into this folder."),
    ] = None,
    output_format: Annotated[
        OutputFormat, typer.Option("--output_format", "-f", help="Form of the transcripts.")
    ] = OutputFormat.TXT,
    beam_size: BeamSize = 1,
    raw: Annotated[
        str | None,
        typer.Option("--raw", help="Read headerless files as RATE[,CHANNELS[,SUBTYPE[,ENDIAN]]]."),
    ] = None,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Print, or write with -o, what is said in each recording.

    A recording that cannot be read does not stop the others: it is listed at the end, and the exit
    code is 1.
    """
    from asr.signal.audio import find_audio

    raw_format = parse_raw(raw) if raw else None
    paths = find_audio(audio)
    if output_dir:
        make_folder(output_dir)
    outputs = output_files(paths, output_dir, output_format) if output_dir else {}
    recognizer = load_recognizer(checkpoint, device, threads)
    failures = []
    for path in paths:
        try:
            transcript = recognizer.transcribe(path, beam_size=beam_size, raw=raw_format)
            if path in outputs:
                write_text_atomic(outputs[path], render(path, transcript, output_format))
            elif output_format is OutputFormat.JSON:
                typer.echo(render(path, transcript, output_format), nl=False)
            else:
                typer.echo(transcript.text if len(paths) == 1 else f"{path}: {transcript.text}")
        except AsrError as error:
            _log.error("error: %s", error)
            failures.append(path)
    if failures:
        names = "\n  ".join(map(str, failures))
        _log.error("%d of %d recordings failed:\n  %s", len(failures), len(paths), names)
        raise typer.Exit(1)


def parse_raw(text: str) -> "RawFormat":
    """The layout of headerless files, e.g. `16000` or `16000,1,PCM_16,BIG`."""
    from asr.signal.audio import RawFormat

    given = text.split(",")
    rate, channels, subtype, endian, *_ = given + ["", "1", "PCM_16", "LITTLE"][len(given) :]
    if len(given) > 4 or not (rate.isdigit() and channels.isdigit()):
        raise typer.BadParameter(f"expected RATE[,CHANNELS[,SUBTYPE[,ENDIAN]]], found {text!r}")
    return RawFormat(int(rate), int(channels), subtype, endian)


def output_files(paths: list[Path], folder: Path, kind: OutputFormat) -> dict[Path, Path]:
    """Where each transcript goes; recordings of one name in two folders are refused."""
    outputs: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for path in paths:
        output = folder / f"{path.stem}.{kind.value}"
        if output in taken:
            raise AsrError(
                f"{path} and {taken[output]} would both be written to {output}; transcribe them "
                "into different folders"
            )
        taken[output] = path
        outputs[path] = output
    return outputs


def render(path: Path, transcript: "Transcript", kind: OutputFormat) -> str:
    """A transcript as the text of a file."""
    if kind is OutputFormat.TXT:
        return transcript.text + "\n"
    return json_text(
        {
            "audio_filepath": str(path),
            "text": transcript.text,
            "duration": transcript.duration_seconds,
            "log_score": transcript.log_score,
            "processing_seconds": transcript.processing_seconds,
        },
        path,
    )
