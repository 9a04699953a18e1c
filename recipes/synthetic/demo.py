"""The demo: transcribe and score the sample recordings with a shipped checkpoint."""

from pathlib import Path

import asr
from asr.corpus.manifest import read_manifest
from asr.inference.evaluation import evaluate
from asr.scoring.report import render_summary
from recipes.command import one_line_errors

CHECKPOINT = "alphanumeric"
MANIFEST = Path(__file__).resolve().parent / "samples" / "manifest.jsonl"


@one_line_errors
def demo() -> None:
    """Print the reference and the hypothesis of each sample, and the error rates."""
    utterances = read_manifest(MANIFEST)
    recognizer = asr.load(CHECKPOINT)
    result = evaluate(recognizer, utterances)
    for utterance in utterances:
        hypothesis = result.hypotheses[utterance.id]
        mark = "=" if hypothesis == utterance.text else "x"
        print(f"{mark} {utterance.audio_filepath.name}")
        print(f"    reference   {utterance.text}")
        print(f"    hypothesis  {hypothesis}")
    print()
    print(render_summary(result.score, result.real_time_factor))
    print(f"\nYour own file:  .venv/bin/asr transcribe {CHECKPOINT} FILE")


if __name__ == "__main__":
    demo()
