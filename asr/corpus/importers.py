"""Importers: corpora in the layouts of Kaldi, LibriSpeech and CSV tables as utterances.

Lhotse's cuts are read by `asr.corpus.lhotse`.
"""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asr.corpus.manifest import Utterance
from asr.errors import ManifestError
from asr.signal.audio import SUFFIXES, probe

_log = logging.getLogger("asr.import")

_MAX_OVERSHOOT_SECONDS = 0.5
"""How far a segment may end after its recording, as in Kaldi's extract-segments."""


def read_kaldi(folder: Path, root: Path) -> list[Utterance]:
    """The utterances of a Kaldi data folder, in the order of its `segments` or `wav.scp`.

    Paths in `wav.scp` are relative to `root`. `text` has the transcripts, and `utt2spk`, if there
    is one, the speakers. `segments`, if there is one, defines which parts of the recordings are
    utterances; one that ends up to half a second after its recording is shortened, as in Kaldi, and
    a warning states how many were. Raises ManifestError if a file is missing or malformed, if the
    files do not name the same utterances, and on what a manifest cannot express: recordings
    produced by a command, and channels. Raises AudioError if a recording cannot be read.
    """
    paths, texts = _read_table(folder / "wav.scp"), _read_table(folder / "text")
    for key, name in paths.items():
        if name.endswith("|"):
            raise ManifestError(
                f"{folder / 'wav.scp'}: {key}: expected the path of a file, found a command, "
                f"{name[:80]!r}; run it, and name its output instead"
            )
    list_name = "segments" if (folder / "segments").exists() else "wav.scp"
    listed = _read_table(folder / list_name)
    _check_names(listed, texts, folder, (list_name, "text"))
    speakers: dict[str, str] = {}
    if (folder / "utt2spk").exists():
        speakers = _read_table(folder / "utt2spk")
        _check_names(listed, speakers, folder, (list_name, "utt2spk"))
    if list_name == "segments":
        segments = _Segments(folder / list_name, paths, root)
        utterances = [
            segments.utterance(k, v, texts[k], speakers.get(k)) for k, v in listed.items()
        ]
        segments.log_shortened()
        return utterances
    return [
        Utterance(key, root / name, _seconds(root / name), texts[key], speakers.get(key))
        for key, name in paths.items()
    ]


def read_librispeech(folder: Path) -> list[Utterance]:
    """The utterances below a folder in LibriSpeech's layout, in the order of their ids.

    Each line of a `*.trans.txt` is an id and a transcript; the recordings are beside it, as FLAC or
    any other audio format. The first part of an id is the speaker. Raises ManifestError if there
    are none or if they do not match, AudioError if a recording cannot be read.
    """
    lists = sorted(folder.rglob("*.trans.txt"))
    if not lists:
        raise ManifestError(
            f"{folder}: expected *.trans.txt files in this folder or below, found none; name the "
            "folder that LibriSpeech was unpacked to, or a subfolder"
        )
    utterances = []
    for path in lists:
        texts = _read_table(path)
        recordings = {p.stem: p for p in path.parent.iterdir() if p.suffix.lower() in SUFFIXES}
        _check_names(texts, recordings, path.parent, (path.name, "the recordings"))
        for key in sorted(texts):
            recording = recordings[key]
            speaker = key.partition("-")[0]
            utterances.append(Utterance(key, recording, _seconds(recording), texts[key], speaker))
    return utterances


@dataclass(frozen=True)
class Columns:
    """Column names of a table; Common Voice's are `path`, `sentence` and `client_id`."""

    audio: str
    text: str
    id: str | None = None
    """None: the audio path without its suffix is the id."""
    speaker: str | None = None


