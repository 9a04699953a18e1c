"""Prepare speechocean762: English read by Mandarin speakers, half of them children.

`python -m recipes.speechocean762.prepare --source DIR` reads the unpacked corpus (the folder that
contains `train/wav.scp` and the recordings), checks it and writes `train.jsonl` and `ages.json`,
the age of each speaker in years.
"""

import argparse
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from asr.corpus.importers import read_kaldi
from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import AsrError, ManifestError
from asr.files import write_json_atomic

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 success, 1 error)."""
    parser = argparse.ArgumentParser(
        "python -m recipes.speechocean762.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--output_dir", "-o", type=Path, default=Path("data/speechocean762"), metavar="DIR"
    )
    options = parser.parse_args(arguments)
    try:
        utterances = read_corpus(options.source)
        speakers = {utterance.speaker or "" for utterance in utterances}
        ages = read_ages(options.source, speakers)
        write_manifest(options.output_dir / "train.jsonl", utterances)
        write_json_atomic(options.output_dir / "ages.json", ages)
    except AsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    hours = total_hours(utterances)
    print(f"train: {len(utterances)} utterances, {hours:.2f} hours, {len(speakers)} speakers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
