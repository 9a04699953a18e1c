"""Write the manifests of the English model.

    python -m recipes.english.prepare -o data/english

After `recipes.alphanumeric.prepare` and the other commands of README.md:

    {train,dev}.jsonl     letters, digits and numbers of the alphanumeric model, sentences, single
                          words, neural voices, several of these in one recording
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from asr.corpus.manifest import Utterance, read_manifest
from recipes.alphanumeric.corpora import SPEECHOCEAN_DEV
from recipes.alphanumeric.prepare import SENTENCES, capped, fits
from recipes.command import run_command
from recipes.english.first import CONFIG as FIRST
from recipes.english.sentences import write_sets
from recipes.join import join

HOURS = {"an4_spliced": 0.6, "borrowed_strings": 0.4, "fsdd_strings": 0.3, "synthetic": 0.5}
"""Maximum hours of a part of the alphanumeric model's training data; others are used in full."""
MAX_REPEATS = 12
"""Recordings of one word, of which THE has a thousand."""
LONGEST_SECONDS = 20.0
"""Of a sentence; a tenth of LibriSpeech's time is in longer ones."""
DEV_NEURAL = 100
DEV_SENTENCES = 40
JOINED = 500


def limit(words: Sequence[Utterance], most: int, seed: int) -> list[Utterance]:
    """A random selection with each text at most so many times, in the original order."""
    counts: Counter[str] = Counter()
    chosen = set()
    for one in Random(seed).sample(words, len(words)):
        counts[one.text] += 1
        if counts[one.text] <= most:
            chosen.add(one.id)
    return [one for one in words if one.id in chosen]


def alphanumeric(path: Path) -> list[Utterance]:
    """The training data of the alphanumeric model without sentences, limited to `HOURS`."""
    parts = defaultdict(list)
    for one in read_manifest(path):
        parts[one.id.partition("-")[0]].append(one)
    return [
        one
        for name, own in parts.items()
        if name not in SENTENCES
        for one in capped(f"english {name}", own, HOURS.get(name))
    ]


def training_sets(
    folder: Path, data_dir: Path, words_dir: Path, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Train and dev; recordings of several utterances are written below the folder."""
    words = read_manifest(words_dir / "manifest.jsonl")
    neural = read_manifest(data_dir / "neural" / "manifest.jsonl")
    commands = read_manifest(data_dir / "synthetic-commands" / "manifest.jsonl")
    sentences = read_manifest(data_dir / "english" / "sentences.jsonl")
    corpus = [u for u in sentences if u.duration <= LONGEST_SECONDS]
    held_out = [
        u
        for u in read_manifest(data_dir / "speechocean762" / "train.jsonl")
        if u.speaker in SPEECHOCEAN_DEV
    ]
    single = [*limit(words, MAX_REPEATS, seed), *commands, *neural[DEV_NEURAL:]]
    single = [u for u in single if fits(u)]
    an4 = read_manifest(data_dir / "an4" / "train.jsonl")
    joined = join([*single, *an4], JOINED, seed, folder / "joined")
    dev = [
        *read_manifest(data_dir / "alphanumeric" / "dev.jsonl"),
        *neural[:DEV_NEURAL],
        *Random(seed).sample(held_out, DEV_SENTENCES),
    ]
    known = alphanumeric(data_dir / "alphanumeric" / "train.jsonl")
    train = [*known, *corpus, *single, *joined]
    return [u for u in train if fits(u, FIRST)], [u for u in dev if fits(u, FIRST)]


def prepare(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/english"),
    data_dir: Annotated[
        Path, typer.Option("--data_dir", help="Where the prepared corpora are.")
    ] = Path("data"),
    words_dir: Annotated[
        Path | None, typer.Option("--words", help="The single words; default: words below data.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Write the manifests, and print the amount of each."""
    train, dev = training_sets(output_dir, data_dir, words_dir or data_dir / "words", seed)
    write_sets(output_dir, {"train": train, "dev": dev})


if __name__ == "__main__":
    run_command(prepare)
