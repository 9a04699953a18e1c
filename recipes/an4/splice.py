r"""New utterances of a speaker's own words: recordings that cross over where they say alike.

    python -m recipes.an4.splice runs/an4-pilot/checkpoint data/an4/train.jsonl \
        --utterances 1700 -o data/an4-spliced

AN4 has 0.7 hours, and a network that hears the same 948 sentences for an hour learns them by heart.
Here two recordings of a speaker change places after a word that both say, or after a letter in each
(letters are spelled in any order). JUNE TENTH FIFTY SIX and APRIL FIFTY FOUR give JUNE TENTH FIFTY
FOUR: never said, but that voice at that microphone, and every word behind one that it may follow.

The checkpoint finds the words by forced alignment; cuts lie where it is quietest between two. After
"On-the-Fly Aligned Data Augmentation" (Lam et al., Interspeech 2021), which exchanges single words.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor
from tqdm import tqdm

import asr
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.corpus.recordings import read_utterance
from asr.errors import AsrError, ManifestError
from asr.files import make_folder
from asr.inference.alignment import align_recording
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.timed import TimedWord

CROSSING = 1 / 3
"""The chance to change over after a word where another recording can be entered."""
LONGEST = 14
"""Words in an utterance, as in AN4."""
WINDOW_SECONDS = 0.02
"""Of which the quietest between two words is cut in the middle."""
FADE_SECONDS = 0.01


class Reading(NamedTuple):
    """A recording, and where it can be cut."""

    waveform: Tensor
    """`(S,)`"""
    words: tuple[str, ...]
    cuts: tuple[int, ...]
    """The sample before each word, and the end: one more than words."""


class Piece(NamedTuple):
    """Words `first` to before `end` of one reading."""

    reading: int
    first: int
    end: int


def read(recognizer: Recognizer, utterance: Utterance) -> Reading:
    """Find the words of an utterance. Raises AsrError, naming it, where that cannot be done."""
    waveform, _ = read_utterance(utterance, recognizer.sample_rate)
    words = align_recording(recognizer, utterance, utterance.text).words
    inner = (quietest(waveform, a, b, recognizer.sample_rate) for a, b in pairwise(words))
    return Reading(waveform, tuple(w.text for w in words), (0, *inner, len(waveform)))


def quietest(waveform: Tensor, before: TimedWord, after: TimedWord, sample_rate: int) -> int:
    """The sample of `(S,)` in the middle of the quietest window between two words."""
    window = round(WINDOW_SECONDS * sample_rate)
    first = max(0, round(before.end_seconds * sample_rate) - window // 2)
    end = min(len(waveform), round(after.start_seconds * sample_rate) + window // 2 + 1)
    if end - first <= window:
        return (first + end) // 2
    energies = waveform[first:end].square().unfold(0, window, window // 4).sum(dim=1)
    return first + int(energies.argmin()) * (window // 4) + window // 2


def kind(word: str) -> str:
    """What may stand for the word at a crossing: itself, or for a letter any letter."""
    return "letter" if len(word) == 1 else word


def crossings(readings: Sequence[Reading]) -> dict[str, list[tuple[int, int]]]:
    """Reading and number of each word that another follows, by kind."""
    places = defaultdict(list)
    for number, reading in enumerate(readings):
        for index, word in enumerate(reading.words[:-1]):
            places[kind(word)].append((number, index))
    return dict(places)


def walk(
    random: Random, readings: Sequence[Reading], places: Mapping[str, Sequence[tuple[int, int]]]
) -> list[Piece]:
    """From the start of one recording to the end of some, changing over on the way at random."""
    number, first, index = random.randrange(len(readings)), 0, 0
    pieces = []
    while index + 1 < len(readings[number].words):
        word = readings[number].words[index]
        elsewhere = [place for place in places[kind(word)] if place[0] != number]
        index += 1
        if elsewhere and random.random() < CROSSING:
            pieces.append(Piece(number, first, index))
            number, before = random.choice(elsewhere)
            first = index = before + 1
    return [*pieces, Piece(number, first, index + 1)]


def joined(readings: Sequence[Reading], pieces: Iterable[Piece], sample_rate: int) -> Tensor:
    """The waveform `(S,)` of pieces, each faded into the next."""
    fade = round(FADE_SECONDS * sample_rate)
    whole = torch.empty(0)
    for number, first, end in pieces:
        waveform, _, cuts = readings[number]
        piece = waveform[cuts[first] : cuts[end]]
        overlap = min(fade, len(whole), len(piece))
        ramp = torch.linspace(0, 1, overlap)
        seam = whole[len(whole) - overlap :] * (1 - ramp) + piece[:overlap] * ramp
        whole = torch.cat([whole[: len(whole) - overlap], seam, piece[overlap:]])
    return whole


def splice(
    recognizer: Recognizer, utterances: Sequence[Utterance], count: int, seed: int, folder: Path
) -> list[Utterance]:
    """Write `count` different new utterances and their `manifest.jsonl`.

    Speakers have as many as they have recordings. Raises AsrError if something cannot be read or
    written, ManifestError if there are not that many ways to cross over.
    """
    by_speaker = defaultdict(list)
    for utterance in tqdm(utterances, "aligning", disable=None):
        by_speaker[utterance.speaker].append(read(recognizer, utterance))
    places = {speaker: crossings(readings) for speaker, readings in by_speaker.items()}
    make_folder(folder / "audio")
    random = Random(seed)
    speakers = [utterance.speaker for utterance in utterances]
    made: list[Utterance] = []
    seen = set()
    for _ in range(50 * count):
        if len(made) == count:
            break
        speaker = random.choice(speakers)
        readings = by_speaker[speaker]
        pieces = walk(random, readings, places[speaker])
        words = [word for n, first, end in pieces for word in readings[n].words[first:end]]
        if len(pieces) == 1 or len(words) > LONGEST or (speaker, *pieces) in seen:
            continue
        seen.add((speaker, *pieces))
        name = f"spliced-{seed}-{len(made):05}"
        path = folder / "audio" / f"{name}.flac"
        waveform = joined(readings, pieces, recognizer.sample_rate)
        audio.write(path, waveform, recognizer.sample_rate)
        seconds = len(waveform) / recognizer.sample_rate
        made.append(Utterance(name, path, seconds, " ".join(words), speaker))
    if len(made) < count:
        raise ManifestError(
            f"{len(utterances)} utterances gave {len(made)} new ones, not {count}; ask for fewer"
        )
    write_manifest(folder / "manifest.jsonl", made)
    return made


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...")],
    utterances: Annotated[int, typer.Option("--utterances", min=1)] = 1700,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/an4-spliced"),
) -> None:
    """Make new utterances of old ones, and list them in a new manifest."""
    try:
        old = [u for manifest in manifests for u in read_manifest(manifest)]
        new = splice(asr.load(checkpoint), old, utterances, seed, output_dir)
    except AsrError as error:
        typer.echo(error, err=True)
        sys.exit(1)
    hours = sum(utterance.duration for utterance in new) / 3600
    texts = {u.text for u in new} - {u.text for u in old}
    typer.echo(f"{len(new)} utterances, {hours:.2f} hours, {len(texts)} sentences never said")


if __name__ == "__main__":
    typer.run(main)
