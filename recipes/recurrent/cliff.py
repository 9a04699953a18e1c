"""The cliff in the error of a recurrent network of one cell (Pascanu, Mikolov & Bengio 2013).

The cell comes to rest at one of two states. Where a small change of its weight makes it choose the
other one, the error jumps and its gradient explodes. Gradient descent that meets such a place takes
a step as long as the gradient is large, unless the gradient's norm is clipped.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from recipes.recurrent.experiments import PALETTE, Result, new_figure, save, table

FRAMES, FIRST, WANTED = 50, 0.5, 0.7
"""Frames, the state before them, and the one that is wanted after them."""
START, RATE, STEPS, CLIP = (5.0, -2.25), 0.01, 200, 5.0
"""Of gradient descent; the start is a weight and a bias."""
WEIGHTS, BIASES = (3.6, 5.6), (-2.9, -1.3)
"""What the figure shows."""


def error(weight: Tensor, bias: Tensor) -> Tensor:
    """Squared error of the last state of Pascanu's cell, which has no input."""
    state = torch.full_like(weight + bias, FIRST)
    for _ in range(FRAMES):
        state = weight * state.sigmoid() + bias
    return (state - WANTED).square()


def descent(clip: float) -> list[list[float]]:
    """Weight, bias, error and norm of its gradient at each step of gradient descent."""
    point = torch.tensor(START, dtype=torch.double, requires_grad=True)
    path = []
    for _ in range(STEPS + 1):
        loss = error(point[0], point[1])
        (gradient,) = torch.autograd.grad(loss, point)
        norm = float(gradient.norm())
        path.append([*point.tolist(), float(loss.detach()), norm])
        step = RATE * gradient * min(1.0, clip / norm)
        point = (point - step).detach().requires_grad_()
    return path


def cliff() -> Result:
    """The two paths."""
    return {"unclipped": descent(math.inf), "clipped": descent(CLIP)}


def longest(path: Sequence[Sequence[float]]) -> int:
    """The number of the longest step."""
    steps = [math.dist(before[:2], after[:2]) for before, after in pairwise(path)]
    return steps.index(max(steps))


def draw(result: Result, path: Path) -> None:
    """A cut through the surface, and the two paths on it."""
    weights = torch.linspace(*WEIGHTS, 401, dtype=torch.double)
    biases = torch.linspace(*BIASES, 321, dtype=torch.double)
    figure = new_figure(10.0, 4.5)
    cut, surface = figure.subplots(1, 2, width_ratios=(2, 3))
    cut.plot(weights.numpy(), error(weights, torch.tensor(START[1])).numpy(), color=PALETTE[0])
    cut.set_xlabel("recurrent weight")
    cut.set_ylabel("squared error")
    cut.set_title(f"bias {START[1]}")
    heights = error(weights[None], biases[:, None]).clamp(min=1e-3).log10()
    grid = (weights.numpy(), biases.numpy(), heights.numpy())
    image = surface.pcolormesh(*grid, cmap="Greys", shading="gouraud")
    figure.colorbar(image, label="squared error (log10)")
    looks = {"clipped": ("o", "-", PALETTE[5]), "unclipped": ("D", "--", PALETTE[1])}
    for name, (marker, style, color) in looks.items():
        surface.plot(
            [point[0] for point in result[name]],
            [point[1] for point in result[name]],
            color=color,
            linestyle=style,
            linewidth=1,
            marker=marker,
            markersize=3,
            label=f"clipped at norm {CLIP:g}" if name == "clipped" else "not clipped",
        )
    surface.plot(*START, marker="*", markersize=14, color=PALETTE[6], label="start", linestyle="")
    surface.set_xlim(WEIGHTS)
    surface.set_ylim(BIASES)
    surface.set_xlabel("recurrent weight")
    surface.set_ylabel("bias")
    surface.legend(loc="upper right")
    save(figure, path)


def report_cliff(result: Result, path: Path) -> list[str]:
    """The two descents as a table and as paths."""
    rows = []
    for name, points in result.items():
        step = longest(points)
        _, _, errors, norms = zip(*points, strict=True)
        rows.append(
            [
                name,
                f"{max(norms):,.0f}",
                f"{math.dist(points[step][:2], points[step + 1][:2]):.2f}",
                f"{max(errors):.1f}",
                f"{statistics.fmean(errors[-20:]):.1g}",
            ]
        )
    draw(result, path)
    step = longest(result["unclipped"])
    before, after = result["unclipped"][step : step + 2]
    head = ["descent", "largest gradient", "longest step", "largest error", "error of the last 20"]
    return [
        f"### The cliff of one cell over {FRAMES} frames\n",
        table(head, rows),
        f"![Error surface and paths of descent](figures/{path.name})\n",
        "Where the cell changes from one state of rest to the other, the error falls like a cliff, "
        f"and its least values lie at the foot. Without clipping, step {step + 1} meets a gradient "
        f"of {before[3]:,.0f} and is thrown to a weight of {after[0]:.1f} and a bias of "
        f"{after[1]:.1f}, from an error of {before[2]:.2g} to one of {after[2]:,.0f}; where it "
        f"comes down again is luck. Clipped, no step is longer than {RATE * CLIP:g}, and the path "
        "follows the foot of the cliff to where it ends.\n",
    ]
