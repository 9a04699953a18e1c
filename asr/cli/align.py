"""`asr align`: when each word of a known transcript is said."""

import enum
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from asr.cli.console import echo
from asr.cli.decoding_options import BeamSize, LanguageModel
from asr.cli.options import (
    Checkpoint,
    Damaged,
    DamagedOption,
    Device,
    Raw,
    Threads,
    hint,
    load_recognizer,
    log_damage,
    parse_raw,
)
from asr.errors import AsrError, ManifestError, TextError
from asr.files import file_stem, json_text, make_folder, write_text_atomic
from asr.printing import printable
from asr.text.nist import render_ctm
from asr.text.textgrid import render_textgrid
from asr.text.timed import words_json

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.inference.alignment import AlignedRecording

_log = logging.getLogger("asr.align")

MINIMUM_MATCH = 0.05
"""Below this a transcript belongs to another recording. On AN4's dev and test sets, with three
models, 2 of 690 transcripts fall below beside their own recordings, and 2 of 672 do not beside
others (18 more are too long for them)."""


class AlignmentFormat(enum.StrEnum):
    """How an alignment is written."""

    JSON = "json"
    CTM = "ctm"
    TEXTGRID = "textgrid"


_SUFFIXES = {
    AlignmentFormat.JSON: ".json",
    AlignmentFormat.CTM: ".ctm",
    AlignmentFormat.TEXTGRID: ".TextGrid",
}


class Task(NamedTuple):
    """A recording, the name of its result (an id of the manifest), and what is said in it."""

    name: str
    audio: Path
    text: str
    recording: "Path | Utterance"
    """What is to be read: `audio`, or what a manifest says of it."""


def align(
    checkpoint: Checkpoint,
    audio: Annotated[
        Path, typer.Argument(metavar="AUDIO", help="A recording, or a manifest (*.jsonl) of many.")
    ],
    transcript: Annotated[
        str | None,
        typer.Argument(
            metavar="[TRANSCRIPT]",
            help="What is said: text, or a file of it (*.txt). A manifest has its own.",
            show_default=False,
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output_dir",
            "-o",
            help="Write one file a recording into this folder, named after its id; slashes there "
            "become %2F.",
        ),
    ] = None,
    output_format: Annotated[
        AlignmentFormat, typer.Option("--output_format", "-f", help="Form of the times.")
    ] = AlignmentFormat.JSON,
    min_match: Annotated[
        float,
        typer.Option(
            "--min_match",
            min=0.0,
            max=1.0,
            help="Below this, transcript and recording do not belong together; 0 takes any.",
        ),
    ] = MINIMUM_MATCH,
    lm: LanguageModel = "auto",
    beam_size: BeamSize = None,
    raw: Raw = None,
    damaged: DamagedOption = Damaged.REFUSE,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Print, or write with -o, when each word of a known transcript is said.

    `match` says how well transcript and recording fit, from 0 to 1: how likely the transcript is
    beside the likeliest one, per character. Where it is below --min_match the times are written all
    the same, but there is a warning and the exit code is 1, as for a recording that cannot be
    aligned; neither stops the others. The confidence of a word is that of `asr transcribe`: it
    takes the hypotheses of a search into account, by default with the checkpoint's own language
    model.
    """
    if (transcript is None) != (audio.suffix.lower() == ".jsonl"):
        raise typer.BadParameter(
            "expected AUDIO and TRANSCRIPT, or a manifest (*.jsonl) alone", param_hint="TRANSCRIPT"
        )
    if transcript is None and output_dir is None:
        raise typer.BadParameter(
            "a manifest needs a folder for its results", param_hint="--output_dir"
        )
    from asr.inference.alignment import align_recording

    raw_format = parse_raw(raw)
    tasks = _tasks(audio, transcript, raw_format is not None)
    if output_format is AlignmentFormat.CTM:
        for task in tasks:
            render_ctm(task.name, [])  # raises, before any work, on a name that CTM cannot hold
    if output_dir:
        make_folder(output_dir)
    recognizer = load_recognizer(checkpoint, device, threads)
    decoder = recognizer.prepare(lm=lm, beam_size=beam_size).decoder
    failures = []
    for task in tasks:
        try:
            aligned = align_recording(
                recognizer,
                task.recording,
                task.text,
                raw_format,
                decoder=decoder,
                damaged=damaged.value,
            )
            log_damage(aligned.damage)
            rendered = render(task, aligned, output_format)
            if output_dir:
                name = f"{file_stem(task.name)}{_SUFFIXES[output_format]}"
                write_text_atomic(output_dir / name, rendered)
            else:
                echo(rendered, nl=False)
        except AsrError as error:
            _log.error("error: %s%s", error, hint(error))
            failures.append(task)
            continue
        if aligned.match < min_match:
            _log.warning("%s", _mismatch(task, aligned.match, min_match))
            failures.append(task)
    if failures:
        names = "\n  ".join(str(task.audio) for task in failures)
        _log.error("%d of %d recordings failed:\n  %s", len(failures), len(tasks), names)
        raise typer.Exit(1)


def _tasks(audio: Path, transcript: str | None, has_raw: bool) -> Sequence[Task]:
    """What is to be aligned with what. Raises ManifestError or TextError."""
    if transcript is not None:
        is_file = transcript.lower().endswith(".txt")
        text = _read_text(Path(transcript)) if is_file else transcript
        return [Task(audio.stem, audio, text, audio)]
    from asr.corpus.manifest import read_manifest

    utterances = read_manifest(audio, require_audio=False)
    for utterance in utterances:
        if has_raw and any(
            part is not None for part in (utterance.offset, utterance.member, utterance.channel)
        ):
            raise ManifestError(
                f"{audio}: {utterance.id}: expected whole headerless files with --raw, found a "
                "part of a recording or a member of a shard; leave --raw out"
            )
    return [Task(u.id, u.audio_filepath, u.text, u) for u in utterances]


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"{path}: cannot read the transcript ({error}); expected a UTF-8 text file"
        ) from error
    if not text.strip():
        raise TextError(f"{path}: the transcript is empty; expected the words that are said")
    return text


def _mismatch(task: Task, match: float, min_match: float) -> str:
    return (
        f"warning: {task.audio}: the transcript does not fit the recording: match {match:.4f}, "
        f"expected at least {min_match:g}; its times mean little; check that text and recording "
        "belong together"
    )


def render(task: Task, aligned: "AlignedRecording", kind: AlignmentFormat) -> str:
    """An alignment as the text of a file."""
    return printable(_render(task, aligned, kind))


def _render(task: Task, aligned: "AlignedRecording", kind: AlignmentFormat) -> str:
    if kind is AlignmentFormat.CTM:
        return render_ctm(task.name, aligned.words)
    if kind is AlignmentFormat.TEXTGRID:
        characters = [character for word in aligned.words for character in word.characters]
        tiers = {"words": aligned.words, "characters": characters}
        return render_textgrid(tiers, aligned.duration_seconds)
    values = {
        "audio_filepath": str(task.audio),
        "text": aligned.text,
        "duration": aligned.duration_seconds,
        "match": aligned.match,
        "log_score": aligned.log_score,
        "words": words_json(aligned.words),
    }
    if aligned.damage:
        values["damage"] = list(aligned.damage)
    return json_text(values, task.audio)
