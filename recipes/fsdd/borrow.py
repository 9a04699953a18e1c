"""Cut digits out of the recordings of other corpora.

`python -m recipes.fsdd.borrow CHECKPOINT MANIFEST...`: FSDD has six speakers; corpora of numbers
and sentences have hundreds, but no isolated digits. The checkpoint aligns every transcript that
contains a digit with its recording, and the digits are cut out, except those of low confidence. The
digits of a speaker are also joined into strings, like those of FSDD.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

import asr
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.files import make_folder
from asr.text.timed import TimedWord
from recipes.command import run_command
from recipes.cut import cut_words
from recipes.fsdd.prepare import SHORTEST, WORDS, by_speaker, make_strings

MIN_CONFIDENCE = 0.1
STRING_ROUNDS = 2
"""Number of strings that a digit occurs in."""


def is_sure_digit(word: TimedWord) -> bool:
    """Whether an aligned word is a digit that can be cut out."""
    return word.text in WORDS and (word.confidence or 0.0) >= MIN_CONFIDENCE


def extract_digits(
    checkpoint: Path, manifests: Sequence[Path], folder: Path
) -> tuple[list[Utterance], int]:
    """Cut the digits out of the recordings of some manifests; return them and the expected number.

    Writes them with a `manifest.jsonl` to a folder, and strings of them with a `strings.jsonl`.
    Raises AsrError if something cannot be read or written.
    """
    utterances = [u for manifest in manifests for u in read_manifest(manifest)]
    with_digits = [u for u in utterances if not set(WORDS).isdisjoint(u.text.split())]
    expected = sum(word in WORDS for u in with_digits for word in u.text.split())
    recognizer = asr.load(checkpoint)
    make_folder(folder)
    digits: list[Utterance] = []
    for utterance in tqdm(with_digits, disable=None):
        digits += cut_words(recognizer, utterance, folder, is_sure_digit)
    write_manifest(folder / "manifest.jsonl", digits)
    strings: list[Utterance] = []
    for speaker, own in by_speaker(digits).items():
        if len(own) >= SHORTEST:
            strings += make_strings(
                own, folder / "strings", speaker, STRING_ROUNDS, 0, recognizer.sample_rate
            )
    write_manifest(folder / "strings.jsonl", strings)
    return digits, expected


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/borrowed-digits"),
) -> None:
    """Cut digits out of recordings and list them in a new manifest."""
    digits, expected = extract_digits(checkpoint, manifests, output_dir)
    counts = Counter(digit.text for digit in digits)
    speakers = len({digit.speaker for digit in digits})
    typer.echo(f"{len(digits)} of {expected} digits, {speakers} speakers")
    typer.echo(", ".join(f"{counts[word]} {word}" for word in WORDS))


if __name__ == "__main__":
    run_command(main)
