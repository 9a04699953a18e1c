"""Imports labelled recordings: Audacity's labels, Praat's TextGrids, ELAN's files.

A file of labels lies beside the recording of the same name. Each label that has a text is an
utterance, a segment of the recording.
"""

import dataclasses
import importlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.corpus.import_audio import Channel, Recordings, listed_below, segment_times
from asr.corpus.manifest import Utterance
from asr.errors import ManifestError
from asr.files import is_folder
from asr.signal.audio import SUFFIXES

_log = logging.getLogger("asr.import")

AUDACITY, TEXTGRID, ELAN = ".txt", ".textgrid", ".eaf"
_INSTALL = "pip install 'ctc-asr[labels]'"


@dataclass(frozen=True)
class _Label:
    """A stretch of a recording, in seconds, and what is said in it."""

    tier: str
    start: float
    end: float
    text: str
    where: str


def read_labels(
    source: Path,
    tiers: Collection[str] = (),
    channel: Channel | None = None,
    damaged: bool = False,
    margin_seconds: float = 0.0,
) -> list[Utterance]:
    """The labelled segments of a file of labels, or of all below a folder, in order.

    Segments are longer than their labels by `margin_seconds` at either end, but at most to the
    middle between two labels, and to the ends of the recording.

    Ids are the paths below the folder without suffixes, with the times of the segments. Of several
    tiers (TextGrid, ELAN) those that are meant have to be named; each is a speaker. Raises
    ManifestError on files that cannot be read, on labels without a recording, on tiers that are
    missing or not chosen, and on segments that are not in the recording; AudioError on recordings
    that cannot be read.
    """
    files = _label_files(source)
    root = source if is_folder(source) else source.parent
    recordings, utterances = Recordings(channel, damaged), []
    for path, beside in files.items():
        labels = _chosen(path, list(_labels(path)), tiers)
        recording = _only(beside, path)
        names = {label.tier for label in labels}
        for label in _widened(labels, margin_seconds, recordings.seconds(recording)):
            offset, seconds = recordings.segment(recording, label.start, label.end, label.where)
            times = segment_times(offset, seconds)
            tier = f"-{label.tier}" if len(names) > 1 else ""
            utterances.append(
                Utterance(
                    f"{path.relative_to(root).with_suffix('')}{tier}-{times}",
                    recording,
                    seconds,
                    label.text,
                    label.tier if len(tiers) > 1 else None,
                    offset,
                    channel=recordings.channel(recording),
                    damaged=recordings.is_damaged(recording),
                )
            )
    recordings.log_shortened(source)
    return utterances


def _label_files(source: Path) -> dict[Path, list[Path]]:
    """The file itself, or those in a folder that lie beside a recording of their name.

    With each are the recordings of its name.
    """
    kinds = (AUDACITY, TEXTGRID, ELAN)
    if not is_folder(source):
        if source.suffix.lower() not in kinds:
            raise ManifestError(
                f"{source}: expected labels of Audacity (.txt), Praat (.TextGrid) or ELAN (.eaf)"
            )
        beside = sorted(source.parent.iterdir()) if source.parent.is_dir() else []
        return _with_recordings([source], beside)
    files = listed_below(source)
    found = _with_recordings([path for path in files if path.suffix.lower() in kinds], files)
    labelled = {path: recordings for path, recordings in found.items() if recordings}
    if skipped := len(found) - len(labelled):
        _log.warning("%s: %d files without a recording of their name are left out", source, skipped)
    if not labelled:
        raise ManifestError(
            f"{source}: expected files of labels (.txt, .TextGrid, .eaf) beside recordings of the "
            "same names, found none"
        )
    return labelled


def _with_recordings(labels: Sequence[Path], files: Sequence[Path]) -> dict[Path, list[Path]]:
    recordings = defaultdict(list)
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            recordings[path.with_suffix("")].append(path)
    return {path: recordings[path.with_suffix("")] for path in labels}


