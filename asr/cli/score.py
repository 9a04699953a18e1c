"""`asr score`: error rates of existing transcripts."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import echo
from asr.errors import ManifestError
from asr.files import write_json_atomic
from asr.scoring.report import render_comparison, render_report, report_json
from asr.scoring.transcripts import TranscriptFormat, format_of, read_speakers, read_transcripts
from asr.scoring.wer import align, probability_of_improvement, summarise

_FORMAT_HELP = "By default by suffix: .jsonl, .trn, and .txt, .text or none for Kaldi."
_Format = TranscriptFormat | None


def score(
    reference: Annotated[Path, typer.Argument(help="Reference transcripts: id and text.")],
    hypothesis: Annotated[Path, typer.Argument(help="Hypotheses, matched to references by id.")],
    format_reference: Annotated[
        _Format, typer.Option("--format_reference", help=_FORMAT_HELP)
    ] = None,
    format_hypothesis: Annotated[
        _Format, typer.Option("--format_hypothesis", help=_FORMAT_HELP)
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Hypotheses of another system to compare with."),
    ] = None,
    format_baseline: Annotated[
        _Format, typer.Option("--format_baseline", help=_FORMAT_HELP)
    ] = None,
    by_speaker: Annotated[
        bool,
        typer.Option("--by_speaker", help="Resample by speaker, as given in REFERENCE."),
    ] = False,
    missing_as_empty: Annotated[
        bool, typer.Option("--missing_as_empty", help="Count missing hypotheses as all deleted.")
    ] = False,
    worst: Annotated[
        int, typer.Option("--worst", min=0, help="Number of worst utterances to show.")
    ] = 5,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Score HYPOTHESIS against REFERENCE: word, character and sentence error rates.

    In REFERENCE as trn, `{ UH / UM / @ }` allows any of these, `@` being none, and `(UH)` may be
    left out, as with `sclite -D`: the nearest wording is scored.
    """
    # A file of the kind of sclite's references is read as sclite does.
    alternatives = (format_reference or format_of(reference)) is TranscriptFormat.TRN
    references = read_transcripts(reference, format_reference, alternatives=alternatives)
    speakers = _speakers(reference, format_reference) if by_speaker else None
    aligned = align(
        references,
        read_transcripts(hypothesis, format_hypothesis),
        missing_as_empty=missing_as_empty,
        alternatives=alternatives,
    )
    result = summarise(aligned, speakers)
    figures = report_json(result)
    text = render_report(aligned, result, worst=worst)
    if baseline is not None:
        other = align(
            references,
            read_transcripts(baseline, format_baseline),
            missing_as_empty=missing_as_empty,
            alternatives=alternatives,
        )
        comparison = probability_of_improvement(other, aligned, speakers)
        figures["comparison"] = dataclasses.asdict(comparison)
        text += f"\n\n{render_comparison(comparison)}"
    if json_file is not None:
        write_json_atomic(json_file, figures)
    echo(text)


def _speakers(path: Path, transcript_format: TranscriptFormat | None) -> dict[str, str]:
    if (transcript_format or path.suffix.lower().removeprefix(".")) != TranscriptFormat.JSONL:
        raise ManifestError(
            f"{path}: --by_speaker needs references with speakers; expected JSONL (a manifest)"
        )
    return read_speakers(path)
