"""The sentences of real voices that the English model may be trained on, and those it may not.

    python -m recipes.english.sentences -o data/english

writes `sentences.jsonl`, LibriSpeech and speechocean762 without the speakers whom the model is
tested with, and `held_out.jsonl`, the sentences of LibriSpeech's held-out speakers. Phrases for
synthesisers and single words for training are taken from the first alone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from recipes.alphanumeric.corpora import LIBRISPEECH_HELD_OUT, SPEECHOCEAN_DEV, is_digit_string
from recipes.command import run_command

HELD_OUT = frozenset((*LIBRISPEECH_HELD_OUT, *SPEECHOCEAN_DEV))


def sentences(data_dir: Path) -> tuple[list[Utterance], list[Utterance]]:
    """For training, and of the held-out speakers of LibriSpeech.

    Raises ManifestError where a corpus has not been prepared.
    """
    librispeech = read_manifest(data_dir / "librispeech" / "manifest.jsonl")
    children = read_manifest(data_dir / "speechocean762" / "train.jsonl")
    read = [*librispeech, *(u for u in children if not is_digit_string(u.text))]
    for_training = [u for u in read if u.speaker not in HELD_OUT]
    return for_training, [u for u in librispeech if u.speaker in HELD_OUT]


def write_sets(folder: Path, sets: Mapping[str, Sequence[Utterance]]) -> None:
    """Write a manifest of each set, and print its amount."""
    for name, own in sets.items():
        write_manifest(folder / f"{name}.jsonl", own)
        hours = total_hours(own)
        typer.echo(f"{name}.jsonl: {len(own)} utterances, {hours:.2f} hours")


def main(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/english"),
    data_dir: Annotated[Path, typer.Option("--data_dir")] = Path("data"),
) -> None:
    """Write both manifests."""
    for_training, held_out = (
        [dataclasses.replace(u, id=f"sentence-{u.id}") for u in own] for own in sentences(data_dir)
    )
    write_sets(output_dir, {"sentences": for_training, "held_out": held_out})


if __name__ == "__main__":
    run_command(main)
