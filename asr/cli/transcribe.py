"""`asr transcribe`: audio files to text."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.decoding_options import takes_decoding_options
from asr.cli.options import (
    Checkpoint,
    Damaged,
    DamagedOption,
    Device,
    PrecisionChoice,
    PrecisionOption,
    Raw,
    Threads,
    WordTimestamps,
    load_recognizer,
    parse_raw,
)
from asr.cli.results import Printer, Summary
from asr.inference.writers import OutputFormat, render
from asr.text.readable import LANGUAGES, OFF, Readable, TextCase

if TYPE_CHECKING:
    from asr.inference.options import DecodingKeywords

MIX = "mix"


class VadChoice(enum.StrEnum):
    """How voice activity is detected."""

    OFF = "off"
    ENERGY = "energy"
    VOICE = "voice"


@takes_decoding_options
def transcribe(
    checkpoint: Checkpoint,
    audio: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AUDIO...", help="Files, folders, globs and manifests.", show_default=False
        ),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(
            "--files_from",
            metavar="LIST|-",
            help="A file, or standard input, that names more of them, one a line or with null "
            "characters between.",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", "-o", help="Write one file a recording into this folder."),
    ] = None,
    output_format: Annotated[
        OutputFormat, typer.Option("--output_format", "-f", help="Form of the transcripts.")
    ] = OutputFormat.TXT,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip_existing",
            help="Leave out what -o has already from the same audio, checkpoint and options.",
        ),
    ] = False,
    errors: Annotated[
        Path | None,
        typer.Option("--errors", help="Write what failed, and why, as JSON lines into this file."),
    ] = None,
    word_timestamps: WordTimestamps = False,
    text: Annotated[
        TextCase, typer.Option("--text", help="Case of txt, JSON and captions.")
    ] = TextCase.AS_TRAINED,
    numbers: Annotated[
        str,
        typer.Option(
            "--numbers",
            metavar="off|auto|LANGUAGE",
            help="There also write spelled numbers in digits, and spelled letters as codes: in the "
            f"checkpoint's language, or {', '.join(LANGUAGES)}. Needs the extra `itn`.",
        ),
    ] = OFF,
    channel: Annotated[
        str,
        typer.Option(
            "--channel",
            metavar="N|all|mix",
            help="Of several channels: one, by its number; all, each as a recording of its own; or "
            "their mean.",
        ),
    ] = MIX,
    raw: Raw = None,
    damaged: DamagedOption = Damaged.REFUSE,
    vad: Annotated[
        VadChoice,
        typer.Option(
            "--vad",
            help="Voice activity detection: transcribe only what stands out from the background "
            "noise (energy), and of that only what a model hears a voice in (voice; needs the "
            "extra `vad`).",
        ),
    ] = VadChoice.OFF,
    device: Device = "cpu",
    precision: PrecisionOption = PrecisionChoice.FLOAT32,
    threads: Threads = 0,
    *,
    decoding: "DecodingKeywords",
) -> None:
    """Print, or write with -o, what is said in each recording.

    A recording that cannot be read does not stop the others: it is listed at the end, and the exit
    code is 1.
    """
    from asr.inference.inputs import find_inputs, of_channels
    from asr.inference.output_folder import OutputFolder, deciding_settings
    from asr.inference.transcribe_files import FileTranscriber
    from asr.inference.transcript import NOTHING

    if not audio and files_from is None:
        raise typer.BadParameter(
            "expected files, folders or globs, or --files_from", param_hint="AUDIO"
        )
    raw_format = parse_raw(raw)
    readable = Readable(text, numbers)
    inputs = of_channels(find_inputs(audio or [], files_from), channel, raw_format)
    kinds = output_format.kinds
    timed = word_timestamps or any(kind.is_timed for kind in kinds)
    _check_options(output_format, len(inputs), output_dir, skip_existing)
    if len(kinds) == 1:
        for one in inputs:  # raises, before any work, on a name that the format cannot hold
            render(one.path, one.id, NOTHING, output_format)
    recognizer = load_recognizer(checkpoint, device, threads, precision)
    readable = readable.in_language(recognizer.language)
    prepared = recognizer.prepare(**decoding)
    folder = None
    if output_dir:
        settings = deciding_settings(recognizer, prepared)
        settings |= {
            "word_timestamps": timed,
            "raw": raw,
            "damaged": damaged.value,
            "vad": vad.value,
            "text": text.value,
            "numbers": readable.numbers,
            "channel": channel,
        }
        folder = OutputFolder(output_dir, [kind.suffix for kind in kinds], settings)
    transcribe_files = FileTranscriber(
        recognizer,
        kinds,
        recognizer.provenance(prepared),
        readable,
        folder,
        skip_existing,
        raw=raw_format,
        decoder=prepared.decoder,
        word_timestamps=timed,
        damaged=damaged.value,
        vad=vad.value,
    )
    printer = Printer(output_format, alone=len(inputs) == 1)
    with Summary(inputs, errors, counts=folder is not None) as summary:
        for result in transcribe_files(inputs):
            summary.add(result)
            if folder is None:
                printer.add(result)
    if summary.failures:
        raise typer.Exit(1)


def _check_options(
    output_format: OutputFormat, count: int, output_dir: Path | None, skip_existing: bool
) -> None:
    """Raise BadParameter on a combination that cannot be done."""
    several = len(output_format.kinds) > 1 or (count > 1 and not output_format.is_concatenable)
    if several and not output_dir:
        raise typer.BadParameter(
            f"the format {output_format} of {count} recording(s) needs files: give --output_dir"
        )
    if skip_existing and not output_dir:
        raise typer.BadParameter("--skip_existing: expected --output_dir, found none")
