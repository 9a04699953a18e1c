"""Prepare speechocean762: English read by Mandarin speakers, half of them children.

`python -m recipes.speechocean762.prepare --source DIR` reads the unpacked corpus (the folder that
contains `train/wav.scp` and the recordings), checks it and writes `train.jsonl` and `ages.json`,
the age of each speaker in years.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from asr.corpus.importers import read_kaldi
from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import ManifestError
from asr.files import write_json_atomic
from recipes.command import run_command

UTTERANCES = 2500
_TEXT = re.compile(r"[A-Z']+(?: [A-Z']+)*")
_AGE = re.compile(r"(?P<speaker>\S+)\s+(?P<age>[0-9]{1,3})\s*")


def read_corpus(source: Path, count: int = UTTERANCES) -> list[Utterance]:
    """Read the training half. Raises ManifestError unless it is `count` utterances of A–Z and '."""
    folder = source / "train"
    if not (folder / "wav.scp").is_file():
        raise ManifestError(
            f"{source}: no speechocean762 here; expected train/wav.scp in this folder"
        )
    utterances = read_kaldi(folder, root=source)
    if len(utterances) != count:
        raise ManifestError(f"{folder}: expected {count} utterances, found {len(utterances)}")
    for utterance in utterances:
        if _TEXT.fullmatch(utterance.text) is None:
            raise ManifestError(
                f"{folder / 'text'}: {utterance.id}: expected words of A–Z and ' with single "
                f"spaces, found {utterance.text[:80]!r}"
            )
    return utterances


def read_ages(source: Path, speakers: Collection[str]) -> dict[str, int]:
    """Age by speaker. Raises ManifestError if a line is invalid or a speaker has no age."""
    path = source / "train" / "spk2age"
    ages: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot read it as text ({error})") from error
    for number, line in enumerate(lines, 1):
        match = _AGE.fullmatch(line)
        if match is None:
            raise ManifestError(
                f"{path}, line {number}: expected SPEAKER AGE, found {line[:80]!r}; correct it"
            )
        ages[match["speaker"]] = int(match["age"])
    if missing := sorted(set(speakers) - ages.keys()):
        raise ManifestError(
            f"{path}: expected an age for every speaker, found none for {', '.join(missing[:5])}; "
            "download the file again"
        )
    return {speaker: ages[speaker] for speaker in sorted(speakers)}


def main(
    source: Annotated[Path, typer.Option("--source", help="The folder that has train/wav.scp.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/speechocean762"),
) -> None:
    """Check speechocean762, and write train.jsonl and the age of each speaker, ages.json."""
    utterances = read_corpus(source)
    speakers = {utterance.speaker or "" for utterance in utterances}
    ages = read_ages(source, speakers)
    write_manifest(output_dir / "train.jsonl", utterances)
    write_json_atomic(output_dir / "ages.json", ages)
    hours = total_hours(utterances)
    typer.echo(f"train: {len(utterances)} utterances, {hours:.2f} hours, {len(speakers)} speakers")


if __name__ == "__main__":
    run_command(main)
