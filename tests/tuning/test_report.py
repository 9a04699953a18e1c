"""The table and the plot of the searches."""

from pathlib import Path

import pytest

from asr.cli.options import PICTURES
from asr.tuning.choice import Tuning
from asr.tuning.report import draw_trials, frontier, render_trials
from tests.tuning.synthetic import trial_of


def test_the_frontier_has_no_slower_and_worse() -> None:
    slow, fast, beaten, equal = (
        trial_of(9.0, 10),
        trial_of(1.0, 20),
        trial_of(5.0, 25),
        trial_of(2.0, 20),
    )
    assert frontier([slow, beaten, equal, fast]) == [fast, slow]


def test_the_table_has_every_search(tuning: Tuning) -> None:
    heading, *lines = render_trials(tuning).splitlines()
    assert heading.split() == "beam recombine token log beam log WER CER ms/s".split()
    assert len(lines) == len(tuning.trials)
    (chosen,) = [line for line in lines if line.endswith("<-")]
    assert chosen.split()[0] == str(tuning.choice.decoder.search.beam_size)
    assert any(" *" in line for line in lines)


@pytest.mark.parametrize(
    ("suffix", "magic"), list(zip(PICTURES, [b"%PDF", b"\x89PNG", b"<?xml"], strict=True))
)
def test_the_plot_is_drawn(tuning: Tuning, tmp_path: Path, suffix: str, magic: bytes) -> None:
    draw_trials(tuning, tmp_path / f"frontier{suffix}")
    assert (tmp_path / f"frontier{suffix}").read_bytes().startswith(magic)
