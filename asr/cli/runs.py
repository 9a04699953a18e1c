"""`asr runs`: training runs side by side."""

import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.cli.console import echo
from asr.cli.options import check_folder, check_picture
from asr.errors import AsrError
from asr.files import write_json_atomic
from asr.printing import visible

if TYPE_CHECKING:
    from asr.training.run_folder import RunSummary

Column = tuple[str, list[str]]
"""A heading and a cell for each run."""

_PIPE_WIDTH = 1_000_000
"""Columns to print where there is no terminal: every run stays on one line."""
_LONGEST_SETTING, _LONGEST_LEGEND = 24, 60
_ABSENT, _EMPTY = "-", '""'


class Order(StrEnum):
    """What runs can be sorted by."""

    CER = "cer"
    WER = "wer"
    NAME = "name"
    TIME = "time"


def runs(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Folders of runs, or folders that contain them."),
    ],
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Plot their learning curves to this .pdf, .png or .svg."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the table as JSON to this file.")
    ] = None,
    order: Annotated[
        Order,
        typer.Option(
            "--sort", help="Sort by this, lowest first; time is the training time so far."
        ),
    ] = Order.CER,
) -> None:
    """Compare training runs: their progress, error rates, and the settings in which they differ.

    Runs are searched for in DIR and down to two levels below it. WER and CER are those of greedy
    decoding on the validation manifest at the best epoch, `last loss` is that of the newest epoch,
    `final` that of the checkpoint.
    """
    from asr.training.curves import draw_comparison

    if plot:
        check_picture(plot)
    for output in (plot, json_file):
        if output:
            check_folder(output)
    summaries, broken = _gather(folders)
    found = dict(zip(_labels([summary.folder for summary in summaries]), summaries, strict=True))
    found = dict(sorted(found.items(), key=lambda item: _rank(order, *item)))
    if json_file:
        write_json_atomic(json_file, runs_json(found, broken))
    if found:
        width = shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns
        echo(render_runs(found, width))
    for message in broken:
        echo(f"error: {message}", err=True)
    drawn = {label: summary.history for label, summary in found.items() if summary.history}
    if plot and drawn:
        names = _shorten(list(drawn), _LONGEST_LEGEND) or list(drawn)
        draw_comparison(dict(zip(names, drawn.values(), strict=True)), plot)
    elif plot:
        raise AsrError(f"{plot}: not written, because no run has finished an epoch yet")
    if broken:
        raise typer.Exit(1)


def _gather(folders: Sequence[Path]) -> tuple[list["RunSummary"], list[str]]:
    """Every run once, however many arguments and links lead to it, and the errors of others."""
    from asr.training.run_folder import find_runs, read_run

    summaries: dict[Path, RunSummary] = {}
    broken = []
    for folder in folders:
        try:
            inside = list(find_runs(folder))
        except AsrError as error:
            broken.append(str(error))
            continue
        if not inside:
            broken.append(
                f"{folder}: no run here, nor within two levels below; expected a run's folder"
            )
        for path in inside:
            try:
                summaries.setdefault(path.resolve(), read_run(path))
            except AsrError as error:
                broken.append(str(error))
    return list(summaries.values()), list(dict.fromkeys(broken))


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders without the part that their paths have in common, so that names stay distinct."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100  # links are kept
    if not paths:
        return []
    start = os.path.commonpath([path.parent for path in paths])
    return [visible(path.relative_to(start).as_posix()) for path in paths]


def _rank(order: Order, label: str, summary: "RunSummary") -> tuple[float, str]:
    if order is Order.NAME:
        return 0, label
    if order is Order.TIME:
        return summary.minutes, label
    return (summary.best or {}).get(f"dev_{order}", math.inf), label