def read_csv(path: Path, columns: Columns, root: Path) -> list[Utterance]:
    """The utterances of a table with a header line, in order.

    A `.tsv` file has tabs between its cells and no quotes, any other file commas. Audio paths are
    relative to `root`. Raises ManifestError, with the line, on a table that cannot be read, lacks a
    column or has a line with more or fewer cells; AudioError if a recording cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            tabs = path.suffix.lower() == ".tsv"
            rows = csv.DictReader(
                file,
                delimiter="\t" if tabs else ",",
                quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
                strict=True,
            )
            wanted = [c for c in (columns.audio, columns.text, columns.id, columns.speaker) if c]
            _check_columns(path, wanted, rows.fieldnames or [])
            return [_row(path, rows.line_num, row, columns, root) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"{path}: cannot read it ({error}); expected a UTF-8 table with the column names "
            "in the first line"
        ) from error


def check_ids(utterances: Iterable[Utterance], where: Path) -> None:
    """Raises ManifestError if there are no utterances, or if two have the same id."""
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise ManifestError(
                f"{where}: expected unique ids, found {utterance.id!r} twice; correct the list, or "
                "choose another column"
            )
        seen.add(utterance.id)
    if not seen:
        raise ManifestError(f"{where}: expected at least one utterance, found none")


class _Segments:
    """Segments of recordings, from the lines of a Kaldi `segments` file."""

    def __init__(self, path: Path, recordings: Mapping[str, str], root: Path) -> None:
        self.path, self.recordings, self.root = path, recordings, root
        self.num_shortened, self.max_cut_seconds = 0, 0.0

    def utterance(self, key: str, line: str, text: str, speaker: str | None) -> Utterance:
        """The segment of a line `recording start end`; an end of -1 is that of the recording."""
        fields = line.split()
        try:
            recording, start, end = fields[0], *map(float, fields[1:])
        except ValueError:
            expected = "a recording, a start and an end in seconds, and no channel"
            raise self._error(key, expected, line[:80]) from None
        if recording not in self.recordings:
            raise self._error(key, "a recording of wav.scp", recording)
        path = self.root / self.recordings[recording]
        whole = _seconds(path)
        end = whole if end == -1 else end
        if not 0 <= start < end <= whole + _MAX_OVERSHOOT_SECONDS or start >= whole:
            raise self._error(key, f"a segment within {whole:.3f} s", f"{start} s to {end} s")
        if end > whole:
            self.num_shortened += 1
            self.max_cut_seconds = max(self.max_cut_seconds, end - whole)
            end = whole
        return Utterance(key, path, end - start, text, speaker, offset=start)

    def log_shortened(self) -> None:
        """Warn if segments were shortened."""
        if self.num_shortened:
            _log.warning(
                "%s: %d segments end after their recordings, by %.3f s at most; shortened them",
                self.path,
                self.num_shortened,
                self.max_cut_seconds,
            )

    def _error(self, key: str, expected: str, found: str) -> ManifestError:
        return ManifestError(
            f"{self.path}: {key}: expected {expected}, found {found}; correct the line, or leave "
            "the utterance out"
        )


@lru_cache(maxsize=1 << 12)
def _seconds(path: Path) -> float:
    return probe(path).duration_seconds


def _check_columns(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ManifestError(
            f"{path}: expected the column {missing[0]!r}, found {', '.join(found)[:200] or 'none'};"
            " specify the column names"
        )


def _row(
    path: Path, line: int, row: Mapping[str | None, object], columns: Columns, root: Path
) -> Utterance:
    if None in row or None in row.values():
        raise ManifestError(
            f"{path}, line {line}: expected as many cells as in the first line, found "
            f"{'more' if None in row else 'fewer'}; correct the line"
        )
    name = str(row[columns.audio])
    recording = root / name
    return Utterance(
        id=str(row[columns.id]) if columns.id else str(Path(name).with_suffix("")),
        audio_filepath=recording,
        duration=_seconds(recording),
        text=str(row[columns.text]),
        speaker=str(row[columns.speaker]) if columns.speaker else None,
    )


def _read_table(path: Path) -> dict[str, str]:
    """A file whose lines are a key, white space, and a value."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path}: cannot read it ({error}); expected UTF-8 text with a key and a value per line"
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
            raise ManifestError(
                f"{path}, line {number}: expected each key once, found {key!r} again"
            )
        table[key] = value[0].strip()
    return table


def _check_names(
    names: Iterable[str], others: Iterable[str], folder: Path, lists: tuple[str, str]
) -> None:
    odd = sorted(set(names) ^ set(others))
    if odd:
        raise ManifestError(
            f"{folder}: expected the same utterances in {lists[0]} and {lists[1]}; found "
            f"{len(odd)} in only one of them (first {odd[0]})"
        )
