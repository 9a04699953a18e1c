"""Importers: corpora in the layouts of Kaldi and LibriSpeech as utterances.

Tables are read by `asr.corpus.table`, Lhotse's cuts by `asr.corpus.lhotse`.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asr.corpus.import_audio import Channel, Recordings, listed_below, segment_error
from asr.corpus.manifest import Utterance
from asr.errors import ManifestError
from asr.signal.audio import SUFFIXES
from asr.text.tags import check_replacements, count_tags, describe_tags, tags, without_tags

_log = logging.getLogger("asr.import")


def read_kaldi(
    folder: Path, root: Path, channel: Channel | None = None, damaged: bool = False
) -> list[Utterance]:
    """The utterances of a Kaldi data folder, in the order of its `segments` or `wav.scp`.

    Paths in `wav.scp` are relative to `root`. `text` has the transcripts, where an id alone means a
    recording without speech, and `utt2spk`, if there is one, the speakers. `segments`, if there is
    one, defines which parts of the recordings are utterances; one that ends up to half a second
    after its recording is shortened, as in Kaldi, and a warning states how many were. Raises
    ManifestError if a file is missing or malformed, if the files do not name the same utterances,
    on recordings produced by a command, and on recordings of several channels without a choice.
    Raises AudioError if a recording cannot be read, also if it is damaged, unless `damaged`.
    """
    paths, texts = _read_table(folder / "wav.scp"), _read_table(folder / "text", may_be_empty=True)
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
    recordings = Recordings(channel, damaged)
    utterances = []
    for key, line in listed.items():
        path, offset = root / line, None
        if list_name == "segments":
            where = f"{folder / list_name}: {key}"
            name, start, end = _segment(line, paths, where)
            path = root / name
            offset, seconds = recordings.segment(path, start, end, where)
        else:
            seconds = recordings.seconds(path)
        utterances.append(
            Utterance(
                *(key, path, seconds, texts[key], speakers.get(key), offset),
                channel=recordings.channel(path),
                damaged=recordings.is_damaged(path),
            )
        )
    recordings.log_shortened(folder / list_name)
    return utterances


def _segment(line: str, paths: Mapping[str, str], where: str) -> tuple[str, float, float | None]:
    """Path, start and end of `recording start end`; an end of -1 is None, the recording's."""
    fields = line.split()
    try:
        recording, start, end = fields[0], *map(float, fields[1:])
    except ValueError:
        expected = "a recording, a start and an end in seconds, and no channel"
        raise segment_error(where, expected, line[:80]) from None
    if recording not in paths:
        raise segment_error(where, "a recording of wav.scp", recording)
    return paths[recording], start, None if end == -1 else end


def read_librispeech(
    folder: Path, channel: Channel | None = None, damaged: bool = False
) -> list[Utterance]:
    """The utterances below a folder in LibriSpeech's layout, in the order of their ids.

    Each line of a `*.trans.txt` is an id and a transcript; the recordings are beside it, as FLAC or
    any other audio format. The first part of an id is the speaker. Raises ManifestError if there
    are none, if they do not match, and on several channels without a choice; AudioError
    if a recording cannot be read.
    """
    listed = listed_below(folder)
    lists = [path for path in listed if path.name.endswith(".trans.txt")]
    if not lists:
        raise ManifestError(
            f"{folder}: expected *.trans.txt files in this folder or below, found none; name the "
            "folder that LibriSpeech was unpacked to, or a subfolder"
        )
    files_in = defaultdict[Path, dict[str, Path]](dict)
    for path in listed:
        if path.suffix.lower() in SUFFIXES:
            files_in[path.parent][path.stem] = path
    recordings = Recordings(channel, damaged)
    utterances = []
    for path in lists:
        texts = _read_table(path, may_be_empty=True)
        files = files_in[path.parent]
        _check_names(texts, files, path.parent, (path.name, "the recordings"))
        for key in sorted(texts):
            path, speaker = files[key], key.partition("-")[0]
            seconds, which = recordings.seconds(path), recordings.channel(path)
            utterances.append(
                Utterance(
                    *(key, path, seconds, texts[key], speaker),
                    channel=which,
                    damaged=recordings.is_damaged(path),
                )
            )
    return utterances


def rewrite_tags(
    utterances: Sequence[Utterance],
    where: Path,
    replacements: Mapping[str, str],
    drop_others: bool = False,
) -> list[Utterance]:
    """The utterances with the tags of their texts replaced or dropped, as `without_tags` does.

    Warns of tags that stay. Raises TextError on a replacement of what no text has.
    """
    counts = count_tags(utterance.text for utterance in utterances)
    check_replacements(replacements, counts)
    others = {tag: count for tag, count in counts.items() if tag not in replacements}
    if others and not drop_others:
        _log.warning(
            "%s: the texts have the tags %s, kept as they are, which `asr train` refuses; drop "
            "them with --tags drop, or replace them with --replace TAG=TEXT",
            *(where, describe_tags(others)),
        )
    if not counts:
        return list(utterances)
    return [
        replace(utterance, text=without_tags(utterance.text, replacements, drop_others))
        if tags(utterance.text)
        else utterance
        for utterance in utterances
    ]


def check_utterances(utterances: Sequence[Utterance], where: Path) -> None:
    """Raises ManifestError if there are no utterances, or if two have the same id.

    Warns of empty texts, and of recordings that are several utterances each as a whole.
    """
    if not utterances:
        raise ManifestError(f"{where}: expected at least one utterance, found none")
    key, count = Counter(utterance.id for utterance in utterances).most_common(1)[0]
    if count > 1:
        raise ManifestError(
            f"{where}: expected unique ids, found {key!r} {_times(count)}; correct the list, "
            "choose another column, or say which parts of recordings are meant (segments in Kaldi, "
            "the columns start and end in tables)"
        )
    empty = [utterance.id for utterance in utterances if not utterance.text.strip()]
    if empty:
        _log.warning(
            "%s: %d of %d utterances have an empty text (first %s): each is taken for a recording "
            "in which nobody speaks; leave them out if they are speech",
            *(where, len(empty), len(utterances), empty[0]),
        )
    whole = Counter(u.audio_filepath for u in utterances if u.offset is None)
    repeated = {path: count for path, count in whole.items() if count > 1}
    if repeated:
        path, count = next(iter(repeated.items()))
        _log.warning(
            "%s: %d utterances are the whole of a recording that others are the whole of too "
            "(first %s, %s); if they are parts of it, say where each begins and ends (segments in "
            "Kaldi, the columns start and end in tables)",
            *(where, sum(repeated.values()), path, _times(count)),
        )


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


def _read_table(path: Path, may_be_empty: bool = False) -> dict[str, str]:
    """A file whose lines are a key, white space, and a value, which may be empty if so said."""
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
        if not (value or may_be_empty):
            raise ManifestError(
                f"{path}, line {number}: expected a key and a value, found {line[:80]!r}"
            )
        if key in table:
            raise ManifestError(
                f"{path}, line {number}: expected each key once, found {key!r} again"
            )
        table[key] = value[0].strip() if value else ""
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