def render_runs(found: dict[str, "RunSummary"], width: int) -> str:
    """The table, split into parts that fit `width` columns, and its footnotes."""
    from asr.training.run_folder import differing_settings

    summaries, notes = list(found.values()), []
    columns = [
        (heading, [cell(summary) or _ABSENT for summary in summaries])
        for heading, cell in _FIGURES.items()
    ]
    columns = [(heading, cells) for heading, cells in columns if set(cells) != {_ABSENT}]
    for key, values in differing_settings([summary.config for summary in summaries]).items():
        cells, long = _settings(values)
        columns.append((visible(key), cells))
        notes += [f"{visible(key)} {mark}: {text}" for mark, text in long.items()]
    names = _shorten(list(found), max(width // 3, 16)) or list(found)
    table = _table(("run", names), columns, width)
    return table + "\n" * bool(notes) + "".join(f"\n{note}" for note in notes)


def _text(value: Any, form: str) -> str | None:
    """A number as text, if it was recorded."""
    return format(value, form) if isinstance(value, int | float) else None


def _best(summary: "RunSummary", name: str, form: str) -> str | None:
    return _text((summary.best or {}).get(name), form)


def _final(summary: "RunSummary", name: str) -> str | None:
    dev = (summary.checkpoint or {}).get("dev")
    return _text(dev.get(name), ".2%") if isinstance(dev, dict) else None


_FIGURES: dict[str, Callable[["RunSummary"], str | None]] = {
    "state": lambda summary: "finished" if summary.finished else "unfinished",
    "epochs": lambda summary: f"{summary.epochs}/{summary.planned_epochs or '?'}",
    "WER": lambda summary: _best(summary, "dev_wer", ".2%"),
    "CER": lambda summary: _best(summary, "dev_cer", ".2%"),
    "at epoch": lambda summary: _best(summary, "epoch", "g"),
    "last loss": lambda summary: _text((summary.last or {}).get("dev_loss"), ".3f"),
    "final WER": lambda summary: _final(summary, "wer"),
    "final CER": lambda summary: _final(summary, "cer"),
    "minutes": lambda summary: f"{summary.minutes:.1f}",
    "hours of audio": lambda summary: _text(summary.hours_of_audio, ".1f"),
    "starts": lambda summary: _text(len(summary.starts) or None, "d"),
    "skipped": lambda summary: _text(summary.skipped or None, "g"),
    "parameters": lambda summary: _text(summary.parameters, ",d"),
}


def _settings(values: Sequence[Any]) -> tuple[list[str], dict[str, str]]:
    """A cell for each value of a setting, and footnotes for those that cannot be shortened.

    Items that are in the list of every run are left out of the cells.
    """
    lists = [value for value in values if isinstance(value, list)]
    names = [{item for item in value if isinstance(item, str)} for value in lists]
    shared = set.intersection(*names) if len(lists) == len(values) else set()
    texts = [_setting(value) for value in values]
    cells = _shorten([_setting(value, shared) for value in values], _LONGEST_SETTING)
    if cells and len(set(cells)) == len(set(texts)):
        return cells, {}
    long = dict.fromkeys(text for text in texts if len(text) > _LONGEST_SETTING)
    marks = {text: f"[{number}]" for number, text in enumerate(long, start=1)}
    return [marks.get(text, text) for text in texts], {marks[text]: text for text in long}


def _setting(value: Any, left_out: Collection[str] = ()) -> str:
    """The value of a setting as text."""
    if isinstance(value, list):
        items = [_setting(item) for item in value if item not in left_out]
        return ",".join(items + ["…"] * (len(items) < len(value))) or "[]"
    if isinstance(value, str):
        return visible(value) or _EMPTY
    return _ABSENT if value is None else json.dumps(value)


def _shorten(texts: list[str], most: int) -> list[str] | None:
    """Texts shortened to `most` characters; None if different ones would become the same.

    First the names that all of them start and end with are cut, then the middle of each.
    """
    if max(map(len, texts)) <= most:
        return texts
    given = {text for text in texts if text not in (_ABSENT, _EMPTY)}
    start = _shared(given) if len(given) > 1 else 0
    end = _shared([text[start:][::-1] for text in given]) if len(given) > 1 else 0
    before, after = "…" * (start > 0), "…" * (end > 0)
    half = (most - 1) // 2
    cut = []
    for text in texts:
        short = f"{before}{text[start : len(text) - end]}{after}" if text in given else text
        cut.append(short if len(short) <= most else f"{short[:half]}…{short[-half:]}")
    return cut if len(set(cut)) == len(set(texts)) else None


def _shared(texts: Collection[str]) -> int:
    """Length of the common prefix of texts, in whole names of a path or a list."""
    length = 0
    for place, characters in enumerate(zip(*texts, strict=False), start=1):
        if len(set(characters)) > 1:
            break
        if characters[0] in "/,":
            length = place
    return length


def _table(names: Column, columns: Sequence[Column], width: int) -> str:
    first = _padded(names, str.ljust)
    parts = [[first]]
    for column in columns:
        cells = _padded(column, str.rjust)
        if len(parts[-1]) > 1 and len("  ".join(c[0] for c in [*parts[-1], cells])) > width:
            parts.append([first])
        parts[-1].append(cells)
    return "\n\n".join(
        "\n".join("  ".join(row).rstrip() for row in zip(*part, strict=True)) for part in parts
    )


def _padded(column: Column, pad: Callable[[str, int], str]) -> list[str]:
    heading, cells = column
    widest = max(map(len, (heading, *cells)))
    return [pad(cell, widest) for cell in (heading, *cells)]


def runs_json(found: dict[str, "RunSummary"], broken: Sequence[str]) -> dict[str, Any]:
    """The runs as plain JSON values: rates are fractions; what was not recorded is null."""
    return {
        "runs": [
            {
                "name": label,
                "folder": str(summary.folder),
                "state": "finished" if summary.finished else "unfinished",
                "epochs": summary.epochs,
                "planned_epochs": summary.planned_epochs,
                "minutes": _finite(summary.minutes),
                "hours_of_audio": _finite(summary.hours_of_audio),
                "starts": len(summary.starts),
                "parameters": summary.parameters,
                "skipped": summary.skipped,
                "best": summary.best and {k: _finite(v) for k, v in summary.best.items()},
                "last": summary.last and {k: _finite(v) for k, v in summary.last.items()},
                "checkpoint": summary.checkpoint,
                "config": summary.config,
            }
            for label, summary in found.items()
        ],
        "broken": list(broken),
    }


def _finite(value: float | None) -> float | None:
    """The value, or None if it is infinite or not a number, which JSON cannot express."""
    return value if value is not None and math.isfinite(value) else None
