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

from asr.cli.options import check_folder, check_picture
from asr.errors import AsrError
from asr.files import write_json_atomic
from asr.scoring.report import printable

if TYPE_CHECKING:
    from asr.training.story import RunStory

Column = tuple[str, list[str]]
"""A heading and a cell for each run."""

_PIPE_WIDTH = 1_000_000
"""Columns to print where there is no terminal: every run stays on one line."""
_LONGEST_SETTING, _LONGEST_LEGEND = 24, 60
_ABSENT, _EMPTY = "-", '""'


class Order(StrEnum):
    """By what runs are sorted."""

    CER = "cer"
    WER = "wer"
    NAME = "name"
    TIME = "time"


def runs(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Folders of runs, or folders that hold such."),
    ],
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw their curves here: .pdf, .png or .svg.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
    order: Annotated[
        Order, typer.Option("--sort", help="Lowest first; time is what training took so far.")
    ] = Order.CER,
) -> None:
    """Show training runs side by side: how far, how good, and the settings in which they differ.

    Runs are found in DIR and down to two levels below it. WER and CER are those of greedy decoding
    on the validation manifest at the best epoch, `last loss` is the newest epoch's, `final` the
    checkpoint's.
    """
    from asr.training.curves import draw_comparison

    if plot:
        check_picture(plot)
    for output in (plot, json_file):
        if output:
            check_folder(output)
    stories, broken = _gather(folders)
    found = dict(zip(_labels([story.folder for story in stories]), stories, strict=True))
    found = dict(sorted(found.items(), key=lambda item: _rank(order, *item)))
    if found:
        width = shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns
        typer.echo(render_runs(found, width))
    if json_file:
        write_json_atomic(json_file, runs_json(found, broken))
    for message in broken:
        typer.echo(f"error: {message}", err=True)
    drawn = {label: story.history for label, story in found.items() if story.history}
    if plot and drawn:
        names = _shorten(list(drawn), _LONGEST_LEGEND) or list(drawn)
        draw_comparison(dict(zip(names, drawn.values(), strict=True)), plot)
    elif plot:
        raise AsrError(f"{plot}: not drawn, for no run has finished an epoch")
    if broken:
        raise typer.Exit(1)


def _gather(folders: Sequence[Path]) -> tuple[list["RunStory"], list[str]]:
    """Every run once, however many links and arguments lead to it, and what could not be read."""
    from asr.training.story import find_runs, read_run

    stories: dict[Path, RunStory] = {}
    broken = []
    for folder in folders:
        try:
            inside = list(find_runs(folder))
        except AsrError as error:
            broken.append(str(error))
            continue
        if not inside:
            broken.append(f"{folder}: no run in it, nor two levels below; expected a run's folder")
        for path in inside:
            try:
                stories.setdefault(path.resolve(), read_run(path))
            except AsrError as error:
                broken.append(str(error))
    return list(stories.values()), list(dict.fromkeys(broken))


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders without what all of their paths begin with, so that each name is its own."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100  # links are kept
    if not paths:
        return []
    start = os.path.commonpath([path.parent for path in paths])
    return [printable(path.relative_to(start).as_posix()) for path in paths]


def _rank(order: Order, label: str, story: "RunStory") -> tuple[float, str]:
    if order is Order.NAME:
        return 0, label
    if order is Order.TIME:
        return story.minutes, label
    return (story.best or {}).get(f"dev_{order}", math.inf), label


