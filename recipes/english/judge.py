"""How well a checkpoint tells the sentences of a list apart, and from anything else.

    python -m recipes.english.judge CHECKPOINT LIST.txt LISTED.jsonl [OTHERS.jsonl]

LIST.txt has all sentences that may be said, one a line; LISTED.jsonl recordings of some of them.
Printed is how many are recognised as what they are. OTHERS.jsonl has recordings of anything else:
words, sentences, noise. The threshold of rejection (`--reject_below`) is put where a share of what
was recognised rightly, a tenth or that of `--rejected`, is rejected; printed is how many of the
others are accepted all the same. `--keep` makes it the checkpoint's own for any grammar or list.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import asr
from asr.checkpoint.checkpoint import update_metrics
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.decoder import REJECT_BELOW
from asr.errors import AsrError
from asr.inference.recognizer import Recognizer
from asr.inference.transcript import Transcript
from recipes.command import run_command

_NEVER = -1e6
"""A threshold that rejects nothing."""


def transcripts(
    recognizer: Recognizer, utterances: Sequence[Utterance], sentences: Path
) -> list[Transcript]:
    """What is recognised in each recording; raises AsrError on one that cannot be read."""
    found: dict[int, Transcript] = {}
    for number, one in recognizer.transcribe_all(
        utterances, grammar=sentences, reject_below=_NEVER
    ):
        if isinstance(one, AsrError):
            raise one
        found[number] = one
    return [found[number] for number in range(len(utterances))]


def judge(
    recognizer: Recognizer,
    sentences: Path,
    listed: Sequence[Utterance],
    others: Sequence[Utterance] = (),
    rejected: float = 0.1,
) -> dict[str, float]:
    """Shares of 1: `right` of the listed, and of the others `accepted` at the `threshold`.

    The latter is where the share `rejected` of the right ones is rejected.
    """
    said = list(zip(listed, transcripts(recognizer, listed, sentences), strict=True))
    right = [one.log_ratio for utterance, one in said if one.text == utterance.text]
    found = {"right": len(right) / len(listed)}
    if right:
        found["threshold"] = float(np.quantile(np.array(right, float), rejected))
    if others and right:
        ratios = [one.log_ratio for one in transcripts(recognizer, others, sentences)]
        accepted = sum(ratio is not None and ratio >= found["threshold"] for ratio in ratios)
        found["accepted"] = accepted / len(others)
    return found


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    sentences: Annotated[Path, typer.Argument(metavar="LIST.txt")],
    listed: Annotated[Path, typer.Argument(metavar="LISTED.jsonl")],
    others: Annotated[Path | None, typer.Argument(metavar="OTHERS.jsonl")] = None,
    rejected: Annotated[float, typer.Option("--rejected", min=0, max=1)] = 0.1,
    keep: Annotated[bool, typer.Option("--keep")] = False,
) -> None:
    """Print how many sentences are told apart, and how much else is taken for one."""
    known = read_manifest(listed)
    rest = read_manifest(others) if others else []
    recognizer = asr.load(checkpoint)
    found = judge(recognizer, sentences, known, rest, rejected)
    if keep:
        if "threshold" not in found:
            raise AsrError("--keep: nothing was recognised rightly, so that there is no threshold")
        kept = {REJECT_BELOW: round(found["threshold"], 3)}
        update_metrics(checkpoint, {**recognizer.checkpoint.metrics, **kept})
    typer.echo(f"{found['right']:.1%} of {len(known)} recognised rightly")
    if "accepted" in found:
        typer.echo(
            f"{found['accepted']:.1%} of {len(rest)} others accepted where {rejected:.0%} of "
            f"those are rejected (--reject_below {found['threshold']:.3f})"
        )


if __name__ == "__main__":
    run_command(main)
