"""TextGrids, read by tgt."""

from itertools import pairwise
from pathlib import Path

import pytest
import tgt

from asr.text.textgrid import render_textgrid
from asr.text.timed import Timed


def read(text: str, folder: Path) -> dict[str, list[tuple[float, float, str]]]:
    """The intervals of each tier, empty ones too, as tgt finds them."""
    path = folder / "a.TextGrid"
    path.write_text(text, encoding="utf-8")
    grid = tgt.io.read_textgrid(str(path), include_empty_intervals=True)
    return {
        tier.name: [(span.start_time, span.end_time, span.text) for span in tier.intervals]
        for tier in grid.tiers
    }


WORDS = [Timed("AB", 0.1, 0.3), Timed("É", 0.36, 0.5)]


def test_tiers_cover_the_recording_without_a_gap(tmp_path: Path) -> None:
    characters = [Timed("A", 0.1, 0.2), Timed("B", 0.2, 0.3)]
    found = read(render_textgrid({"words": WORDS, "characters": characters}, 0.7), tmp_path)
    assert list(found) == ["words", "characters"]
    assert found["words"] == [
        (0.0, 0.1, ""),
        (0.1, 0.3, "AB"),
        (0.3, 0.36, ""),
        (0.36, 0.5, "É"),
        (0.5, 0.7, ""),
    ]
    assert [text for *_, text in found["characters"]] == ["", "A", "B", ""]
    for tier in found.values():
        assert (tier[0][0], tier[-1][1]) == (0.0, 0.7)
        assert all(before[1] == after[0] for before, after in pairwise(tier))


@pytest.mark.parametrize("seconds", [1 / 3, 1e-9, 12345.678901234567])
def test_times_keep_all_digits(seconds: float, tmp_path: Path) -> None:
    (tier,) = read(render_textgrid({"words": [Timed("A", 0.0, seconds)]}, 2e4), tmp_path).values()
    assert tier[0] == (0.0, seconds, "A")


def test_nothing_is_one_empty_interval(tmp_path: Path) -> None:
    assert read(render_textgrid({"words": []}, 2.0), tmp_path) == {"words": [(0.0, 2.0, "")]}


def test_quotation_marks_are_doubled() -> None:
    assert 'text = "say ""A"""' in render_textgrid({"words": [Timed('say "A"', 0.0, 1.0)]}, 1.0)
