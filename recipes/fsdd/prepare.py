"""Prepare the Free Spoken Digit Dataset: find or download it, check it, write its manifests.

`python -m recipes.fsdd.prepare --source DIR` reads the folder `recordings/`, or its parent,
and writes under the output folder:

    {train,dev,test}.jsonl                  isolated digits: recordings n >= 7, 5..6, 0..4
    strings_{train,dev,test}.jsonl          strings of 2 to 7 of those digits, one speaker each
    strings/                                their audio (8 kHz FLAC)
    loso/SPEAKER/{train,dev,test}.jsonl     leave one speaker out: the others' n >= 5,
                                            the others' n = 0..4, all of SPEAKER's
    loso/SPEAKER/strings_{train,dev,test}.jsonl    the same, of strings

Test is the official split (n = 0..4); dev is cut from the official train (n >= 5).
"""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import AudioError, ManifestError
from asr.signal.audio import probe, read, write
from asr.signal.dsp import frame_power
from recipes.command import Download, Source, check_origin, run_command
from recipes.download import download, unpack

SAMPLE_RATE = 8_000
WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RECORDINGS = 50
"""Recordings of each digit by each speaker."""
SPLITS = {"train": range(7, RECORDINGS), "dev": range(5, 7), "test": range(5)}
STRING_ROUNDS = {"train": 2, "dev": 5, "test": 5}
"""Number of strings that each recording occurs in, by split."""
SHORTEST, LONGEST = 2, 7
"""Number of digits in a string."""
GAP_SECONDS = (0.05, 0.3)

ARCHIVE_URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.10.zip"
# The authors publish no checksum; these were measured and published by others.
ARCHIVE_SIZE = 16_419_872
ARCHIVE_SHA256 = "c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b"

_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<number>0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Recording:
    """One spoken digit: the `number`-th recording of it by its speaker."""

    number: int
    utterance: Utterance


def find_recordings(source: Path) -> Path:
    """Return the folder of recordings: `source`, `source/recordings` or `source/*/recordings`."""
    for folder in (source, source / "recordings", *sorted(source.glob("*/recordings"))):
        if folder.is_dir() and any(folder.glob("*.wav")):
            return folder
    raise ManifestError(
        f"{source}: no recordings here; expected files like 0_george_0.wav in this folder or in "
        "its subfolder recordings/. Unpack the archive, or use --download"
    )


def read_corpus(
    source: Path, speakers: Sequence[str] = SPEAKERS, recordings: int = RECORDINGS
) -> list[Recording]:
    """Read and check every recording, sorted by speaker, digit and number.

    Raises ManifestError if a name is not DIGIT_SPEAKER_NUMBER.wav, or if recordings are missing
    or unexpected; AudioError if a file is not 8 kHz mono PCM16.
    """
    folder = find_recordings(source)
    found: set[str] = set()
    for path in sorted(folder.glob("*.wav")):
        if _NAME.fullmatch(path.stem) is None:
            raise ManifestError(f"{path}: expected a name DIGIT_SPEAKER_NUMBER.wav")
        found.add(path.stem)
    expected = {
        f"{digit}_{speaker}_{number}": (digit, speaker, number)
        for speaker in speakers
        for digit in range(len(WORDS))
        for number in range(recordings)
    }
    for fault, names in (
        ("missing", expected.keys() - found),
        ("unknown", found - expected.keys()),
    ):
        if names:
            raise ManifestError(
                f"{folder}: {len(names)} recordings are {fault} (first {min(names)}.wav); expected "
                f"{recordings} of each digit by each of {', '.join(speakers)}"
            )
    return [_read(folder / f"{name}.wav", *key) for name, key in expected.items()]


def _read(path: Path, digit: int, speaker: str, number: int) -> Recording:
    info = probe(path)
    form = (info.sample_rate, info.channels, info.subtype)
    if form != (SAMPLE_RATE, 1, "PCM_16") or info.frames == 0:
        raise AudioError(
            f"{path}: expected {SAMPLE_RATE} Hz mono PCM_16, found {info.frames} samples at "
            f"{info.sample_rate} Hz, {info.channels} channels, {info.subtype}"
        )
    return Recording(
        number, Utterance(path.stem, path, info.duration_seconds, WORDS[digit], speaker)
    )


def make_strings(
    utterances: Sequence[Utterance],
    folder: Path,
    name: str,
    rounds: int,
    seed: int,
    sample_rate: int = SAMPLE_RATE,
) -> list[Utterance]:
    """Join the digits of one speaker into strings of 2 to 7, written as `folder/NAME_0000.flac`.

    In each of the `rounds` the digits are shuffled and cut into strings, so that each occurs
    exactly once per round. The same `name` and `seed` give the same strings. At least two
    utterances are needed.
    """
    assert len(utterances) >= SHORTEST
    generator = random.Random(f"{name} {seed}")
    speech = {u.id: read(u.audio_filepath, sample_rate)[0] for u in utterances}
    folder.mkdir(parents=True, exist_ok=True)
    strings: list[Utterance] = []
    for _ in range(rounds):
        order = generator.sample(utterances, len(utterances))
        while order:
            length = draw_length(len(order), generator)
            digits, order = order[:length], order[length:]
            string_id = f"{name}_{len(strings):04}"
            path = folder / f"{string_id}.flac"
            waveform = join([speech[digit.id] for digit in digits], generator, sample_rate)
            write(path, waveform, sample_rate)
            text = " ".join(digit.text for digit in digits)
            seconds = len(waveform) / sample_rate
            strings.append(Utterance(string_id, path, seconds, text, digits[0].speaker))
    return strings


