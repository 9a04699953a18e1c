"""The demo: transcribe and score the sample recordings with the shipped checkpoint.

First as free text, then with a list of commands, the only ones that may be said. `samples` was made
by `python -m recipes.english.spoken --every 16 -o recipes/english/samples`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.inference.evaluation import evaluate
from asr.scoring.report import render_summary
from recipes.command import run_command
from recipes.english.phrases import TEST_COMMANDS
from recipes.synthetic.prepare import SAMPLES

CHECKPOINT = "english"
SPOKEN = Path(__file__).resolve().parent / "samples"


def render(utterances: Sequence[Utterance], hypotheses: Mapping[str, str]) -> str:
    """The reference and the hypothesis of each utterance."""
    lines = []
    for utterance in utterances:
        hypothesis = hypotheses[utterance.id]
        lines += [
            f"{'=' if hypothesis == utterance.text else 'x'} {utterance.audio_filepath.name}",
            f"    reference   {utterance.text}",
            f"    hypothesis  {hypothesis}",
        ]
    return "\n".join(lines)


def demo() -> None:
    """Print what is heard in each sample, and how often that is right."""
    recognizer = asr.load(CHECKPOINT)
    samples = read_manifest(SAMPLES / "manifest.jsonl")
    free = evaluate(recognizer, samples)
    print(f"Free text\n\n{render(samples, free.hypotheses)}\n")
    print(render_summary(free.score, free.real_time_factor))

    spoken = read_manifest(SPOKEN / "manifest.jsonl")
    listed = evaluate(recognizer, [*spoken, *samples], grammar=TEST_COMMANDS)
    print(f"\nOnly the commands of {TEST_COMMANDS.name}\n\n{render(spoken, listed.hypotheses)}\n")
    right = sum(listed.hypotheses[one.id] == one.text for one in spoken)
    rejected = sum(listed.transcripts[one.id].rejected for one in samples)
    print(f"{right} of {len(spoken)} commands right")
    print(f"{rejected} of {len(samples)} other recordings, those above, rejected")

    print(f"\nYour own file:  .venv/bin/asr transcribe {CHECKPOINT} FILE [--grammar LIST.txt]")


if __name__ == "__main__":
    run_command(demo)
