"""What the parts share: results that are kept, a loop of updates, the look of the figures."""

import json
import math
import os
import re
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from asr.files import atomic_write, make_folder, write_json_atomic
from asr.model.acoustic import EncoderConfig
from asr.model.layers import Bidirectional, Unidirectional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]
"""What an experiment found, as JSON."""


@dataclass(frozen=True)
class Results:
    """The results of finished experiments: one JSON file each below `folder`.

    So a call that was interrupted goes on where it was, and a report can be written again.
    """

    folder: Path

    def get(self, name: str, compute: Callable[[], Result]) -> Result:
        """The result of the experiment of this name, such as `lags/lstm-200-s0`; runs it if new."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            print(f"{name} …", flush=True)
            make_folder(path.parent)
            write_json_atomic(path, compute())
        return self.read(path)

    def finished(self, part: str) -> dict[str, Result]:
        """The results of the experiments `part/…`, by their names after the slash."""
        paths = sorted((self.folder / part).glob("*.json"))
        return {path.stem: self.read(path) for path in paths}

    @staticmethod
    def read(path: Path) -> Result:
        """A result of an earlier call."""
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        return result


@dataclass(frozen=True)
class Plan:
    """What to run: of each experiment the cells and seeds that are asked for."""

    results: Results
    cells: Sequence[str]
    seeds: int

    def runs(self, cells: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Cell and seed of each run of an experiment with these cells."""
        for cell in cells:
            for seed in range(self.seeds):
                if cell in self.cells:
                    yield cell, seed


def by_kind(results: dict[str, Result]) -> dict[str, list[Result]]:
    """Results of all seeds together: those of `lstm-200-s0`, `lstm-200-s1`, … as `lstm-200`."""
    groups: dict[str, list[Result]] = {}
    for name, result in results.items():
        groups.setdefault(re.sub(r"-s\d+$", "", name), []).append(result)
    return groups


def core_minutes() -> float:
    """Minutes of one core that this process and the children it waited for have used so far.

    Unlike time by the clock, the difference of two is the same beside other programs.
    """
    used = os.times()
    return (used.user + used.system + used.children_user + used.children_system) / 60


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean of several seeds and their range, e.g. `3.9 (3.7–4.1)`."""
    low, high = min(values), max(values)
    text = f"{statistics.fmean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({low:.{digits}f}–{high:.{digits}f})"


def layer_of(
    cell: str, input_size: int, hidden: int, bidirectional: bool = False
) -> Unidirectional | Bidirectional:
    """A layer of the product, as `--set encoder.cell=…` makes it."""
    values: dict[str, Any] = {"cell": cell, "hidden": hidden, "bidirectional": bidirectional}
    values["scrn_context"] = max(1, hidden // 4)
    return EncoderConfig(**values).layer(input_size)


def hidden_for(cell: str, input_size: int, parameters: int, bidirectional: bool = False) -> int:
    """The hidden size, a multiple of 4, with which a layer comes closest to so many parameters."""
    return closest_size(
        lambda hidden: layer_of(cell, input_size, hidden, bidirectional), parameters
    )


def closest_size(build: Callable[[int], nn.Module], parameters: int) -> int:
    """The hidden size, a multiple of 4, whose model comes closest to so many parameters."""

    def size(hidden: int) -> int:
        with torch.device("meta"):
            model = build(hidden)
        return sum(parameter.numel() for parameter in model.parameters())

    above = 1
    while size(4 * above) <= parameters:
        above *= 2
    first = bisect_right(range(1, above), parameters, key=lambda quarter: size(4 * quarter)) + 1
    choices = (4 * max(1, first - 1), 4 * first)
    return min(choices, key=lambda hidden: abs(size(hidden) - parameters))


def fit(
    model: nn.Module,
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    rate: float,
    clip_norm: float = 1.0,
    enough: float = 0.0,
) -> list[float]:
    """Adam with a constant rate; the loss of every step.

    Stops where the loss is not a finite number, or below `enough` on average over 100 steps.
    """
    optimizer = torch.optim.Adam(model.parameters(), rate)
    losses = []
    for step in range(steps):
        loss = loss_of_step(step)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]) or statistics.fmean(losses[-100:]) < enough:
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
    return losses


PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"),
)
"""Colours that can be told apart by the colour-blind (Okabe & Ito 2008), without its yellow."""
STYLES = ("-", "--", ":", "-.")
MARKERS = "osv^DPX*hd<"
CELL_ORDER = (
    *("elman", "jordan", "irnn", "clockwork", "scrn", "lstm_without_forgetting", "lstm"),
    *("lstm_peephole", "gru", "ligru", "mingru"),
)


def look(cell: str) -> dict[str, Any]:
    """Colour, line and marker of a cell: no two cells share all three."""
    place = CELL_ORDER.index(cell)
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": STYLES[place // len(PALETTE)],
        "marker": MARKERS[place],
    }


def new_figure(width: float = 7.0, height: float = 4.0) -> "Figure":
    """An empty figure, in inches."""
    from matplotlib.figure import Figure  # slow to import, and reports alone draw

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG."""
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
