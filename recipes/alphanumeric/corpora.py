"""The corpora that other recipes have prepared, and their held-out speakers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import ManifestError
from recipes.fsdd.prepare import WORDS as DIGITS

_DIGIT_WORDS = ",".join(DIGITS)
_BORROW = (
    "python -m recipes.fsdd.borrow checkpoints/an4-blstm data/an4/train.jsonl data/an4/dev.jsonl "
    "data/speechocean762/train.jsonl"
)
_SYNTHETIC = "python -m recipes.synthetic.prepare train"

PREPARED: dict[str, tuple[str, str]] = {
    "an4_train": ("an4/train.jsonl", "python -m recipes.an4.prepare --source DIR"),
    "an4_dev": ("an4/dev.jsonl", "python -m recipes.an4.prepare --source DIR"),
    "an4_test": ("an4/test.jsonl", "python -m recipes.an4.prepare --source DIR"),
    "fsdd_train": ("fsdd/train.jsonl", "python -m recipes.fsdd.prepare --source DIR"),
    "fsdd_dev": ("fsdd/dev.jsonl", "python -m recipes.fsdd.prepare --source DIR"),
    "fsdd_test": ("fsdd/test.jsonl", "python -m recipes.fsdd.prepare --source DIR"),
    "fsdd_strings_train": (
        "fsdd/strings_train.jsonl",
        "python -m recipes.fsdd.prepare --source DIR",
    ),
    "fsdd_strings_dev": ("fsdd/strings_dev.jsonl", "python -m recipes.fsdd.prepare --source DIR"),
    "speechocean762": (
        "speechocean762/train.jsonl",
        "python -m recipes.speechocean762.prepare --source DIR",
    ),
    "librispeech": (
        "librispeech/manifest.jsonl",
        "asr import librispeech DIR -o data/librispeech/manifest.jsonl",
    ),
    "an4_spliced": (
        "an4-spliced-all/manifest.jsonl",
        "python -m recipes.an4.splice checkpoints/an4-blstm data/an4/train.jsonl "
        "data/an4/dev.jsonl --utterances 1900 -o data/an4-spliced-all",
    ),
    "an4_train_spliced": (
        "an4-spliced/manifest.jsonl",
        "python -m recipes.an4.splice checkpoints/an4-blstm data/an4/train.jsonl "
        "--utterances 1700 -o data/an4-spliced",
    ),
    "borrowed_digits": ("borrowed-digits/manifest.jsonl", _BORROW),
    "borrowed_strings": ("borrowed-digits/strings.jsonl", _BORROW),
    "synthetic": (
        "synthetic/manifest.jsonl",
        f"{_SYNTHETIC} --utterances 2500 --seed 1 -o data/synthetic",
    ),
    "synthetic_digits": (
        "synthetic-digits/manifest.jsonl",
        f"{_SYNTHETIC} --words {_DIGIT_WORDS} --utterances 2400 --seed 7 -o data/synthetic-digits",
    ),
    "accented_digits": (
        "accented-digits/manifest.jsonl",
        f"{_SYNTHETIC} --words {_DIGIT_WORDS} --utterances 1500 --seed 8 --accents "
        "-o data/accented-digits",
    ),
}
"""Manifests below the data folder, and the commands that create them."""

LIBRISPEECH_TEST = ("84", "174")
"""Held out for the test on sentences: one woman and one man."""
LIBRISPEECH_HELD_OUT = (*LIBRISPEECH_TEST, "1462", "251")
"""Held out for the babble of the test sets."""
LONGEST_SECONDS = 12.0
"""Longer utterances of LibriSpeech are left out of training: one would fill a batch."""

SPEECHOCEAN_DEV = ("5401", "6401", "1012", "9646")
"""Two children, aged 11 and 12, and two adults; none of them read digit strings."""


@dataclass(frozen=True)
class Corpora:
    """The prepared utterances, by name in `PREPARED`, and the speakers who read digit strings."""

    utterances: Mapping[str, list[Utterance]]
    digit_speakers: frozenset[str]
    """Speakers of speechocean762 whom the left-out model is not trained on."""

    def __getitem__(self, name: str) -> list[Utterance]:
        return self.utterances[name]

    def held_out(self, left_out: bool) -> frozenset[str]:
        """Speakers excluded from training."""
        if not left_out:
            return frozenset(SPEECHOCEAN_DEV)
        an4 = (u.speaker or "" for u in self["an4_dev"])
        return self.digit_speakers.union(SPEECHOCEAN_DEV, an4)

    def digit_strings(self) -> list[Utterance]:
        """The digit strings of speechocean762."""
        return [u for u in self["speechocean762"] if is_digit_string(u.text)]


def is_digit_string(text: str) -> bool:
    """Whether a transcript consists of digits alone."""
    return all(word in DIGITS for word in text.split())


def read_corpora(data_dir: Path) -> Corpora:
    """Read every manifest of `PREPARED`.

    Raises ManifestError, naming the command to run, if one is missing.
    """
    utterances = {}
    for name, (path, command) in PREPARED.items():
        manifest = data_dir / path
        if not manifest.is_file():
            raise ManifestError(
                f"{manifest}: expected a prepared corpus, found no such file; create it with "
                f"`{command.replace('data/', f'{data_dir}/')}`"
            )
        utterances[name] = read_manifest(manifest)
    speakers = {u.speaker or "" for u in utterances["speechocean762"] if is_digit_string(u.text)}
    return Corpora(utterances, frozenset(speakers))


def speech_pools(corpora: Corpora) -> tuple[list[Utterance], list[Utterance]]:
    """Recordings from which babble is mixed, for training and for testing.

    The first are of LibriSpeech and speechocean762, without the speakers held out from either
    model; the second are of LibriSpeech's held-out speakers.
    """
    libri = corpora["librispeech"]
    held_out = corpora.held_out(left_out=True)
    pool = [u for u in libri if u.speaker not in LIBRISPEECH_HELD_OUT]
    pool += [u for u in corpora["speechocean762"] if u.speaker not in held_out]
    return pool, [u for u in libri if u.speaker in LIBRISPEECH_HELD_OUT]
