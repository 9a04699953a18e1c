"""Write the manifests of the recogniser of letters, digits, numbers, dates and commands.

`python -m recipes.alphanumeric.prepare` reads the corpora that other recipes have prepared below
`data/` and writes to `data/alphanumeric`:

    {train,dev}.jsonl            training and validation data of the checkpoint
    {language,tune}.jsonl        the same without sentences, repeated transcripts limited: to
                                 estimate a language model and to tune its weights
    left_out/*.jsonl             the same without FSDD and without the speakers who read digit
                                 strings in speechocean762; AN4's dev is for validation only, and
                                 `noises.jsonl` lacks the kinds of noise used in validation
    test/*.jsonl                 the test sets of both; `test/ages.json`: age by speaker
    noises/                      generated noise, with empty transcripts
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from asr.corpus.check import minimum_frames
from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import ManifestError
from asr.files import write_json_atomic
from asr.training import Config
from recipes.alphanumeric.corpora import (
    LIBRISPEECH_HELD_OUT,
    LIBRISPEECH_TEST,
    LONGEST_SECONDS,
    SPEECHOCEAN_DEV,
    Corpora,
    is_digit_string,
    read_corpora,
    speech_pools,
)
from recipes.alphanumeric.noises import QUIET_KINDS, write_noises
from recipes.alphanumeric.noisy import write_noisy
from recipes.alphanumeric.train import CONFIG
from recipes.command import run_command

Parts = dict[str, list[Utterance]]
"""Utterances by the name of their part."""

HOURS = {
    "fsdd_strings": 0.4,
    "sentences": 0.2,
    "librispeech": 0.2,
    "synthetic": 0.8,
    "synthetic_digits": 0.35,
    "accented_digits": 0.3,
}
"""Maximum hours of a part in training; other parts are used in full."""

SENTENCES = ("sentences", "librispeech")
"""Parts outside the domain of letters, digits, dates and commands."""
SPLICED = ("an4_spliced",)
"""Parts with artificial word sequences, unsuitable for a language model."""
MAX_REPEATS = 50
"""Maximum copies of a transcript in the text of the language model: a thousand recordings of SEVEN
do not mean that it is that likely. Empty transcripts are not limited."""
LEVELS_DB = (20.0, 10.0, 0.0)

NOISES_LEFT_OUT = ("beeps", "chords", "knocks", "paper")
"""Kinds of noise that the left-out model is validated on but not trained on."""
DEV_LEVEL_DB = 10.0

_DEV = {"fsdd_strings_dev": 24, "sentences": 16, "synthetic": 60, "accented_digits": 25}
"""How many utterances of a part are used for validation; other parts of dev are used in full."""


def train_parts(
    corpora: Corpora, noises: Parts, left_out: bool, hours: Mapping[str, float]
) -> Parts:
    """The training data: of each part a seeded selection of at most its hours."""
    held_out = corpora.held_out(left_out)
    mandarin = _without(held_out, corpora["speechocean762"])
    if left_out:
        parts = {"an4": corpora["an4_train"], "an4_spliced": corpora["an4_train_spliced"]}
    else:
        parts = {
            "an4": [*corpora["an4_train"], *corpora["an4_dev"]],
            "an4_spliced": corpora["an4_spliced"],
        }
        parts |= {name: corpora[f"{name}_train"] for name in ("fsdd", "fsdd_strings")}
        parts["digit_strings"] = [u for u in mandarin if is_digit_string(u.text)]
    libri = _without(LIBRISPEECH_HELD_OUT, corpora["librispeech"])
    parts |= {
        "borrowed_digits": _without(held_out, corpora["borrowed_digits"]),
        "borrowed_strings": _without(held_out, corpora["borrowed_strings"]),
        "synthetic": _shuffled("synthetic", corpora["synthetic"])[_DEV["synthetic"] :],
        "synthetic_digits": corpora["synthetic_digits"],
        "accented_digits": _shuffled("accented_digits", corpora["accented_digits"])[
            _DEV["accented_digits"] :
        ],
        "sentences": [u for u in mandarin if not is_digit_string(u.text)],
        "librispeech": [u for u in libri if u.duration <= LONGEST_SECONDS],
        "noise": training_noises(noises, left_out),
        "silence": noises["silence"],
    }
    return {
        name: capped(name, [u for u in own if fits(u)], hours.get(name))
        for name, own in parts.items()
    }


def training_noises(noises: Parts, left_out: bool) -> list[Utterance]:
    """The recordings of noise used in training."""
    return [u for u in noises["train"] if not (left_out and u.speaker in NOISES_LEFT_OUT)]


def fits(utterance: Utterance, config: Config = CONFIG) -> bool:
    """Whether a recording has enough frames for its transcript at the highest speed.

    Some of FSDD's recordings of THREE are too short.
    """
    frames = minimum_frames([ord(c) for c in utterance.text])
    frame_seconds = config.features.frame_seconds * config.subsampling_in(epoch=0)
    return utterance.duration >= frames * frame_seconds * config.augment.fastest_speed


def dev_parts(corpora: Corpora, noises: Parts, left_out: bool, folder: Path) -> Parts:
    """The validation data: mostly letters, digits, numbers and commands.

    Only that of the left-out model holds AN4, in quiet and in noise; the latter is written to
    `folder`.
    """
    parts: Parts = {}
    chosen = ["synthetic", "accented_digits"]
    noise = noises["dev"]
    if left_out:
        noise = [u for u in noise if u.speaker in (*NOISES_LEFT_OUT, *QUIET_KINDS)]
        loud = [u for u in noise if u.speaker in NOISES_LEFT_OUT]
        noisy = write_noisy(corpora["an4_dev"], loud, [DEV_LEVEL_DB], folder / "an4_dev")
        parts |= {"an4": corpora["an4_dev"], "an4_noisy": noisy[DEV_LEVEL_DB]}
    else:
        parts["fsdd"] = corpora["fsdd_dev"]
        chosen.append("fsdd_strings_dev")
    parts |= {name: _shuffled(name, corpora[name])[: _DEV[name]] for name in chosen}
    for name, corpus in (("borrowed_digits", "borrowed_digits"), ("sentences", "speechocean762")):
        held_out = [u for u in corpora[corpus] if u.speaker in SPEECHOCEAN_DEV]
        parts[name] = _shuffled(name, held_out)[: _DEV.get(name)]
    return parts | {"noise": noise}


def test_sets(corpora: Corpora, noises: Parts) -> Parts:
    """The test sets, by the name of the manifest."""
    known = {u.text for name in ("an4_train", "an4_dev") for u in corpora[name]}
    return {
        "an4": corpora["an4_test"],
        "an4_new_sentences": [u for u in corpora["an4_test"] if u.text not in known],
        "fsdd": corpora["fsdd_test"],
        "fsdd_all": [u for part in ("train", "dev", "test") for u in corpora[f"fsdd_{part}"]],
        "digit_strings": corpora.digit_strings(),
        "librispeech": [u for u in corpora["librispeech"] if u.speaker in LIBRISPEECH_TEST],
        "nothing": noises["nothing"],
    }


def write_manifests(
    corpora: Corpora, noises: Parts, folder: Path, hours: Mapping[str, float]
) -> dict[str, Parts]:
    """Write the manifests of both models; return their parts by the path of the manifest."""
    written = {}
    for left_out in (False, True):
        place = "left_out/" if left_out else ""
        train = train_parts(corpora, noises, left_out, hours)
        dev = dev_parts(corpora, noises, left_out, folder / place)
        language = _limit_repeats(_excluding((*SENTENCES, *SPLICED), train))
        tune = _excluding(SENTENCES, dev)
        sets = {"train": train, "language": language, "dev": dev, "tune": tune}
        for name, parts in sets.items():
            path = f"{place}{name}.jsonl"
            utterances = [
                dataclasses.replace(u, id=f"{part}-{u.id}")
                for part, own in parts.items()
                for u in own
            ]
            write_manifest(folder / path, utterances)
            written[path] = parts
    write_manifest(folder / "left_out" / "noises.jsonl", training_noises(noises, left_out=True))
    return written


def _excluding(names: Collection[str], parts: Parts) -> Parts:
    return {name: own for name, own in parts.items() if name not in names}


def _limit_repeats(parts: Parts) -> Parts:
    """Keep the first `MAX_REPEATS` recordings of each transcript."""
    counts: Counter[str] = Counter()
    chosen: Parts = {}
    for name, own in parts.items():
        chosen[name] = []
        for utterance in own:
            counts[utterance.text] += 1
            if not utterance.text or counts[utterance.text] <= MAX_REPEATS:
                chosen[name].append(utterance)
    return chosen


def write_tests(corpora: Corpora, noises: Parts, folder: Path, ages: Mapping[str, int]) -> Parts:
    """Write the test manifests and the noisy recordings; return the sets by name."""
    tests = test_sets(corpora, noises)
    noisy = write_noisy(corpora["an4_test"], noises["test"], LEVELS_DB, folder / "an4")
    tests |= {f"an4_{level:g}db": own for level, own in noisy.items()}
    for name, utterances in tests.items():
        write_manifest(folder / f"{name}.jsonl", utterances)
    speakers = sorted(corpora.digit_speakers)
    write_json_atomic(folder / "ages.json", {speaker: ages[speaker] for speaker in speakers})
    return tests


def _without(speakers: Collection[str], utterances: Sequence[Utterance]) -> list[Utterance]:
    return [u for u in utterances if u.speaker not in speakers]


def _shuffled(name: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    return Random(name).sample(utterances, len(utterances))


def capped(name: str, utterances: list[Utterance], hours: float | None) -> list[Utterance]:
    """A random selection of at most so many hours, in the original order; None: all."""
    if hours is None:
        return utterances
    shuffled = _shuffled(f"hours {name}", utterances)
    count = sum(end <= hours * 3600 for end in accumulate(u.duration for u in shuffled))
    chosen = {u.id for u in shuffled[:count]}
    return [u for u in utterances if u.id in chosen]


def table(sets: Mapping[str, Parts]) -> str:
    """A table of the utterances and hours of each manifest and its parts."""
    lines = [f"{'manifest':30}{'part':18}{'utterances':>10}{'hours':>8}"]
    for path, parts in sets.items():
        rows = [*parts.items(), ("all", [u for own in parts.values() for u in own])]
        for name, own in rows if len(parts) > 1 else parts.items():
            hours = total_hours(own)
            lines.append(f"{path:30}{name:18}{len(own):10}{hours:8.3f}")
    return "\n".join(lines)


def parse_hours(options: Sequence[str]) -> dict[str, float]:
    """`HOURS`, changed by options `PART=HOURS`. Raises BadParameter if one is invalid."""
    hours = dict(HOURS)
    for text in options:
        name, _, value = text.partition("=")
        try:
            hours[name] = float(value)
        except ValueError:
            hours[name] = -1.0
        if name not in HOURS or not 0 <= hours[name] < math.inf:
            raise typer.BadParameter(
                f"--hours: expected PART=HOURS with a part of {', '.join(HOURS)} and a number of "
                f"0 or more, found {text!r}"
            )
    return hours


def read_ages(path: Path) -> dict[str, int]:
    """Age by speaker, as written by `recipes.speechocean762.prepare`. Raises ManifestError."""
    try:
        return {str(key): int(age) for key, age in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ManifestError(
            f"{path}: expected the ages of speakers as JSON ({error}); create it with `python -m "
            "recipes.speechocean762.prepare --source DIR`"
        ) from error


def prepare(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/alphanumeric"),
    data_dir: Annotated[
        Path, typer.Option("--data_dir", help="Where the prepared corpora are.")
    ] = Path("data"),
    hours: Annotated[
        list[str] | None,
        typer.Option(
            "--hours", metavar="PART=HOURS", help="Limit the hours of a part in training."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the noise.")] = 0,
) -> None:
    """Write the manifests and the noise, and print the amount of each."""
    limits = parse_hours(hours or [])
    corpora = read_corpora(data_dir)
    ages = read_ages(data_dir / "speechocean762" / "ages.json")
    noises = write_noises(output_dir / "noises", *speech_pools(corpora), seed)
    sets = write_manifests(corpora, noises, output_dir, limits)
    tests = write_tests(corpora, noises, output_dir / "test", ages)
    typer.echo(table(sets | {f"test/{name}.jsonl": {name: own} for name, own in tests.items()}))
    libri = _without(LIBRISPEECH_HELD_OUT, corpora["librispeech"])
    long = sum(u.duration > LONGEST_SECONDS for u in libri)
    typer.echo(
        f"{long} utterances of LibriSpeech over {LONGEST_SECONDS:g} s are excluded from train"
    )


if __name__ == "__main__":
    run_command(prepare)
