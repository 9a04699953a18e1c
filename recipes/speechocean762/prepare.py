"""Prepare speechocean762: English read by Mandarin speakers, half of them children.

`python -m recipes.speechocean762.prepare --source DIR` takes the unpacked corpus, the folder that
holds `train/wav.scp` and the recordings it names, checks it and writes `train.jsonl`.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from asr.corpus.importers import read_kaldi
from asr.corpus.manifest import Utterance, write_manifest
from asr.errors import AsrError, ManifestError

UTTERANCES = 2500
_TEXT = re.compile(r"[A-Z']+(?: [A-Z']+)*")


def read_corpus(source: Path, count: int = UTTERANCES) -> list[Utterance]:
    """The training half. Raises ManifestError if it is not `count` utterances of A–Z and '."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 1 the corpus is not as expected)."""
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
        write_manifest(options.output_dir / "train.jsonl", utterances)
    except AsrError as error:
        print(error, file=sys.stderr)
        return 1
    hours = sum(utterance.duration for utterance in utterances) / 3600
    speakers = len({utterance.speaker for utterance in utterances})
    print(f"train: {len(utterances)} utterances, {hours:.2f} hours, {speakers} speakers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
