"""The adding problem (Hochreiter & Schmidhuber 1997): how far back can a cell be taught to look?

A sequence of T pairs: a random number, and a mark that is 1 at two places and 0 elsewhere. Wanted
after the last pair is the sum of the two marked numbers. Always answering 1 has a mean squared
error of 1/6; the further back the numbers are, the harder it is to do better.
"""

import math
import statistics
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from recipes.recurrent.experiments import (
    CELL_ORDER,
    Plan,
    Result,
    Results,
    by_kind,
    fit,
    hidden_for,
    layer_of,
    look,
    new_figure,
    save,
    spread,
    table,
)

PART = "lags"
ALL_CELLS, LENGTHS = 200, (50, 100, 200, 400)
"""T at which every cell is tried, and those at which the cells of `PUBLISHED` are."""
PUBLISHED = ("elman", "irnn", "lstm", "gru")
"""Le, Jaitly & Hinton (2015): IRNN and LSTM solve T = 150 to 300, a tanh network does not."""
PARAMETERS, WIDEST = 10_000, 256
"""H is at most so much: minGRU, without recurrent weights, would have 1668."""
BATCH, STEPS, RATE = 32, 3000, 5e-3
SHORTEST = 10
SOLVED = 0.01
"""Mean squared error below which a length counts as solved."""
GUESSING = 1 / 6


