"""Corpora in the layouts of other tools, read as utterances that a manifest can hold."""

from collections.abc import Iterable
from pathlib import Path

from asr.corpus.manifest import Utterance
from asr.errors import ManifestError
from asr.signal.audio import probe


def read_kaldi(folder: Path, root: Path) -> list[Utterance]:
    """The utterances of a Kaldi data folder, in the order of its `wav.scp`.

    Paths in `wav.scp` are relative to `root`. `text` states the transcripts, `utt2spk`, if there,
    the speakers. Raises ManifestError if a file is missing or malformed, if they do not name the
    same utterances, and on what a manifest cannot say: recordings made by a command, and segments
    of recordings. Raises AudioError if a recording cannot be read.
    """
    if (folder / "segments").exists():
        raise ManifestError(
            f"{folder / 'segments'}: expected whole recordings; cut them into one file an utterance"
        )
    paths, texts = _read_table(folder / "wav.scp"), _read_table(folder / "text")
    _check_names(paths, texts, folder, "text")
    speakers: dict[str, str] = {}
    if (folder / "utt2spk").exists():
        speakers = _read_table(folder / "utt2spk")
        _check_names(paths, speakers, folder, "utt2spk")
    utterances = []
    for key, name in paths.items():
        if name.endswith("|"):
            raise ManifestError(
                f"{folder / 'wav.scp'}: {key}: expected the path of a file, found a command, "
                f"{name[:80]!r}; run it and name its output"
            )
        path = root / name
        seconds = probe(path).duration_seconds
        utterances.append(Utterance(key, path, seconds, texts[key], speakers.get(key)))
    return utterances


def _read_table(path: Path) -> dict[str, str]:
    """Each line a key, white space, and the rest."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path}: cannot read it ({error}); expected UTF-8 text with a key and a value a line"
        ) from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, *value = line.split(maxsplit=1)
        if not value:
            raise ManifestError(
                f"{path}, line {number}: expected a key and a value, found {line[:80]!r}"
            )
        if key in table:
            raise ManifestError(f"{path}, line {number}: a second line of the key {key!r}")
        table[key] = value[0].strip()
    return table


def _check_names(paths: Iterable[str], others: Iterable[str], folder: Path, name: str) -> None:
    odd = sorted(set(paths) ^ set(others))
    if odd:
        raise ManifestError(
            f"{folder}: expected the same utterances in wav.scp and {name}; {len(odd)} stand in "
            f"one of them alone (first {odd[0]})"
        )
