"""Prepare CMU AN4: find or download the corpus, check it, write train, dev and test manifests.

`python -m recipes.an4.prepare --source DIR` takes an unpacked copy in any of its published layouts:

    etc/an4_{train,test}.{fileids,transcription}
    wav/an4_clstk/<speaker>/<id>.{wav,sph,raw}      training speakers, close-talking microphone
    wav/an4test_clstk/<speaker>/<id>.{wav,sph,raw}  test speakers

WAV and SPHERE recordings are referenced in place. Headerless `.raw` ones (16 kHz PCM16) are
rewritten sample for sample as WAV under the output folder, because a manifest has no raw format.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import AudioError, ManifestError
from asr.signal.audio import RawFormat, probe, read, write
from recipes.command import Download, Source, check_origin, run_command
from recipes.download import download_first, unpack

SAMPLE_RATE = 16_000
OFFICIAL_COUNTS = {"train": 948, "test": 130}
DEV_UTTERANCES = 100

ARCHIVE_URLS = (
    "http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
    "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",  # NVIDIA NeMo's copy
)
# CMU publishes no checksum; this one is published in NVIDIA NeMo's AN4 example, for its copy.
ARCHIVE_SHA256 = "a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12"

_FILE_ID = re.compile(r"[\w-]+/(?P<speaker>[\w-]+)/(?P<stem>[\w-]+)")
_TRANSCRIPT = re.compile(r"(?:<s>\s)?(?P<text>.*?)(?:\s</s>)?\s*\((?P<stem>[\w-]+)\)")
_TEXT = re.compile(r"[A-Z]+(?: [A-Z]+)*")


@dataclass(frozen=True)
class Entry:
    """One line of a `.fileids` file, with its transcript."""

    file_id: str
    speaker: str
    stem: str
    text: str
    where: str


def find_corpus(source: Path) -> Path:
    """Return the corpus folder: `source` itself or `source/an4`. Raises ManifestError."""
    for folder in (source, source / "an4"):
        if (folder / "etc" / "an4_train.fileids").is_file():
            return folder
    raise ManifestError(
        f"{source}: no AN4 corpus here; expected etc/an4_train.fileids in this folder or in its "
        "subfolder an4/. Unpack the archive, or use --download"
    )


def read_split(corpus: Path, split: str, count: int) -> list[Entry]:
    """Read and check the ids and transcripts of `train` or `test`, in the order of the ids.

    Raises ManifestError, naming file and line, if an id is malformed or repeated or does not have
    exactly one transcript, if a text holds more than A–Z and single spaces, or if the split does
    not hold `count` utterances.
    """
    ids_path = corpus / "etc" / f"an4_{split}.fileids"
    texts_path = corpus / "etc" / f"an4_{split}.transcription"
    texts = _read_transcripts(texts_path)
    entries: dict[str, Entry] = {}
    for number, line in _lines(ids_path):
        where = f"{ids_path}, line {number}"
        match = _FILE_ID.fullmatch(line)
        if match is None:
            raise ManifestError(f"{where}: expected FOLDER/SPEAKER/ID, found {line[:80]!r}")
        stem = match["stem"]
        if stem in entries:
            raise ManifestError(f"{where}: the id {stem!r} is already in {entries[stem].where}")
        if stem not in texts:
            raise ManifestError(f"{where}: the id {stem!r} has no transcript in {texts_path}")
        entries[stem] = Entry(line, match["speaker"], stem, texts[stem], where)
    for stem in texts:
        if stem not in entries:
            raise ManifestError(f"{texts_path}: the id {stem!r} is not in {ids_path}")
    if len(entries) != count:
        raise ManifestError(
            f"{ids_path}: expected the official {count} utterances of {split}, found "
            f"{len(entries)}; the copy is incomplete or another version"
        )
    return list(entries.values())


def _read_transcripts(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        match = _TRANSCRIPT.fullmatch(line)
        if match is None:
            raise ManifestError(
                f"{where}: expected '<s> TEXT </s> (ID)' or 'TEXT (ID)', found {line[:80]!r}"
            )
        if _TEXT.fullmatch(match["text"]) is None:
            raise ManifestError(
                f"{where}: expected words of A–Z with single spaces, found {match['text'][:80]!r}"
            )
        if match["stem"] in texts:
            raise ManifestError(f"{where}: a second transcript of the id {match['stem']!r}")
        texts[match["stem"]] = match["text"]
    return texts


def _lines(path: Path) -> list[tuple[int, str]]:
    """The non-empty lines of a text file, numbered from 1."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot read it as text ({error})") from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def person(speaker: str) -> str:
    """Return the code without a final digit: mdcs and mdcs2 may be one person."""
    return speaker.rstrip("0123456789")


