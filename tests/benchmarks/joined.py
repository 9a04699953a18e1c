"""How many more errors utterances cost when several are in one recording than each alone.

    python -m tests.benchmarks.joined MANIFEST [--checkpoint NAME]... [--by 3 5 10 0] [--orders 5]

The utterances are put in a random order and joined without a gap, so many to a recording (0: all of
them). Each recording is transcribed as `asr transcribe` would, greedily and with the checkpoint's
own language model. A ratio has the errors of all orders above those of the utterances alone.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.decoder import Decoder
from asr.inference.recognizer import Recognizer
from asr.scoring.wer import word_errors
from asr.signal import audio

LARGEST_RATIO = 1.2
Spoken = tuple[Tensor, str]
"""Samples `(S,)` and what is said."""


def errors(recognizer: Recognizer, decoder: Decoder, spoken: Sequence[Spoken]) -> int:
    """Word errors in some recordings."""
    return sum(
        word_errors(
            text, recognizer.transcribe(samples, recognizer.sample_rate, decoder=decoder).text
        ).errors
        for samples, text in spoken
    )


def joined(spoken: Sequence[Spoken], size: int) -> list[Spoken]:
    """Recordings of `size` utterances each, one after the other; the last may have fewer."""
    groups = [spoken[i : i + size] for i in range(0, len(spoken), size)]
    return [
        (torch.cat([samples for samples, _ in group]), " ".join(text for _, text in group))
        for group in groups
    ]


def main() -> int:
    """Print a table; fail where a ratio is above `LARGEST_RATIO`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--checkpoint", action="append")
    parser.add_argument("--by", type=int, nargs="+", default=[3, 5, 10, 0])
    parser.add_argument("--orders", type=int, default=5)
    arguments = parser.parse_args()
    worst = 0.0
    print("| checkpoint | decoding | utterances in a recording | errors | words | WER | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.checkpoint or ["an4-blstm", "english"]:
        recognizer = asr.load(name)
        rate = recognizer.sample_rate
        spoken = [
            (audio.read(utterance.audio_filepath, rate)[0], utterance.text)
            for utterance in read_manifest(arguments.manifest)
            if utterance.text
        ]
        words = sum(len(text.split()) for _, text in spoken)
        for lm in ("none", "auto"):
            decoder = recognizer.prepare(lm=lm).decoder
            alone = errors(recognizer, decoder, spoken)
            print_row(name, lm, "1", alone, words, 1.0)
            for size in arguments.by:
                found = 0
                for order in range(arguments.orders):
                    shuffled = random.Random(order).sample(spoken, len(spoken))
                    found += errors(recognizer, decoder, joined(shuffled, size or len(spoken)))
                ratio = found / (arguments.orders * max(1, alone))
                worst = max(worst, ratio)
                print_row(name, lm, str(size or "all"), found, arguments.orders * words, ratio)
    return int(worst > LARGEST_RATIO)


def print_row(name: str, lm: str, size: str, found: int, words: int, ratio: float) -> None:
    """One row of the table."""
    cells = (name, lm, size, found, words, f"{100 * found / words:.2f} %", f"{ratio:.2f}")
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
