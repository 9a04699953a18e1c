"""Prepare the tones corpus: synthetic utterances whose letters are tones.

`python -m recipes.tones.prepare` writes FLAC recordings and `{train,dev,test}.jsonl`. The same
seed gives the same corpus; no transcript occurs twice, so that those of the test set are new.
"""

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from asr.corpus.manifest import Utterance, write_manifest
from asr.files import make_folder
from asr.signal.audio import write
from recipes.command import run_command

SAMPLE_RATE = 8000
COUNTS = {"train": 450, "dev": 30, "test": 100}
TONES = {
    "A": (350.0,),
    "B": (450.0,),
    "C": (580.0,),
    "D": (750.0,),
    "E": (970.0,),
    "F": (1250.0,),
    "G": (1600.0,),
    "H": (1950.0, 2600.0),
    "I": (2250.0, 3000.0),
}
"""Frequencies in Hz of the tone or chord of each letter."""

LETTER_SECONDS = (0.1, 0.2)
LETTER_GAP_SECONDS = (0.07, 0.085)
WORD_GAP_SECONDS = (0.3, 0.4)
EDGE_SECONDS = (0.02, 0.08)
FADE_SECONDS = 0.02
DETUNING = (0.98, 1.02)
LEVEL_DB = (-30.0, -6.0)
NOISE_DB = (-40.0, -25.0)
"""Level of the background noise relative to the tones."""


def sentence(rng: random.Random) -> str:
    """One to four words of one to three letters."""
    letters = sorted(TONES)
    words = rng.randint(1, 4)
    return " ".join("".join(rng.choices(letters, k=rng.randint(1, 3))) for _ in range(words))


def letter(character: str, rng: random.Random) -> Tensor:
    """The tone or chord `(S,)` of a letter, faded in and out, of peak 1 at most."""
    time = torch.arange(round(rng.uniform(*LETTER_SECONDS) * SAMPLE_RATE)) / SAMPLE_RATE
    detuning = rng.uniform(*DETUNING)
    waves = [
        torch.sin(2 * math.pi * (frequency * detuning * time + rng.random()))
        for frequency in TONES[character]
    ]
    edge = torch.minimum(time, time.flip(0)) / FADE_SECONDS
    return torch.stack(waves).mean(dim=0) * edge.clamp(max=1)


def recording(text: str, rng: random.Random) -> Tensor:
    """A waveform `(S,)` of a transcript: tones, pauses between words, a level, some noise."""

    def silence(seconds: tuple[float, float]) -> Tensor:
        return torch.zeros(round(rng.uniform(*seconds) * SAMPLE_RATE))

    pieces = [silence(EDGE_SECONDS)]
    for character in text:
        if character == " ":
            pieces.append(silence(WORD_GAP_SECONDS))
        else:
            pieces += [letter(character, rng), silence(LETTER_GAP_SECONDS)]
    pieces.append(silence(EDGE_SECONDS))
    tones = torch.cat(pieces)
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    noise = torch.randn(len(tones), generator=generator) * 10 ** (rng.uniform(*NOISE_DB) / 20)
    waveform = tones + noise
    return waveform / waveform.abs().max() * 10 ** (rng.uniform(*LEVEL_DB) / 20)


def prepare(
    output_dir: Path, seed: int = 0, counts: Mapping[str, int] = COUNTS
) -> dict[str, list[Utterance]]:
    """Write the recordings and `{train,dev,test}.jsonl`; return the utterances of each.

    Raises AsrError if a file cannot be written.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[Utterance]] = {}
    for split, count in counts.items():
        folder = output_dir / split
        make_folder(folder)
        splits[split] = []
        while len(splits[split]) < count:
            text = sentence(rng)
            if text in seen:
                continue
            seen.add(text)
            path = folder / f"{split}-{len(splits[split]):03d}.flac"
            waveform = recording(text, rng)
            write(path, waveform, SAMPLE_RATE)
            splits[split].append(Utterance(path.stem, path, len(waveform) / SAMPLE_RATE, text))
    for split, utterances in splits.items():
        write_manifest(output_dir / f"{split}.jsonl", utterances)
    return splits


def main(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/tones"),
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Make the tones corpus, and print how much of it there is."""
    splits = prepare(output_dir, seed)
    typer.echo("split  utterances  minutes  words")
    for split, utterances in splits.items():
        minutes = sum(utterance.duration for utterance in utterances) / 60
        words = sum(len(utterance.text.split()) for utterance in utterances)
        typer.echo(f"{split:5}{len(utterances):12}{minutes:9.1f}{words:7}")


if __name__ == "__main__":
    run_command(main)
