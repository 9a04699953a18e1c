"""The table of RESULTS.md: `python -m recipes.an4.results runs/an4-s0 runs/an4-s1 runs/an4-s2`.

Scores the AN4 test set with each run's checkpoint, greedily, and prints a line a run, their mean
and their range, as Markdown.
"""

from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from asr.checkpoint.bundle import load_bundle
from asr.corpus.manifest import read_manifest
from asr.evaluation import evaluate
from asr.model.device import torch_device
from asr.recognizer import Recognizer


def results(
    runs: list[Path],
    manifest: Annotated[Path, typer.Option("--manifest")] = Path("data/an4/test.jsonl"),
) -> None:
    """Print the test figures of finished runs."""
    utterances = read_manifest(manifest)
    print("| seed | epochs | minutes | dev WER | test WER | 95 % interval | test CER | test SER |")
    print("|---|---|---|---|---|---|---|---|")
    scores = []
    for run in runs:
        bundle = load_bundle(run / "checkpoint")
        score = evaluate(Recognizer.from_bundle(bundle, torch_device("cpu")), utterances).score
        scores.append(score)
        low, high = score.wer_interval
        print(
            f"| {bundle.config['seed']} | {bundle.metrics['epochs']} "
            f"| {bundle.metrics['training_seconds'] / 60:.0f} "
            f"| {bundle.metrics['dev']['wer']:.2%} | {score.wer:.2%} "
            f"| {low:.2%} to {high:.2%} | {score.cer:.2%} | {score.ser:.2%} |"
        )
    for name, values in (("WER", [s.wer for s in scores]), ("CER", [s.cer for s in scores])):
        print(f"\n{name}: mean {mean(values):.2%}, range {min(values):.2%} to {max(values):.2%}")


if __name__ == "__main__":
    typer.run(results)
