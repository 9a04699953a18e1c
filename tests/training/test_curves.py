"""Plots of learning curves."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from asr.training.curves import _set_log_scale, draw_comparison, draw_curves
from tests.training_support import metrics


def lines_drawn(picture: Path) -> int:
    """Lines of data in an SVG: clipped paths; those of the grid have two points."""
    paths = picture.read_text().split("<path ")[1:]
    return sum("clip-path" in path and path.count(" L ") + path.count("\nL ") > 1 for path in paths)


@pytest.mark.parametrize("runs", [1, 12, pytest.param(45, marks=pytest.mark.slow)])
def test_a_comparison_draws_each_run_in_each_panel(tmp_path: Path, runs: int) -> None:
    histories = {
        f"run {number}": [metrics(epoch, number / 100 / epoch) for epoch in range(1, 5)]
        for number in range(1, runs + 1)
    }
    draw_comparison(histories, tmp_path / "curves.svg")

    assert lines_drawn(tmp_path / "curves.svg") == 4 * runs


def test_a_rate_of_zero_is_seen_where_rates_have_a_logarithmic_axis() -> None:
    axes = Figure().subplots()
    axes.plot([1, 2, 3], [50.0, 0.5, 0.0])
    _set_log_scale(axes)
    bottom, top = axes.transData.transform([(1, axes.get_ylim()[0]), (1, axes.get_ylim()[1])])[:, 1]
    zero, low, high = axes.transData.transform([(3, 0.0), (2, 0.5), (1, 50.0)])[:, 1]
    assert bottom < zero < low < high < top
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert {"0", "1", "10"} <= set(labels)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "history",
    [
        [{"epoch": 1.0}],
        [metrics(1, 0.0, 0.0), metrics(2, 0.0, 0.0)],
        [metrics(1, float("nan")), metrics(2, float("inf"))],
    ],
    ids=["nothing but its number", "no errors at all", "not finite"],
)
def test_curves_of_any_history_are_drawn(tmp_path: Path, history: list[dict[str, float]]) -> None:
    draw_curves(history, tmp_path / "curves.png")
    draw_comparison({"one": history, "none": []}, tmp_path / "comparison.png")

    for name in ("curves.png", "comparison.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_curves_are_drawn(tmp_path: Path) -> None:
    metrics = {"epoch": 1, "train_loss": 3.0, "dev_loss": 0.0, "dev_wer": 1.2, "dev_cer": 0.5}
    draw_curves([metrics, metrics | {"epoch": 2}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")
