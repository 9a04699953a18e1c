"""Plots of learning curves."""

from pathlib import Path

import pytest

from asr.training.curves import draw_comparison, draw_curves
from tests.training_support import metrics


def lines_drawn(picture: Path) -> int:
    """Lines of data in an SVG: clipped paths; those of the grid have two points."""
    paths = picture.read_text().split("<path ")[1:]
    return sum("clip-path" in path and path.count(" L ") + path.count("\nL ") > 1 for path in paths)


@pytest.mark.parametrize("runs", [1, 12, 45])
def test_a_comparison_draws_each_run_in_each_panel(tmp_path: Path, runs: int) -> None:
    histories = {
        f"run {number}": [metrics(epoch, number / 100 / epoch) for epoch in range(1, 5)]
        for number in range(1, runs + 1)
    }
    draw_comparison(histories, tmp_path / "curves.svg")

    assert lines_drawn(tmp_path / "curves.svg") == 4 * runs


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