def _only(recordings: Sequence[Path], labels: Path) -> Path:
    if len(recordings) != 1:
        names = ", ".join(one.name for one in recordings) or "none"
        raise ManifestError(
            f"{labels}: expected one recording of this name beside it, found {names}"
        )
    return recordings[0]


def _labels(path: Path) -> Iterator[_Label]:
    """The labels of a file that have a text."""
    read = {AUDACITY: _audacity, TEXTGRID: _textgrid, ELAN: _elan}[path.suffix.lower()]
    try:
        for number, (tier, start, end, text) in enumerate(read(path), 1):
            if text := " ".join(text.split()):
                yield _Label(tier, start, end, text, f"{path}, label {number}")
    except ManifestError:
        raise
    except Exception as error:  # pympi raises anything
        raise ManifestError(
            f"{path}: cannot read these labels ({type(error).__name__}: {error}); write them again "
            "with the program that they are from"
        ) from error


_Found = Iterator[tuple[str, float, float, str]]
"""Tier, start and end in seconds, and text of each label."""


def _audacity(path: Path) -> _Found:
    """Lines of start, end and text with tabs between; those that begin with a backslash are of
    frequencies."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        try:
            start, end, *text = line.split("\t", 2)
            times = float(start.replace(",", ".")), float(end.replace(",", "."))
        except ValueError:
            raise ManifestError(
                f"{path}, line {number}: expected start and end in seconds and a text, with tabs "
                f"between, found {line[:80]!r}"
            ) from None
        yield "", *times, "".join(text)


def _textgrid(path: Path) -> _Found:
    codec = "utf-16" if path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    for tier in _pympi().TextGrid(str(path), codec=codec).tiers:
        if tier.tier_type == "IntervalTier":
            for start, end, text in tier.get_intervals(sort=True):
                yield tier.name, float(start), float(end), text


def _elan(path: Path) -> _Found:
    file = _pympi().Eaf(str(path))
    for tier in file.get_tier_names():
        for start, end, text, *_ in sorted(file.get_annotation_data_for_tier(tier)):
            yield tier, start / 1000, end / 1000, text


def _pympi() -> Any:
    try:
        return importlib.import_module("pympi")
    except ImportError as error:
        raise ManifestError(f"TextGrids and ELAN's files need an extra: {_INSTALL}") from error


def _chosen(path: Path, labels: Sequence[_Label], tiers: Collection[str]) -> list[_Label]:
    """The labels of the tiers that are meant."""
    found = list(dict.fromkeys(label.tier for label in labels))
    if path.suffix.lower() == AUDACITY:
        return list(labels)
    shown = ", ".join(map(repr, found)) or "none with a text"
    if not tiers and len(found) > 1:
        raise ManifestError(f"{path}: expected --tier, which says what is meant of {shown}")
    if missing := [tier for tier in tiers if tier not in found]:
        raise ManifestError(f"{path}: expected the tier {missing[0]!r}, found {shown}")
    return [label for label in labels if not tiers or label.tier in tiers]


def _widened(labels: Sequence[_Label], margin: float, whole: float) -> list[_Label]:
    """The labels, of a recording of `whole` seconds, each longer by a margin where there is room.

    A label that overlaps another one keeps that end.
    """
    order = sorted(range(len(labels)), key=lambda place: labels[place].start)
    widened = list(labels)
    reached = 0.0
    for place, following in zip(order, [*order[1:], None], strict=True):
        label = labels[place]
        room_before = label.start - reached if place == order[0] else (label.start - reached) / 2
        if following is None:
            room_after = whole - label.end
        else:
            room_after = (labels[following].start - max(reached, label.end)) / 2
        widened[place] = dataclasses.replace(
            label,
            start=label.start - max(0.0, min(margin, room_before)),
            end=label.end + max(0.0, min(margin, room_after)),
        )
        reached = max(reached, label.end)
    return widened