def draw_length(left: int, generator: random.Random) -> int:
    """Draw the length of the next string; never leave a single digit of the `left` ones."""
    length = min(generator.randint(SHORTEST, LONGEST), left)
    if left - length == 1:
        length += 1 if length < LONGEST else -1
    return length


def join(
    speech: Sequence[Tensor], generator: random.Random, sample_rate: int = SAMPLE_RATE
) -> Tensor:
    """Join waveforms `(S,)` with a gap before, between and after.

    The gaps hold noise at the level of the quietest 10 ms of the speech: digital silence would
    give the boundaries away to a model.
    """
    noise = torch.Generator().manual_seed(generator.getrandbits(63))
    level = min(_quietest(waveform, sample_rate // 100) for waveform in speech)

    def gap() -> Tensor:
        samples = round(generator.uniform(*GAP_SECONDS) * sample_rate)
        return level * torch.randn(samples, generator=noise)

    pieces = [gap()]
    for waveform in speech:
        pieces += [waveform, gap()]
    return torch.cat(pieces)


def _quietest(waveform: Tensor, samples: int) -> float:
    """Lowest RMS of any `samples` consecutive samples of a waveform `(S,)`."""
    return float(frame_power(waveform, min(len(waveform), samples)).sqrt().min())


def prepare(source: Path, output_dir: Path, seed: int = 0) -> dict[str, list[Utterance]]:
    """Check the corpus and write every manifest and string; return the official splits.

    The keys are train, dev, test and strings_train, strings_dev, strings_test. Raises
    ManifestError or AudioError; nothing is written before the corpus has been checked.
    """
    return write_corpus(read_corpus(source), output_dir, seed)


def write_corpus(
    corpus: Sequence[Recording], output_dir: Path, seed: int
) -> dict[str, list[Utterance]]:
    """Write the manifests and strings of a checked corpus; see `prepare`."""
    splits: dict[str, list[Utterance]] = {}
    for split, numbers in SPLITS.items():
        members = [r.utterance for r in corpus if r.number in numbers]
        strings: list[Utterance] = []
        for speaker, own in by_speaker(members).items():
            strings += make_strings(
                own,
                output_dir / "strings" / split,
                f"{split}_{speaker}",
                STRING_ROUNDS[split],
                seed,
            )
        splits |= {split: members, f"strings_{split}": strings}
    for name, utterances in splits.items():
        write_manifest(output_dir / f"{name}.jsonl", utterances)
    everything = by_speaker([r.utterance for r in corpus])
    for speaker, own in everything.items():
        folder = output_dir / "loso" / speaker
        held_out = make_strings(own, folder / "strings", f"loso_{speaker}", 1, seed)
        for prefix, test in (("", own), ("strings_", held_out)):
            train = splits[f"{prefix}train"] + splits[f"{prefix}dev"]
            write_manifest(folder / f"{prefix}train.jsonl", _without(speaker, train))
            write_manifest(
                folder / f"{prefix}dev.jsonl", _without(speaker, splits[f"{prefix}test"])
            )
            write_manifest(folder / f"{prefix}test.jsonl", test)
    return splits


def by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    """The utterances of each speaker, in the given order."""
    groups: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.speaker or ""].append(utterance)
    return groups


def _without(speaker: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    return [utterance for utterance in utterances if utterance.speaker != speaker]


def summary(splits: dict[str, list[Utterance]]) -> str:
    """Return a table with a row for each split."""
    lines = [f"{'split':14}{'utterances':>11}{'hours':>7}{'words':>7}{'speakers':>9}"]
    for split, utterances in splits.items():
        hours = total_hours(utterances)
        words = sum(len(utterance.text.split()) for utterance in utterances)
        speakers = len({utterance.speaker for utterance in utterances})
        lines.append(f"{split:14}{len(utterances):11}{hours:7.3f}{words:7}{speakers:9}")
    return "\n".join(lines)


def main(
    source: Source = None,
    fetch: Download = False,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/fsdd"),
    seed: Annotated[int, typer.Option("--seed", help="Of the digit strings.")] = 0,
) -> None:
    """Check the Free Spoken Digit Dataset, and write its manifests and strings of its digits."""
    check_origin(source, fetch)
    if source is None:
        folder = output_dir / "download"
        archive = download(ARCHIVE_URL, folder / "fsdd.zip", ARCHIVE_SIZE, ARCHIVE_SHA256)
        source = unpack(archive, folder / "fsdd")
    typer.echo(summary(prepare(source, output_dir, seed)))


if __name__ == "__main__":
    run_command(main)
