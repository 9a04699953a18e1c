"""What transcribing by ear costs someone whose models help as soon as there are any.

    python -m recipes.mboshi.field runs/mboshi-curve

takes the models that `curve.py --init_from checkpoints/english` made of 15, 30, 60 and 120 minutes,
as far as they are there. Each transcribes the recordings up to the next of these, as it would for
somebody who then only corrects its words, greedily and with a 3-gram of the words so far. Printed
is how many words that are, for each hour of recordings, and how many of them are in the tenth,
quarter and half of the recordings that the model is least sure of, which is where to listen if
there is no time for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AsrError
from asr.files import is_folder
from asr.inference.evaluation import Evaluation, evaluate
from recipes.command import run_command
from recipes.mboshi.curve import EPOCHS, manifest_of
from recipes.recurrent.experiments import table

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Parts of the recordings that somebody listens to."""


@dataclass(frozen=True)
class Heard:
    """A recording of the next part, as the model transcribes it."""

    seconds: float
    wrong: int
    """Words to correct."""
    doubt: float
    """Words that the model expects to be wrong, by their confidences, for each second."""


def listen(found: Evaluation) -> list[Heard]:
    """What a model wrote, with word timestamps, of recordings whose texts are known."""
    heard = []
    for one in found.aligned:
        transcript = found.transcripts[one.id]
        doubt = sum(1 - (word.confidence or 0.0) for word in transcript.words)
        seconds = transcript.duration_seconds
        heard.append(Heard(seconds, one.words.errors, doubt / seconds))
    return heard


def corrected(heard: Sequence[Heard], share: float) -> tuple[int, float]:
    """Words corrected, and seconds listened to, in a share of the recordings, worst first."""
    limit = share * sum(one.seconds for one in heard)
    words, seconds = 0, 0.0
    for one in sorted(heard, key=lambda one: -one.doubt):
        if seconds + one.seconds > limit * (1 + 1e-9):
            break
        words, seconds = words + one.wrong, seconds + one.seconds
    return words, seconds


def next_part(minutes: int) -> list[Utterance]:
    """The recordings between so many minutes and the next larger part of train."""
    parts = sorted(EPOCHS)
    following = parts[parts.index(minutes) + 1]
    folder = Path("data/mboshi")
    known = {utterance.id for utterance in read_manifest(folder / manifest_of(minutes))}
    return [u for u in read_manifest(folder / manifest_of(following)) if u.id not in known]


def field(
    runs: Annotated[Path, typer.Argument(metavar="RUNS")],
    start: Annotated[str, typer.Option("--start")] = "english",
) -> None:
    """Print the table."""
    rows = []
    for minutes in sorted(EPOCHS)[:-1]:
        folder = runs / f"{start}-{minutes}"
        if not is_folder(folder / "checkpoint"):
            continue
        recognizer, recordings = asr.load(folder / "checkpoint"), next_part(minutes)
        words = sum(len(utterance.text.split()) for utterance in recordings)
        for search, beam_size in (("greedy", 1), ("3-gram", None)):
            found = evaluate(recognizer, recordings, word_timestamps=True, beam_size=beam_size)
            heard = listen(found)
            cells = [corrected(heard, share) for share in SHARES]
            hours = cells[-1][1] / 3600
            rows.append(
                [minutes, search, f"{60 * hours:.0f}", f"{words / hours:.0f}"]
                + [f"{found.score.cer:.1%}"]
                + [f"{count} in {seconds / 60:.0f} min" for count, seconds in cells]
            )
    if not rows:
        raise AsrError(
            f"{runs}: expected {start}-15/checkpoint or another, found none; run curve.py"
        )
    head = ["minutes", "search", "next minutes", "words an hour", "CER"]
    typer.echo(table([*head, *(f"to correct in {share:.0%}" for share in SHARES)], rows))


if __name__ == "__main__":
    run_command(field)
