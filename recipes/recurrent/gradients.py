"""Why a plain recurrent network forgets, and what cures it: gradients that vanish or explode.

What a network does at one frame is multiplied by the same weight at each later one, so that its
effect on the last output, and with it the gradient by which it is learned, shrinks or grows like a
power of that weight (Hochreiter 1991; Bengio, Simard & Frasconi 1994). Three experiments:

- a weight of 0.99, 1.00 and 1.01, a thousand times over;
- the error of a network of one cell, which has a cliff where its gradient explodes, and the path
  of gradient descent with and without clipping (Pascanu, Mikolov & Bengio 2013);
- of every cell, the gradient of the last output with respect to the input some frames before, at
  the start and after training. The memory of an LSTM (Hochreiter & Schmidhuber 1997) and of its kin
  is added to rather than multiplied, so that its gradient can stay.
"""

import math
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from asr.model.cells import Irnn
from recipes.recurrent.cliff import cliff, report_cliff
from recipes.recurrent.experiments import (
    CELL_ORDER,
    PALETTE,
    STYLES,
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
from recipes.recurrent.lags import sequences

PART = "gradients"

WEIGHTS, FRAMES = (0.99, 1.0, 1.01), 1000
"""Of the power of a weight."""
LENGTH, SHORTEST = 100, 10
"""Pairs of a sequence of the adding problem, at most and at least."""
PARAMETERS, WIDEST = 10_000, 256
"""Of a layer: how many it should have, and the most cells that it may have."""
BATCH, STEPS, RATE = 32, 900, 6e-3
PROBES, SMOOTHING = 64, 8
"""Sequences over which norms are averaged, and lags in the figure."""
LEAST, REACHES = 1e-38, 1e-3
"""The least norm that single precision tells from 0, and one that counts as reaching the answer."""


def powers() -> Result:
    """Of a linear cell of each weight, the gradient of the last output by the input before it.

    Of one cell, the recurrent network with ReLU is linear as long as its output is above zero.
    """
    gradients = {}
    for weight in WEIGHTS:
        cell = Irnn(1, 1).double()
        nn.init.ones_(cell.weights["weight_ih"])
        nn.init.constant_(cell.weights["weight_hh"], weight)
        frames = torch.zeros(1, FRAMES + 1, 1, dtype=torch.double)
        frames[0, 0] = 1.0
        frames.requires_grad_()
        last = cell(frames, torch.tensor([FRAMES + 1]))[0, -1].sum()
        (gradient,) = torch.autograd.grad(last, frames)
        gradients[str(weight)] = gradient.flatten().flip(0).tolist()
    return {"by_lag": gradients}


def report_powers(result: Result, path: Path) -> list[str]:
    """The powers as a table and as lines."""
    lags = (1, 10, 100, FRAMES)
    figure = new_figure()
    axes = figure.subplots()
    for number, (weight, gradients) in enumerate(result["by_lag"].items()):
        axes.plot(gradients, STYLES[number], color=PALETTE[number], label=f"weight {weight}")
    axes.set_yscale("log")
    axes.set_xlabel("lag (frames)")
    axes.set_ylabel("gradient of the last output")
    axes.legend()
    save(figure, path)
    ends = [gradients[FRAMES] for gradients in result["by_lag"].values()]
    rows = [
        [weight, *(f"{gradients[lag]:.3g}" for lag in lags)]
        for weight, gradients in result["by_lag"].items()
    ]
    return [
        f"### One weight, {FRAMES} frames\n",
        "The gradient of the last output of a linear cell with respect to its input some frames "
        "before is a power of the recurrent weight.\n",
        table(["weight", *(f"lag {lag}" for lag in lags)], rows),
        f"![Gradient by lag for three weights](figures/{path.name})\n",
        f"One per cent more or less makes, over {FRAMES} frames, {ends[2]:,.0f} or {ends[0]:.1g} "
        "of 1: the one explodes, the other vanishes.\n",
    ]


class Adder(nn.Module):
    """One layer of a cell, and a line that reads a number from its last output."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        layer = layer_of(cell, 2, min(WIDEST, hidden_for(cell, 2, PARAMETERS)))
        self.layer = layer
        self.sum = nn.Linear(layer.output_size, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        """`(N, T, 2)` to `(N,)`."""
        lengths = torch.full((len(pairs),), pairs.shape[1])
        answer: Tensor = self.sum(self.layer(pairs, lengths)[:, -1]).squeeze(1)
        return answer


def gradient_norms(model: Adder, pairs: Tensor) -> list[float] | None:
    """Of the answer with respect to the input, by lag: the mean over sequences `(N, T, 2)`.

    None where it is no finite number.
    """
    model.eval()
    pairs = pairs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(pairs).sum(), pairs)
    model.train()
    norms = gradient.norm(dim=2).mean(dim=0).flip(0)
    return norms.tolist() if bool(norms.isfinite().all()) else None


def remember(cell: str, seed: int) -> Result:
    """Train a cell on the adding problem; the norms before and after.

    The length of a batch is drawn by chance, since the short sequences teach the long ones.
    """
    torch.manual_seed(seed)
    model, source = Adder(cell), torch.Generator().manual_seed(seed)
    probes, sums = sequences(PROBES, LENGTH + 1, torch.Generator().manual_seed(seed + 1000))
    before = gradient_norms(model, probes)

    def loss(step: int) -> Tensor:
        length = int(torch.randint(SHORTEST, LENGTH + 1, (), generator=source))
        pairs, wanted = sequences(BATCH, length, source)
        return nn.functional.mse_loss(model(pairs), wanted)

    fit(model, loss, STEPS, RATE)
    with torch.no_grad():
        mistake = float(nn.functional.mse_loss(model.eval()(probes), sums))
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "squared_error": mistake if math.isfinite(mistake) else None,
        "before": before,
        "after": gradient_norms(model, probes),
    }


TIMES = ("before", "after")


def typical(results: Sequence[Result], time: str) -> list[float]:
    """The geometric mean of all seeds, by lag; empty if none is finite."""
    norms = [result[time] for result in results if result[time] is not None]
    by_lag = zip(*norms, strict=True)
    return [math.exp(statistics.fmean(math.log(max(n, LEAST)) for n in lag)) for lag in by_lag]


def smooth(norms: Sequence[float]) -> list[float]:
    """Means of neighbouring lags: of Clockwork, only every eighth frame reaches all modules."""
    spans = (norms[lag : lag + SMOOTHING] for lag in range(len(norms) - SMOOTHING + 1))
    return [statistics.fmean(span) for span in spans]


def shown(norm: float) -> str:
    """A norm as text."""
    return f"{norm:.1g}" if norm > 2 * LEAST else f"< {LEAST:g}"


def report_cells(found: dict[str, list[Result]], path: Path) -> list[str]:
    """The norms by lag, before and after training."""
    figure = new_figure(10.0, 5.5)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, time in zip(panels, TIMES, strict=True):
        for number, (cell, results) in enumerate(found.items()):
            line = smooth(typical(results, time))
            axes.plot(line, **look(cell), markevery=(number, 15), label=cell)
        axes.set_yscale("log")
        axes.set_ylim(1e-12, 1e2)
        axes.set_xlabel(f"lag (frames), mean of {SMOOTHING} neighbours")
        axes.set_title(f"{time} training")
    panels[0].set_ylabel("norm of the gradient of the answer")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    save(figure, path)
    rows = []
    for cell, results in found.items():
        norms = [typical(results, time) for time in TIMES]
        mistakes = [r["squared_error"] for r in results if r["squared_error"] is not None]
        rows.append(
            [
                *(cell, f"{results[0]['parameters']:,}"),
                *(shown(n[lag]) if n else "not finite" for n in norms for lag in (0, LENGTH)),
                spread(mistakes, 3) if mistakes else "not finite",
            ]
        )
    head = ["cell", "parameters"]
    head += [f"{time}, lag {lag}" for time in TIMES for lag in (0, LENGTH)]
    return [
        "### How far back a gradient reaches, by cell\n",
        f"Norm of the gradient of the answer with respect to the input, before and after {STEPS} "
        f"updates on the adding problem of {SHORTEST} to {LENGTH} pairs (always answering 1 has "
        f"a squared error of {1 / 6:.3f}). No layer has more than {WIDEST} cells, which keeps "
        "minGRU, without recurrent weights, below the others' parameters.\n",
        table([*head, "squared error"], rows),
        f"![Gradient norm by lag and cell](figures/{path.name})\n",
        conclusion(found),
    ]


def conclusion(found: dict[str, list[Result]]) -> str:
    """What the norms show, in words."""
    far = {time: {c: n[LENGTH] for c in found if (n := typical(found[c], time))} for time in TIMES}
    reach = {time: [cell for cell, norm in far[time].items() if norm > REACHES] for time in TIMES}
    texts = [", ".join(cells) or "none" for cells in reach.values()]
    return (
        f"Before training, the input {LENGTH} frames before the last has a gradient above "
        f"{REACHES:g} with: {texts[0]}; after training with: {texts[1]}.\n"
    )


def run(plan: Plan) -> None:
    """The three experiments."""
    plan.results.get(f"{PART}/powers", powers)
    plan.results.get(f"{PART}/cliff", cliff)
    for cell, seed in plan.runs(CELL_ORDER):
        plan.results.get(f"{PART}/{cell}-s{seed}", partial(remember, cell, seed))


def report(results: Results, figures: Path) -> str:
    """What was found, in the order of the story."""
    finished = results.finished(PART)
    kinds = by_kind(finished)
    cells = {cell: kinds[cell] for cell in CELL_ORDER if cell in kinds}
    lines = []
    if "powers" in finished:
        lines += report_powers(finished["powers"], figures / "gradients_powers.png")
    if "cliff" in finished:
        lines += report_cliff(finished["cliff"], figures / "gradients_cliff.png")
    if cells:
        lines += report_cells(cells, figures / "gradients_lags.png")
    return "\n".join(["## Gradients: what vanishes, what explodes\n", *lines]) if lines else ""
