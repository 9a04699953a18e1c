"""Plots of learning curves: of one run, or of several on the same axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asr.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAN = float("nan")
_LOSS = "CTC loss (nats per utterance)"
_PANELS = ("train_loss", "dev_loss", "dev_wer", "dev_cer")
_STYLES = ("-", "--", ":", "-.")
"""Ten colours with the first style, then ten with the second: 40 runs can be told apart."""


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plot loss and error rates over epochs as a PNG. Raises AsrError if it cannot be written."""
    from matplotlib.figure import Figure  # slow to import, and only training draws

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    _plot(losses, history, "train_loss", "training (augmented)")
    _plot(losses, history, "dev_loss", "validation")
    losses.set(xlabel="epoch", ylabel=_LOSS)
    _set_log_scale(losses)
    _plot(errors, history, "dev_wer", "word errors")
    _plot(errors, history, "dev_cer", "character errors")
    errors.set(xlabel="epoch", ylabel="validation, greedy (%)", ylim=(0, 105))
    for axes in (losses, errors):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_comparison(histories: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Plot losses and error rates of several runs over epochs, one line per run, by their labels.

    The suffix of `path` is the format: .pdf, .png or .svg. Error rates have a logarithmic axis, on
    which runs can be told apart at the end of training, too; 0 is drawn at its lower end.
    Raises AsrError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = max(1, min(4, 140 // (12 + max(map(len, histories), default=0))))  # of the legend
    rows = -(-len(histories) // columns)
    figure = Figure(figsize=(11, 7.5 + 0.2 * rows), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for place, (label, history) in enumerate(histories.items()):
        color, style = f"C{place % 10}", _STYLES[place // 10 % len(_STYLES)]
        for axes, name in zip(panels.flat, _PANELS, strict=True):
            _plot(axes, history, name, label, color, style)
    panels[0, 0].set(title="training loss (augmented)", ylabel=_LOSS)
    panels[0, 1].set(title="validation loss")
    panels[1, 0].set(xlabel="epoch", ylabel="errors, greedy (%)", title="validation WER")
    panels[1, 1].set(xlabel="epoch", title="validation CER")
    for axes in panels.flat:
        _set_log_scale(axes)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, fontsize="small", frameon=False
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _plot(
    axes: "Axes",
    history: Sequence[Mapping[str, float]],
    name: str,
    label: str,
    color: str | None = None,
    style: str = "-",
) -> None:
    """Plot a metric over epochs, rates in percent; a gap where it was not recorded."""
    epochs = [metrics["epoch"] for metrics in history]
    scale = 1 if name.endswith("loss") else 100
    values = [scale * metrics.get(name, _NAN) for metrics in history]
    marker = "o" if len(history) == 1 else ""  # a line needs two points
    axes.plot(epochs, values, color=color, linestyle=style, marker=marker, label=label)


def _set_log_scale(axes: "Axes") -> None:
    """A logarithmic axis whose ticks are labelled as plain numbers."""
    from matplotlib.ticker import (
        LogLocator,
        MaxNLocator,
        NullFormatter,
        StrMethodFormatter,
        SymmetricalLogLocator,
    )

    drawn = np.concatenate([np.zeros(1), *(line.get_ydata() for line in axes.lines)])
    positive = drawn[(drawn > 0) & np.isfinite(drawn)]
    if len(positive) and (drawn[1:] == 0).any():
        # From 0 to the decade of the smallest value the axis is linear.
        lowest = float(10 ** np.floor(np.log10(positive.min())))
        axes.set_yscale("symlog", linthresh=lowest, linscale=0.3)
        axes.set_ylim(bottom=-lowest / 10)
        locator = SymmetricalLogLocator(base=10, linthresh=lowest, subs=(1, 2, 5))
        axes.yaxis.set_major_locator(locator)
    elif len(positive):  # else a logarithmic axis would fail
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if len(positive):
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
