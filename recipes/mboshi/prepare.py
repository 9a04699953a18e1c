"""Prepare Mboshi: 5130 utterances of three speakers (Godard et al. 2018), their checks and splits.

`python -m recipes.mboshi.prepare --source DIR` reads the corpus as published, or a copy as tables:

    full_corpus_newsplit/{train,dev}/ID.{wav,mb.cleaned}
    {train,dev}.tsv with the columns id, speaker and text, and audio/ID.*

and writes under the output folder:

    {train,dev,test}.jsonl         test is the corpus's own dev; dev is cut from its train
    train-{15,30,60,120}.jsonl     so many minutes of train, each of them part of the next
    open/{train,dev,test}.jsonl    speaker-open: test is martial's part of the test, train and dev
                                   are without him
    open/martial.jsonl             all that he says
    trimmed/                       the manifests of train, without the silence around sentences
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.corpus.trim import trim
from asr.errors import ManifestError
from asr.signal.audio import SUFFIXES, probe
from recipes.command import run_command

COUNTS = {"train": 4616, "dev": 514}
"""Utterances of the corpus's own split."""
DEV_UTTERANCES = 250
MINUTES = (15, 30, 60, 120)
OPEN_SPEAKER = "martial"
SPEAKERS = ("abiayi", "kouarata", OPEN_SPEAKER)
LETTERS = "abdefghiklmnoprstuvwyzáéíóúεέωώ"
"""The acute accent is the high tone."""

_TEXT = re.compile(f"[{LETTERS}]+(?: [{LETTERS}]+)*")
_PUBLISHED = Path("full_corpus_newsplit")


def read_split(source: Path, split: str, count: int) -> list[Utterance]:
    """The utterances of the corpus's own `train` or `dev`, in the order of their ids.

    A recording whose header states a wrong length, as some of the published ones do, is marked as
    damaged: what is there is all of it.

    Raises ManifestError unless there are `count` of them, each with a text of `LETTERS` and single
    spaces and a known speaker; AudioError on a recording that cannot be read.
    """
    if (source / _PUBLISHED / split).is_dir():
        texts, audio = _read_texts(source / _PUBLISHED / split), source / _PUBLISHED / split
    elif (source / f"{split}.tsv").is_file():
        texts, audio = _read_table(source / f"{split}.tsv"), source / "audio"
    else:
        raise ManifestError(
            f"{source}: no Mboshi corpus here; expected the folder {_PUBLISHED / split}, or "
            f"{split}.tsv and audio"
        )
    if len(texts) != count:
        raise ManifestError(
            f"{source}: expected the {count} utterances of {split}, found {len(texts)}; the copy "
            "is incomplete or another version"
        )
    paths = {path.stem: path for path in audio.iterdir() if path.suffix.lower() in SUFFIXES}
    return [_read(key, text, paths, audio) for key, text in sorted(texts.items())]


def _read_texts(folder: Path) -> dict[str, str]:
    """Of the published files, by id."""
    suffix = ".mb.cleaned"
    try:
        return {
            path.name.removesuffix(suffix): path.read_text(encoding="utf-8").strip()
            for path in folder.glob(f"*{suffix}")
        }
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{folder}: cannot read the texts ({error})") from error


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return {row["id"]: row["text"] for row in rows}
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise ManifestError(
            f"{path}: expected a table with the columns id and text ({error!r})"
        ) from error


def _read(key: str, text: str, paths: Mapping[str, Path], folder: Path) -> Utterance:
    where = f"{folder}: {key}"
    if _TEXT.fullmatch(text) is None:
        raise ManifestError(
            f"{where}: expected words of {LETTERS} with single spaces, found {text[:80]!r}"
        )
    if (speaker := key.split("_")[0]) not in SPEAKERS:
        raise ManifestError(f"{where}: expected an id that begins with {', '.join(SPEAKERS)}")
    if key not in paths:
        raise ManifestError(f"{where}: expected a recording of this name, found none")
    damage: list[str] = []
    seconds = probe(paths[key], damage=damage).duration_seconds
    return Utterance(key, paths[key], seconds, text, speaker, damaged=bool(damage))


def shuffled(utterances: Iterable[Utterance]) -> list[Utterance]:
    """In the order of the hashes of their ids: random, and the same everywhere."""
    return sorted(utterances, key=lambda one: hashlib.sha256(one.id.encode()).digest())


def cut_dev(train: Sequence[Utterance], count: int) -> tuple[list[Utterance], list[Utterance]]:
    """Train and dev: `count` utterances whose sentences do not occur in the rest."""
    times = Counter(utterance.text for utterance in train)
    single = [utterance for utterance in shuffled(train) if times[utterance.text] == 1]
    dev = {utterance.id for utterance in single[:count]}
    return (
        [utterance for utterance in train if utterance.id not in dev],
        [utterance for utterance in train if utterance.id in dev],
    )


def first_minutes(utterances: Sequence[Utterance], minutes: float) -> list[Utterance]:
    """As many utterances as fit into some minutes, in the order of `shuffled`."""
    chosen, seconds = [], 0.0
    for utterance in shuffled(utterances):
        seconds += utterance.duration
        if seconds > 60 * minutes:
            break
        chosen.append(utterance)
    return chosen


def split_corpus(
    train: Sequence[Utterance], test: Sequence[Utterance], dev_utterances: int = DEV_UTTERANCES
) -> dict[str, list[Utterance]]:
    """The manifests, by their names, of the corpus's own train and dev."""
    rest, dev = cut_dev(train, dev_utterances)
    splits = {"train": rest, "dev": dev, "test": list(test)}
    splits |= {f"train-{minutes}": first_minutes(rest, minutes) for minutes in MINUTES}
    for name, utterances in (("train", rest), ("dev", dev)):
        splits[f"open/{name}"] = [one for one in utterances if one.speaker != OPEN_SPEAKER]
    splits["open/test"] = [one for one in test if one.speaker == OPEN_SPEAKER]
    everything = (*rest, *dev, *test)
    splits[f"open/{OPEN_SPEAKER}"] = [one for one in everything if one.speaker == OPEN_SPEAKER]
    return splits


def main(
    source: Annotated[
        Path,
        typer.Option("--source", help="The corpus as published, or {train,dev}.tsv and audio/."),
    ],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/mboshi"),
) -> None:
    """Check Mboshi and write its manifests: train, dev, test, and those of README.md."""
    own = {name: read_split(source, name, count) for name, count in COUNTS.items()}
    splits = split_corpus(own["train"], own["dev"])
    trimmed = {one.id: trim(one) for one in splits["train"]}
    for name in [name for name in splits if Path(name).name.startswith("train")]:
        splits[f"trimmed/{name}"] = [trimmed[one.id] for one in splits[name]]
    for name, utterances in splits.items():
        write_manifest(output_dir / f"{name}.jsonl", utterances)
        minutes = 60 * total_hours(utterances)
        typer.echo(f"{name}: {len(utterances)} utterances, {minutes:.1f} minutes")


if __name__ == "__main__":
    run_command(main)
