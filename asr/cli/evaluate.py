"""`asr evaluate`: error rates of a checkpoint on a manifest."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from asr.cli.console import echo
from asr.cli.decoding_options import takes_decoding_options
from asr.cli.options import (
    Checkpoint,
    Device,
    PrecisionChoice,
    PrecisionOption,
    Threads,
    WordTimestamps,
    check_folder,
    in_one_line,
    load_recognizer,
)
from asr.files import json_line, write_json_atomic, write_text_atomic
from asr.inference.writers import transcript_json

if TYPE_CHECKING:
    from asr.decode.decoder import Decoder
    from asr.inference.evaluation import Evaluation
    from asr.inference.options import DecodingKeywords
    from asr.scoring.wer import Score


@takes_decoding_options
def evaluate(
    checkpoint: Checkpoint,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL with the truth.")],
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
    word_timestamps: WordTimestamps = False,
    device: Device = "cpu",
    precision: PrecisionOption = PrecisionChoice.FLOAT32,
    threads: Threads = 0,
    *,
    decoding: "DecodingKeywords",
) -> None:
    """Transcribe every utterance of MANIFEST and score it: WER, CER, sentence errors.

    With --nbest also the WER of the best choices among them; with --word_timestamps also how far
    the confidences of words are from the share that is right. Utterances with an empty text say
    nothing: words written there are errors, and are also counted for each minute. With --grammar or
    --lexicon, utterances that are rejected are not among the errors and are counted by themselves.
    """
    from asr.corpus.manifest import read_manifest
    from asr.inference.evaluation import evaluate as run
    from asr.scoring.report import render_report, report_json

    for output in (json_file, hypotheses_file):
        if output:
            check_folder(output)
    utterances = read_manifest(manifest, require_audio=False)
    recognizer = load_recognizer(checkpoint, device, threads, precision)
    prepared = recognizer.prepare(**decoding)
    decoder = prepared.decoder
    with tqdm(total=len(utterances), unit="utterance", disable=None, leave=False) as progress:
        result = run(
            recognizer,
            utterances,
            by_speaker=by_speaker,
            advance=progress.update,
            decoder=decoder,
            word_timestamps=word_timestamps,
        )
    if hypotheses_file:  # before anything can go wrong with scoring or printing
        entries = ({"id": key, **transcript_json(t)} for key, t in result.transcripts.items())
        write_text_atomic(hypotheses_file, "".join(map(json_line, entries)))
    score = result.score if any(utterance.words.words for utterance in result.aligned) else None
    figures = report_json(score, result.real_time_factor, result.nonspeech)
    rejections = result.rejections if decoder.is_constrained else None
    if rejections:
        figures["rejected"] = asdict(rejections)
    figures |= _more_figures(result, score, decoder, word_timestamps)
    settings = prepared.settings()
    if json_file:
        write_json_atomic(
            json_file, {**figures, "decoding": settings, "precision": recognizer.precision}
        )
    echo(
        render_report(result.aligned, score, result.real_time_factor, worst, rejections=rejections)
    )
    echo("\n" + "\n".join(_footer(figures, result, decoder, in_one_line(settings))))
    if result.failures:
        echo(
            f"{len(result.failures)} of {len(utterances)} recordings could not be read and count "
            f"as all deleted: {', '.join(result.failures)}",
            err=True,
        )
        raise typer.Exit(1)


def _more_figures(
    result: "Evaluation", score: "Score | None", decoder: "Decoder", timed: bool
) -> dict[str, float]:
    """What alternatives and confidences are worth, where there are any."""
    from asr.scoring.calibration import expected_calibration_error

    figures = {}
    if decoder.search.nbest > 1 and score:
        figures["oracle_wer"] = result.oracle_wer()
    confidences, correct = result.word_confidences()
    if timed and confidences:
        figures["calibration_error"] = expected_calibration_error(confidences, correct)
    return figures


def _footer(
    figures: dict[str, Any], result: "Evaluation", decoder: "Decoder", settings: str
) -> list[str]:
    """How it was decoded, and what was found beside the error rates."""
    from asr.scoring.report import render_nonspeech

    lines = [f"decoding: {settings}"]
    if result.nonspeech:
        lines.append(render_nonspeech(result.nonspeech))
    if "oracle_wer" in figures:
        lines.append(
            f"oracle WER of {decoder.search.nbest} hypotheses: {figures['oracle_wer']:.2%}"
        )
    if "calibration_error" in figures:
        kind = "uncalibrated" if decoder.calibration.is_identity else "calibrated"
        lines.append(
            f"expected calibration error of {kind} word confidences: "
            f"{figures['calibration_error']:.4f}"
        )
    return lines
