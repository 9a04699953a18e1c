"""The demo: transcribe the sample recordings with what is shipped and score them."""

import sys
from pathlib import Path

import asr
from asr.cli.decoding import DecodingOptions
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.inference.evaluation import evaluate
from asr.scoring.report import render_summary

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINT = REPOSITORY / "checkpoints" / "alphanumeric"
LANGUAGE_MODEL = CHECKPOINT / "lm.arpa.gz"
MANIFEST = Path(__file__).resolve().parent / "samples" / "manifest.jsonl"


def demo() -> None:
    """Print each sample's transcript beside its reference, and the error rates."""
    utterances = read_manifest(MANIFEST)
    recognizer = asr.load(CHECKPOINT)
    decoder = DecodingOptions(lm=LANGUAGE_MODEL).decoder(recognizer)
    result = evaluate(recognizer, utterances, decoder=decoder)
    for utterance in utterances:
        heard = result.hypotheses[utterance.id]
        mark = "=" if heard == utterance.text else "x"
        print(f"{mark} {utterance.audio_filepath.name}")
        print(f"    said   {utterance.text}")
        print(f"    heard  {heard}")
    print()
    print(render_summary(result.score, result.real_time_factor))
    checkpoint, model = (path.relative_to(REPOSITORY) for path in (CHECKPOINT, LANGUAGE_MODEL))
    print(f"\nYour own file:  .venv/bin/asr transcribe {checkpoint} FILE --lm {model}")


if __name__ == "__main__":
    try:
        demo()
    except AsrError as error:
        sys.exit(f"error: {error}")