def choose_dev(speakers: Sequence[str], total: int) -> set[str]:
    """Choose whole persons with exactly `total` utterances, half by women and half by men.

    `speakers` names the speaker of each utterance; the codes start with f or m. Within each half
    persons are tried in the order of the SHA-256 of their code, and the first subset with the
    right sum is taken: the same on every machine. Raises ManifestError if no subset fits.
    """
    chosen: set[str] = set()
    for letter, share in (("f", total // 2), ("m", total - total // 2)):
        counts: dict[str, int] = {}
        for code in map(person, speakers):
            if code.startswith(letter):
                counts[code] = counts.get(code, 0) + 1
        subset = _first_subset(counts, share)
        if subset is None:
            raise ManifestError(
                f"cannot cut a dev set from train: no set of whole speakers whose code starts "
                f"with {letter!r} has exactly {share} utterances (found {counts})"
            )
        chosen.update(subset)
    return chosen


def _first_subset(counts: Mapping[str, int], total: int) -> tuple[str, ...] | None:
    order = sorted(counts, key=lambda code: hashlib.sha256(code.encode()).hexdigest())

    @cache
    def search(index: int, missing: int) -> tuple[str, ...] | None:
        if missing == 0:
            return ()
        if missing < 0 or index == len(order):
            return None
        code = order[index]
        rest = search(index + 1, missing - counts[code])
        return (code, *rest) if rest is not None else search(index + 1, missing)

    return search(0, total)


def locate(corpus: Path, entry: Entry, output_dir: Path, raw_endian: str) -> Utterance:
    """Find the recording of an entry and return it as an utterance.

    Raises ManifestError if there is none, AudioError if it is not readable 16 kHz mono speech.
    """
    stem = corpus / "wav" / entry.file_id
    path = next(
        (p for suffix in (".wav", ".sph", ".raw") if (p := Path(f"{stem}{suffix}")).is_file()), None
    )
    if path is None:
        raise ManifestError(f"{entry.where}: no recording at {stem}.wav, .sph or .raw")
    if path.suffix == ".sph" and b"shorten" in path.read_bytes()[:1024]:
        raise AudioError(
            f"{path}: SPHERE audio compressed by 'shorten', which is not supported; decompress it "
            "(`sph2pipe -f wav IN OUT`) or use the uncompressed archive"
        )
    if path.suffix == ".raw":
        path = convert_raw(path, output_dir / "wav" / f"{entry.file_id}.wav", raw_endian)
    info = probe(path)
    if (info.sample_rate, info.channels) != (SAMPLE_RATE, 1) or info.frames == 0:
        raise AudioError(
            f"{path}: expected {SAMPLE_RATE} Hz mono speech, found {info.frames} samples at "
            f"{info.sample_rate} Hz in {info.channels} channels"
        )
    return Utterance(entry.stem, path, info.duration_seconds, entry.text, entry.speaker)


def convert_raw(source: Path, target: Path, endian: str) -> Path:
    """Rewrite headerless 16 kHz PCM16 of the given byte order as WAV, sample for sample.

    Raises AudioError if the file is not a whole number of samples, or if the other byte order
    gives a waveform so much smoother that the given one must be wrong.
    """
    other = "little" if endian == "big" else "big"
    waveform, swapped = (
        read(source, raw=RawFormat(SAMPLE_RATE, endian=order.upper()))[0]
        for order in (endian, other)
    )
    if waveform.diff().abs().sum() > 2 * swapped.diff().abs().sum():
        raise AudioError(
            f"{source}: this is noise if read as {endian}-endian, speech as {other}-endian; "
            f"pass --raw_endian {other}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, waveform, SAMPLE_RATE)
    return target


def prepare(
    source: Path,
    output_dir: Path,
    counts: Mapping[str, int] = OFFICIAL_COUNTS,
    dev_utterances: int = DEV_UTTERANCES,
    raw_endian: str = "big",
) -> dict[str, list[Utterance]]:
    """Check the corpus and write `{train,dev,test}.jsonl`; return the utterances of each.

    Nothing but converted raw recordings is written before the whole corpus has been checked.
    Raises ManifestError or AudioError.
    """
    corpus = find_corpus(source)
    entries = {split: read_split(corpus, split, count) for split, count in counts.items()}
    persons = {split: {person(e.speaker) for e in members} for split, members in entries.items()}
    if shared := persons["train"] & persons["test"]:
        raise ManifestError(f"{corpus}: speakers in both train and test: {sorted(shared)}")
    dev = choose_dev([entry.speaker for entry in entries["train"]], dev_utterances)
    located = {
        split: [locate(corpus, entry, output_dir, raw_endian) for entry in members]
        for split, members in entries.items()
    }
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": located["test"]}
    for entry, utterance in zip(entries["train"], located["train"], strict=True):
        splits["dev" if person(entry.speaker) in dev else "train"].append(utterance)
    for split, utterances in splits.items():
        write_manifest(output_dir / f"{split}.jsonl", utterances)
    return splits


def summary(splits: Mapping[str, Sequence[Utterance]]) -> str:
    """Return a table with a row for each split; characters include spaces."""
    lines = ["split  utterances  hours  words characters vocabulary speakers"]
    for split, utterances in splits.items():
        words = [word for utterance in utterances for word in utterance.text.split()]
        hours = total_hours(utterances)
        characters = sum(len(utterance.text) for utterance in utterances)
        speakers = {utterance.speaker for utterance in utterances}
        lines.append(
            f"{split:6}{len(utterances):11}{hours:7.3f}{len(words):7}{characters:11}"
            f"{len(set(words)):11}{len(speakers):9}"
        )
    return "\n".join(lines)


def main(
    source: Source = None,
    fetch: Download = False,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/an4"),
    raw_endian: Annotated[
        Literal["big", "little"], typer.Option("--raw_endian", help="Byte order of .raw files.")
    ] = "big",
) -> None:
    """Check AN4, and write its manifests."""
    check_origin(source, fetch)
    if source is None:
        folder = output_dir / "download"
        archive = folder / "an4_sphere.tar.gz"
        download_first(ARCHIVE_URLS, archive, sha256=ARCHIVE_SHA256)
        source = unpack(archive, folder / "an4_sphere")
    typer.echo(summary(prepare(source, output_dir, raw_endian=raw_endian)))


if __name__ == "__main__":
    run_command(main)
