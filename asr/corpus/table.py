"""Imports tables: CSV, and TSV with or without quotes.

A cell that begins with a quote is quoted in a `.csv` file. In a `.tsv` file quotes may be those of
a writer that quotes cells (pandas, spreadsheets, Common Voice up to 5) or part of the text (Common
Voice from 6 on): the file is read in the way that explains all of its lines.
"""

import csv
import dataclasses
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asr.corpus.import_audio import Channel, Recordings, segment_times
from asr.corpus.manifest import Utterance
from asr.errors import ManifestError

_log = logging.getLogger("asr.import")

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LARGEST_CELL = 1 << 20
_Row = tuple[int, list[str]]
"""The line that a row begins on, and its cells."""


@dataclass(frozen=True)
class Columns:
    """Column names of a table; Common Voice's are `path`, `sentence` and `client_id`."""

    audio: str
    text: str
    id: str | None = None
    """None: the audio path without its suffix is the id, with the times of a segment."""
    speaker: str | None = None
    start: str | None = None
    """None: the column `start`, if there is one; without it, or if empty, recordings are whole."""
    end: str | None = None
    """None: the column `end`, if there is one."""


def read_csv(
    path: Path,
    columns: Columns,
    root: Path,
    channel: Channel | None = None,
    damaged: bool = False,
) -> list[Utterance]:
    """The utterances of a table with a header line, in order.

    A `.tsv` file has tabs between its cells, any other file commas. Audio paths are relative to
    `root`. `start` and `end` are seconds; an empty start is the recording's, and so is an empty
    end or one of -1. Raises ManifestError, with the line, on a table that cannot be read, lacks a
    column or has a line with more or fewer cells, on a segment that is not in its recording, and on
    recordings of several channels without a choice; AudioError if a recording cannot be read, also
    if it is damaged, unless `damaged`.
    """
    rows = _rows(path)
    header = rows[0][1] if rows else []
    columns = _with_segments(path, columns, header)
    wanted = (columns.audio, columns.text, columns.id, columns.speaker, columns.start, columns.end)
    _check_columns(path, [name for name in wanted if name is not None], header)
    recordings = Recordings(channel, damaged)
    utterances = []
    for line, cells in rows[1:]:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise ManifestError(
                f"{where}: expected as many cells as in the first line, {len(header)}, found "
                f"{'more' if len(cells) > len(header) else 'fewer'}, {len(cells)}; correct the line"
            )
        row = dict(zip(header, cells, strict=True))
        utterances.append(_utterance(row, columns, root, recordings, where))
    recordings.log_shortened(path)
    return utterances


def _utterance(
    row: Mapping[str, str], columns: Columns, root: Path, recordings: Recordings, where: str
) -> Utterance:
    name = row[columns.audio]
    if not name.strip() or "\0" in name:
        raise ManifestError(f"{where}: expected the path of a recording, found {name[:80]!r}")
    recording, key = root / name, str(Path(name).with_suffix(""))
    offset = None
    if columns.start is None or columns.end is None:
        seconds = recordings.seconds(recording)
    else:
        start = _seconds(row[columns.start], "start", where) or 0.0
        end = _seconds(row[columns.end], "end", where)
        offset, seconds = recordings.segment(recording, start, None if end == -1 else end, where)
        key += f"-{segment_times(offset, seconds)}"
    return Utterance(
        id=row[columns.id] if columns.id else key,
        audio_filepath=recording,
        duration=seconds,
        text=row[columns.text],
        speaker=row[columns.speaker] if columns.speaker else None,
        offset=offset,
        channel=recordings.channel(recording),
        damaged=recordings.is_damaged(recording),
    )


def _seconds(cell: str, name: str, where: str) -> float | None:
    """The number in a cell; None if it is empty."""
    try:
        return float(cell) if cell.strip() else None
    except ValueError:
        raise ManifestError(
            f"{where}: expected seconds as {name}, such as 12.5, found {cell[:80]!r}; correct the "
            "line, or give an empty --start_column if the lines are whole recordings"
        ) from None


def _with_segments(path: Path, columns: Columns, header: Sequence[str]) -> Columns:
    """The columns, with those named `start` and `end` if the table has them and none is named."""
    if columns.start == "":
        return dataclasses.replace(columns, start=None, end=None)
    if columns.start is None and columns.end is None and not {"start", "end"} & set(header):
        return columns
    start, end = columns.start or "start", columns.end or "end"
    if columns.start is None and columns.end is None and {start, end} <= set(header):
        _log.info("%s: the columns start and end are taken for the seconds of segments", path)
    return dataclasses.replace(columns, start=start, end=end)


def _check_columns(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    for name in wanted:
        if (count := found.count(name)) != 1:
            raise ManifestError(
                f"{path}: expected the column {name!r}{' once' if count else ''}, found "
                f"{', '.join(found)[:200] or 'none'}; specify the column names"
                + (", or an empty --start_column" if name in ("start", "end") else "")
            )


def _rows(path: Path) -> list[_Row]:
    """The rows of a table, the header first. Raises ManifestError, with the line."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot read it ({error.strerror or error}); expected a UTF-8 table"
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(
            f"{path}, line {line}: cannot read it ({error}); expected a UTF-8 table with the "
            "column names in the first line"
        ) from error
    rows = _tab_separated(path, text) if path.suffix.lower() == ".tsv" else _parse(path, text, ",")
    _warn_of_line_breaks(path, rows)
    return rows


def _parse(path: Path, text: str, delimiter: str, quoted: bool = True) -> list[_Row]:
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(
            f"{path}, line {line}: cannot read it ({error}); expected cells with commas, quotes "
            'or line breaks in quotes, and each quote in them doubled: "He said ""no"""'
        ) from error
    return rows


def _tab_separated(path: Path, text: str) -> list[_Row]:
    """The rows of a TSV file, by the reading of its quotes that fits all of its lines."""
    as_written = _parse(path, text, "\t", quoted=False)
    if '"' not in text:
        return as_written
    bare = next(_bare_quotes(as_written), None)
    if bare is None:
        _log.info("%s: cells in quotes are read without them, and doubled quotes as one", path)
        return _parse(path, text, "\t")
    if not _is_even(as_written):  # tabs or line breaks in quotes?
        try:
            rows = _parse(path, text, "\t")
        except ManifestError:
            rows = as_written
        if _is_even(rows):
            _log.info("%s: cells in quotes are read without them, and doubled quotes as one", path)
            return rows
    _log.warning(
        "%s: quotes are read as part of the texts, as on line %d one stands in a cell that is not "
        "quoted as a whole",
        *(path, bare),
    )
    return as_written


def _bare_quotes(rows: Sequence[_Row]) -> Iterator[int]:
    """The lines with a quote that no writer that quotes cells would leave there."""
    for line, cells in rows:
        if any('"' in cell and not _QUOTED.fullmatch(cell) for cell in cells):
            yield line


def _is_even(rows: Sequence[_Row]) -> bool:
    return len({len(cells) for _, cells in rows}) == 1


def _warn_of_line_breaks(path: Path, rows: Sequence[_Row]) -> None:
    """A stray quote swallows lines; a row that goes over several may be one."""
    broken = [line for line, cells in rows if any("\n" in cell or "\r" in cell for cell in cells)]
    if broken:
        _log.warning(
            "%s: %d rows have cells with line breaks (first on line %d); if none should, a quote "
            "there is not closed, and hides the rows that follow",
            *(path, len(broken), broken[0]),
        )