def sequences(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random pairs `(N, T, 2)`, one mark in each half, and the sums `(N,)`."""
    numbers = torch.rand(count, length, generator=generator)
    first = torch.randint(0, length // 2, (count,), generator=generator)
    second = torch.randint(length // 2, length, (count,), generator=generator)
    marks = torch.zeros(count, length)
    rows = torch.arange(count)
    marks[rows, first] = marks[rows, second] = 1.0
    return torch.stack([numbers, marks], dim=2), (numbers * marks).sum(dim=1)


class Adder(nn.Module):
    """One layer of a cell, and a line that reads the sum from its last output."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.layer = layer_of(cell, 2, min(WIDEST, hidden_for(cell, 2, PARAMETERS)))
        self.sum = nn.Linear(self.layer.output_size, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        """`(N, T, 2)` to `(N,)`."""
        lengths = torch.full((len(pairs),), pairs.shape[1])
        answer: Tensor = self.sum(self.layer(pairs, lengths)[:, -1]).squeeze(1)
        return answer


def add(cell: str, length: int, seed: int) -> Result:
    """Train on new sequences at each step, of any length up to T; the squared error on 1000 of T.

    Short sequences show at once what is wanted. With those of T alone IRNN's output is beyond all
    bounds after a few steps, since a recurrent weight that is a little above 1 is taken to the
    power T.
    """
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model = Adder(cell)

    def loss(step: int) -> Tensor:
        some = int(torch.randint(SHORTEST, length + 1, (), generator=random))
        pairs, sums = sequences(BATCH, some, random)
        return nn.functional.mse_loss(model(pairs), sums)

    losses = fit(model, loss, STEPS, RATE, enough=SOLVED / 2)
    with torch.inference_mode():
        pairs, sums = sequences(1000, length, torch.Generator().manual_seed(10**6))
        error = float(nn.functional.mse_loss(model.eval()(pairs), sums))
    every = STEPS // 40
    curve = [statistics.fmean(losses[i : i + every]) for i in range(0, len(losses), every)]
    return {
        "error": _finite(error),
        "steps": len(losses),
        "curve": [_finite(value) for value in curve],
        "curve_every": every,
        "hidden": model.layer.output_size,
    }


def _finite(value: float) -> float | None:
    """None in place of what JSON cannot hold: training has left all bounds."""
    return value if math.isfinite(value) else None


def _is_solved(one: Result) -> bool:
    return one["error"] is not None and one["error"] < SOLVED


def run(plan: Plan) -> None:
    """All cells at one length, some at all lengths."""
    for length in LENGTHS:
        for cell, seed in plan.runs(CELL_ORDER if length == ALL_CELLS else PUBLISHED):
            plan.results.get(f"{PART}/{cell}-{length}-s{seed}", partial(add, cell, length, seed))


def report(results: Results, figures: Path) -> str:
    """Which cell solves which length, in how many steps; the error over the steps."""
    kinds = by_kind(results.finished(PART))
    rows = []
    for cell in CELL_ORDER:
        groups = [kinds.get(f"{cell}-{length}", []) for length in LENGTHS]
        if any(groups):
            hidden = next(group[0]["hidden"] for group in groups if group)
            rows.append([cell, hidden, *map(_outcome, groups)])
    if not rows:
        return ""
    head = ["cell", "H", *(f"T = {length}" for length in LENGTHS)]
    draw(kinds, figures / "lags.png")
    return (
        "## Long lags: the adding problem\n\n"
        f"Mean squared error after at most {STEPS} steps of {BATCH} sequences, mean "
        f"and range of the seeds (guessing: {GUESSING:.3f}); how many seeds solve it, with an "
        f"error below {SOLVED}; and the steps that these take.\n\n"
        f"{table(head, rows)}\n![Error over steps](figures/lags.png)\n\n{_conclusion(kinds)}"
    )


def _conclusion(kinds: dict[str, list[Result]]) -> str:
    """Which cells solve `ALL_CELLS`, and which only seemed to while they were trained."""
    groups = {cell: kinds.get(f"{cell}-{ALL_CELLS}", []) for cell in CELL_ORDER}
    solved = {
        cell: sum(map(_is_solved, group)) / len(group) for cell, group in groups.items() if group
    }
    named = {
        "with every seed": [cell for cell, share in solved.items() if share == 1],
        "with some": [cell for cell, share in solved.items() if 0 < share < 1],
        "with none": [cell for cell, share in solved.items() if share == 0],
    }
    parts = [f"{how}: {', '.join(cells)}" for how, cells in named.items() if cells]
    text = f"T = {ALL_CELLS} is solved {'; '.join(parts)}.\n" if parts else ""
    if "ligru" in named["with none"]:
        of_training = statistics.fmean(one["curve"][-1] for one in groups["ligru"])
        in_use = statistics.fmean(one["error"] for one in groups["ligru"])
        text += (
            f"The error of Li-GRU was {of_training:.3f} at the end of training, and is "
            f"{in_use:.3f} in use, where its batch normalisation takes the averages of earlier "
            "batches.\n"
        )
    return text


def _outcome(group: list[Result]) -> str:
    if not group:
        return ""
    finite = [one["error"] for one in group if one["error"] is not None]
    errors = spread(finite, 3) if finite else ""
    if len(finite) < len(group):
        errors = f"{errors}, {len(group) - len(finite)} not finite".removeprefix(", ")
    steps = [one["steps"] for one in group if _is_solved(one)]
    took = f", {statistics.fmean(steps):.0f} steps" if steps else ""
    return f"{errors}; {len(steps)} of {len(group)}{took}"


def draw(kinds: dict[str, list[Result]], path: Path) -> None:
    """The error over the steps at T = `ALL_CELLS`, the first seed of each cell."""
    figure = new_figure(8.0, 4.5)
    axes = figure.subplots()
    for cell in CELL_ORDER:
        for one in kinds.get(f"{cell}-{ALL_CELLS}", [])[:1]:
            steps = [one["curve_every"] * (place + 0.5) for place in range(len(one["curve"]))]
            axes.plot(steps, one["curve"], **look(cell), markevery=5, label=cell)
    axes.axhline(GUESSING, color="grey", linewidth=0.8)
    axes.axhline(SOLVED, color="grey", linewidth=0.8)
    axes.set(
        xlabel=f"steps of {BATCH} sequences",
        ylabel="mean squared error",
        yscale="log",
        ylim=(1e-3, 2),  # IRNN's first errors lie far above
        title=f"adding problem, T = {ALL_CELLS} (lines: guessing, solved)",
    )
    figure.legend(loc="outside right upper", fontsize="small")
    save(figure, path)
