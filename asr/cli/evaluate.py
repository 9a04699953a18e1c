"""`asr evaluate`: error rates of a checkpoint on a manifest."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from asr.cli.options import BeamSize, Checkpoint, Device, Threads, load_recognizer
from asr.errors import AsrError
from asr.files import write_json_atomic


def evaluate(
    checkpoint: Checkpoint,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL with the truth.")],
    beam_size: BeamSize = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
    hypotheses_file: Annotated[
        Path | None, typer.Option("--hypotheses", help="Write the transcripts here, as JSONL.")
    ] = None,
    by_speaker: Annotated[
        bool, typer.Option("--by_speaker", help="Bootstrap whole speakers, not utterances.")
    ] = False,
    worst: Annotated[
        int, typer.Option("--worst", min=0, help="How many of the worst utterances to show.")
    ] = 5,
    device: Device = "cpu",
    threads: Threads = 0,
) -> None:
    """Transcribe every utterance of MANIFEST and score it: WER, CER, sentence errors."""
    from asr.corpus.manifest import read_manifest
    from asr.evaluation import evaluate as run
    from asr.scoring.report import render_report, report_json
    from asr.scoring.transcripts import write_hypotheses

    for output in (json_file, hypotheses_file):
        if output and not output.absolute().parent.is_dir():
            raise AsrError(f"{output}: its folder does not exist; create it first")
    utterances = read_manifest(manifest, require_audio=False)
    recognizer = load_recognizer(checkpoint, device, threads)
    with tqdm(total=len(utterances), unit="utterance", disable=None, leave=False) as progress:
        result = run(recognizer, utterances, beam_size, by_speaker, progress.update)
    typer.echo(render_report(result.aligned, result.score, result.real_time_factor, worst))
    if json_file:
        write_json_atomic(json_file, report_json(result.score, result.real_time_factor))
    if hypotheses_file:
        write_hypotheses(hypotheses_file, result.hypotheses)
    if result.failures:
        typer.echo(
            f"{len(result.failures)} of {len(utterances)} recordings could not be read and count "
            f"as all deleted: {', '.join(result.failures)}",
            err=True,
        )
        raise typer.Exit(1)