def render_runs(found: dict[str, "RunStory"], width: int) -> str:
    """The table, in as many parts below each other as `width` columns ask for, and its notes."""
    from asr.training.story import differing_settings

    stories, notes = list(found.values()), []
    columns = [
        (heading, [cell(story) or _ABSENT for story in stories])
        for heading, cell in _FIGURES.items()
    ]
    columns = [(heading, cells) for heading, cells in columns if set(cells) != {_ABSENT}]
    for key, values in differing_settings([story.config for story in stories]).items():
        cells, long = _settings(values)
        columns.append((printable(key), cells))
        notes += [f"{printable(key)} {mark}: {text}" for mark, text in long.items()]
    names = _shorten(list(found), max(width // 3, 16)) or list(found)
    table = _table(("run", names), columns, width)
    return table + "\n" * bool(notes) + "".join(f"\n{note}" for note in notes)


def _text(value: Any, form: str) -> str | None:
    """A figure as text, if it was noted."""
    return format(value, form) if isinstance(value, int | float) else None


def _best(story: "RunStory", name: str, form: str) -> str | None:
    return _text((story.best or {}).get(name), form)


def _final(story: "RunStory", name: str) -> str | None:
    dev = (story.checkpoint or {}).get("dev")
    return _text(dev.get(name), ".2%") if isinstance(dev, dict) else None


_FIGURES: dict[str, Callable[["RunStory"], str | None]] = {
    "state": lambda story: "finished" if story.finished else "unfinished",
    "epochs": lambda story: f"{story.epochs}/{story.planned_epochs or '?'}",
    "WER": lambda story: _best(story, "dev_wer", ".2%"),
    "CER": lambda story: _best(story, "dev_cer", ".2%"),
    "at epoch": lambda story: _best(story, "epoch", "g"),
    "last loss": lambda story: _text((story.last or {}).get("dev_loss"), ".3f"),
    "final WER": lambda story: _final(story, "wer"),
    "final CER": lambda story: _final(story, "cer"),
    "minutes": lambda story: f"{story.minutes:.1f}",
    "hours heard": lambda story: _text(story.hours_of_audio, ".1f"),
    "starts": lambda story: _text(len(story.starts) or None, "d"),
    "skipped": lambda story: _text(story.skipped or None, "g"),
    "parameters": lambda story: _text(story.parameters, ",d"),
}


def _settings(values: Sequence[Any]) -> tuple[list[str], dict[str, str]]:
    """A cell for each value of a setting; marks in place of long ones that look alike when cut.

    The names that stand in the list of every run tell none apart, and are left out of the cells.
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
    """A value of a configuration as text."""
    if isinstance(value, list):
        kept = [_setting(item) for item in value if item not in left_out]
        return ",".join(kept + ["…"] * (len(kept) < len(value))) or "[]"
    if isinstance(value, str):
        return printable(value) or _EMPTY
    return _ABSENT if value is None else json.dumps(value)


def _shorten(texts: list[str], most: int) -> list[str] | None:
    """Texts of at most `most` characters; None if different ones would then look alike.

    What all of them begin and end with goes first, by whole names; then the middle of each.
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
    """How many characters texts begin with alike, by whole names of a path or a list."""
    alike = 0
    for place, characters in enumerate(zip(*texts, strict=False), start=1):
        if len(set(characters)) > 1:
            break
        if characters[0] in "/,":
            alike = place
    return alike


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


def runs_json(found: dict[str, "RunStory"], broken: Sequence[str]) -> dict[str, Any]:
    """The runs as plain JSON values: rates are fractions; what was not noted is null."""
    return {
        "runs": [
            {
                "name": label,
                "folder": str(story.folder),
                "state": "finished" if story.finished else "unfinished",
                "epochs": story.epochs,
                "planned_epochs": story.planned_epochs,
                "minutes": _finite(story.minutes),
                "hours_of_audio": _finite(story.hours_of_audio),
                "starts": len(story.starts),
                "parameters": story.parameters,
                "skipped": story.skipped,
                "best": story.best and {k: _finite(v) for k, v in story.best.items()},
                "last": story.last and {k: _finite(v) for k, v in story.last.items()},
                "checkpoint": story.checkpoint,
                "config": story.config,
            }
            for label, story in found.items()
        ],
        "broken": list(broken),
    }


def _finite(value: float | None) -> float | None:
    """The value, or null for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None
