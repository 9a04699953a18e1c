"""`asr transcribe`: audio files to text."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.console import echo
from asr.cli.decoding_options import takes_decoding_options
from asr.cli.options import (
    Checkpoint,
    Damaged,
    DamagedOption,
    Device,
    Raw,
    Threads,
    WordTimestamps,
    hint,
    load_recognizer,
    log_damage,
    parse_raw,
)
from asr.errors import AsrError
from asr.files import make_folder, write_text_atomic
from asr.inference.transcript import NOTHING, make_readable
from asr.inference.writers import OutputFormat, render, render_each, shown_text
from asr.text.readable import LANGUAGES, OFF, Readable, TextCase

if TYPE_CHECKING:
    from asr.inference.options import DecodingKeywords

_log = logging.getLogger("asr.transcribe")


@takes_decoding_options
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
    raw: Raw = None,
    damaged: DamagedOption = Damaged.REFUSE,
    device: Device = "cpu",
    threads: Threads = 0,
    *,
    decoding: "DecodingKeywords",
) -> None:
    """Print, or write with -o, what is said in each recording.

    A recording that cannot be read does not stop the others: it is listed at the end, and the exit
    code is 1.
    """
    from asr.signal.audio import find_audio

    raw_format = parse_raw(raw)
    readable = Readable(text, numbers)
    paths = find_audio(audio)
    kinds = output_format.kinds
    timed = word_timestamps or any(kind.is_timed for kind in kinds)
    if not output_dir and (
        len(kinds) > 1 or (len(paths) > 1 and not output_format.is_concatenable)
    ):
        raise typer.BadParameter(
            f"the format {output_format} of {len(paths)} recording(s) needs files: give "
            "--output_dir"
        )
    if len(kinds) == 1:
        for path in paths:  # raises, before any work, on a name that the format cannot hold
            render(path, NOTHING, output_format)
    if output_dir:
        make_folder(output_dir)
    outputs = output_files(paths, output_dir, kinds) if output_dir else {}
    recognizer = load_recognizer(checkpoint, device, threads)
    readable = readable.in_language(recognizer.language)
    prepared = recognizer.prepare(**decoding)
    decoder, provenance = prepared.decoder, recognizer.provenance(prepared)
    failures = []
    for path in paths:
        try:
            transcript = recognizer.transcribe(
                path,
                raw=raw_format,
                decoder=decoder,
                word_timestamps=timed,
                damaged=damaged.value,
            )
            log_damage(transcript.damage)
            transcript = make_readable(transcript, readable)
            texts = render_each(path, transcript, kinds, provenance)
            if output_dir:
                for kind, content in texts.items():
                    write_text_atomic(outputs[path][kind], content)
            elif output_format is OutputFormat.TXT:
                shown = shown_text(transcript)
                echo(shown if len(paths) == 1 else f"{path}: {shown}")
            else:
                echo(texts[output_format], nl=False)
        except AsrError as error:
            _log.error("error: %s%s", error, hint(error))
            failures.append(path)
    if failures:
        names = "\n  ".join(map(str, failures))
        _log.error("%d of %d recordings failed:\n  %s", len(failures), len(paths), names)
        raise typer.Exit(1)


def output_files(
    paths: list[Path], folder: Path, kinds: Sequence[OutputFormat]
) -> dict[Path, dict[OutputFormat, Path]]:
    """Where each transcript goes; recordings of one name in two folders are refused."""
    taken: dict[str, Path] = {}
    for path in paths:
        if path.stem in taken:
            raise AsrError(
                f"{path} and {taken[path.stem]} would both be written to "
                f"{folder / path.stem}{kinds[0].suffix}; transcribe them into different folders"
            )
        taken[path.stem] = path
    return {path: {kind: folder / f"{path.stem}{kind.suffix}" for kind in kinds} for path in paths}
