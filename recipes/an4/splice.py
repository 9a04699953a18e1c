r"""New utterances spliced from recordings of the same speaker that share a word.

    python -m recipes.an4.splice runs/an4-pilot/checkpoint data/an4/train.jsonl \
        --utterances 1700 -o data/an4-spliced

AN4 has 0.7 hours, so that a network soon overfits to the same 948 sentences. Here a new utterance
switches from one recording of a speaker to another after a word that occurs in both, or after any
letter in each (letters are spelled in any order). JUNE TENTH FIFTY SIX and APRIL FIFTY FOUR give
JUNE TENTH FIFTY FOUR: a new sentence of the same voice and microphone, in which every word follows
one that it may follow.

The checkpoint locates the words by forced alignment; cuts are made at the quietest point between
two words. Based on "On-the-Fly Aligned Data Augmentation" (Lam et al., Interspeech 2021), which
exchanges single words.
"""

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
from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from asr.corpus.recordings import read_utterance
from asr.errors import ManifestError
from asr.files import make_folder
from asr.inference.alignment import align_recording
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.timed import TimedWord
from recipes.command import run_command

CROSSING_PROBABILITY = 1 / 3
"""Probability of switching to another recording after a word where that is possible."""
MAX_WORDS = 14
"""Maximum number of words in an utterance, as in AN4."""
WINDOW_SECONDS = 0.02
"""The cut is in the middle of the quietest window of this length between two words."""
FADE_SECONDS = 0.01


class Recording(NamedTuple):
    """A recording with its words and cut points."""

    waveform: Tensor
    """`(S,)`"""
    words: tuple[str, ...]
    cuts: tuple[int, ...]
    """The first sample of each word, and the end: one more than words."""


class Piece(NamedTuple):
    """Words `first` to `end` (exclusive) of a recording."""

    recording: int
    first: int
    end: int


def read(recognizer: Recognizer, utterance: Utterance) -> Recording:
    """Align an utterance. Raises AsrError, naming it, if that fails."""
    waveform, _ = read_utterance(utterance, recognizer.sample_rate)
    words = align_recording(recognizer, utterance, utterance.text).words
    inner = (quietest(waveform, a, b, recognizer.sample_rate) for a, b in pairwise(words))
    return Recording(waveform, tuple(w.text for w in words), (0, *inner, len(waveform)))


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
    """The class of a word at a crossing point: the word itself, or any letter."""
    return "letter" if len(word) == 1 else word


def crossing_points(recordings: Sequence[Recording]) -> dict[str, list[tuple[int, int]]]:
    """Recording and index of each word but the last ones, by kind."""
    places = defaultdict(list)
    for number, recording in enumerate(recordings):
        for index, word in enumerate(recording.words[:-1]):
            places[kind(word)].append((number, index))
    return dict(places)


def draw_pieces(
    random: Random, recordings: Sequence[Recording], places: Mapping[str, Sequence[tuple[int, int]]]
) -> list[Piece]:
    """Draw pieces from the start of one recording to the end of another, switching at random."""
    number, first, index = random.randrange(len(recordings)), 0, 0
    pieces = []
    while index + 1 < len(recordings[number].words):
        word = recordings[number].words[index]
        elsewhere = [place for place in places[kind(word)] if place[0] != number]
        index += 1
        if elsewhere and random.random() < CROSSING_PROBABILITY:
            pieces.append(Piece(number, first, index))
            number, before = random.choice(elsewhere)
            first = index = before + 1
    return [*pieces, Piece(number, first, index + 1)]


def joined(recordings: Sequence[Recording], pieces: Iterable[Piece], sample_rate: int) -> Tensor:
    """The waveform `(S,)` of pieces, with a cross-fade between them."""
    fade = round(FADE_SECONDS * sample_rate)
    whole = torch.empty(0)
    for number, first, end in pieces:
        waveform, _, cuts = recordings[number]
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

    Speakers are drawn in proportion to their recordings. Raises AsrError if something cannot be
    read or written, ManifestError if there are not enough ways to splice.
    """
    by_speaker = defaultdict(list)
    for utterance in tqdm(utterances, "aligning", disable=None):
        by_speaker[utterance.speaker].append(read(recognizer, utterance))
    places = {speaker: crossing_points(recordings) for speaker, recordings in by_speaker.items()}
    make_folder(folder / "audio")
    random = Random(seed)
    speakers = [utterance.speaker for utterance in utterances]
    made: list[Utterance] = []
    seen = set()
    for _ in range(50 * count):
        if len(made) == count:
            break
        speaker = random.choice(speakers)
        recordings = by_speaker[speaker]
        pieces = draw_pieces(random, recordings, places[speaker])
        words = [word for n, first, end in pieces for word in recordings[n].words[first:end]]
        if len(pieces) == 1 or len(words) > MAX_WORDS or (speaker, *pieces) in seen:
            continue
        seen.add((speaker, *pieces))
        name = f"spliced-{seed}-{len(made):05}"
        path = folder / "audio" / f"{name}.flac"
        waveform = joined(recordings, pieces, recognizer.sample_rate)
        audio.write(path, waveform, recognizer.sample_rate)
        seconds = len(waveform) / recognizer.sample_rate
        made.append(Utterance(name, path, seconds, " ".join(words), speaker))
    if len(made) < count:
        raise ManifestError(
            f"{len(utterances)} utterances gave {len(made)} new ones, not {count}; request fewer"
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
    """Splice new utterances and list them in a new manifest."""
    old = [u for manifest in manifests for u in read_manifest(manifest)]
    new = splice(asr.load(checkpoint), old, utterances, seed, output_dir)
    hours = total_hours(new)
    texts = {u.text for u in new} - {u.text for u in old}
    typer.echo(f"{len(new)} utterances, {hours:.2f} hours, {len(texts)} new sentences")


if __name__ == "__main__":
    run_command(main)
