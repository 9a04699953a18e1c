"""The folder of a training run, as far as those need to know it who look for a checkpoint in it."""

import json
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.files import committed_path, parse_json, read_committed

HISTORY, STARTS = "metrics.jsonl", "starts.jsonl"
PLANNED = "planned_epochs"
"""The epochs of the whole run: a metric of a checkpoint that was made before its run had ended."""
MAX_BYTES = 2**30
"""A longer file was not written by a run."""
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
"""Of a checkpoint; the settings of a run are in a file by the former name, too."""


def is_run(folder: Path) -> bool:
    """Whether a run was started in this folder."""
    written = (folder / name for name in (HISTORY, STARTS))
    return any(map(Path.is_file, written)) or all(
        (folder / name).is_file() for name in (_CONFIG, "train.log")
    )


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The JSON objects of a file, one per line, and the numbers of the lines that are not objects.

    A missing file has none. An incomplete last line, as a crash leaves it, is ignored.
    """
    lines = (read_committed(path.parent, path.name, MAX_BYTES) or b"").split(b"\n")
    objects, invalid = [], []
    for number, line in enumerate(lines, start=1):
        try:
            value = parse_json(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            objects.append(value)
        elif number < len(lines):
            invalid.append(number)
    return objects, invalid


def run_in_place_of_checkpoint(path: Path) -> str | None:
    """What to do where a run's folder, or a path in it, is given for its checkpoint; else None."""
    if committed_path(path, _WEIGHTS).is_file() or not str(path).isprintable():
        return None
    if is_run(path):
        run = path
    elif is_run(path.parent) and not committed_path(path, _CONFIG).is_file():
        run = path.parent
    else:
        return None
    checkpoint = run / "checkpoint"
    if committed_path(checkpoint, _CONFIG).is_file():
        return f"{run} is the folder of a training run; give its checkpoint, {checkpoint}"
    command = f"asr train -o {shlex.quote(str(run))}"
    epochs, planned = _epochs(run)
    if not epochs:
        return (
            f"{run} is a training run that has not finished an epoch yet; continue it with "
            f"`{command} --resume`"
        )
    of_all = f" of {planned}" if planned else ""
    return (
        f"{run} is an unfinished training run, at epoch {epochs}{of_all}; continue it with "
        f"`{command} --resume`, or make a checkpoint of its best epochs so far with "
        f"`{command} --finish`"
    )


def _epochs(run: Path) -> tuple[int, int | None]:
    """How many epochs are finished, and how many are planned if that can be read."""
    try:
        history, _ = read_lines(run / HISTORY)
    except AsrError:
        return 0, None
    with suppress(AsrError, ValueError, RecursionError, KeyError, TypeError):
        planned = json.loads(read_committed(run, _CONFIG, MAX_BYTES) or b"")["optim"]["epochs"]
        return len(history), int(planned)
    return len(history), None
