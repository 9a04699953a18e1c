"""Gradients: powers of a weight, the cliff, and norms by lag, against what they must be."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from recipes.recurrent import cliff, gradients
from recipes.recurrent.experiments import Plan, Result, Results
from recipes.recurrent.gradients import Adder, gradient_norms, powers, report, run, typical


def test_the_gradient_of_a_linear_cell_is_a_power_of_its_weight() -> None:
    for weight, by_lag in powers()["by_lag"].items():
        assert by_lag == pytest.approx([float(weight) ** lag for lag in range(1001)], rel=1e-9)


def test_the_error_is_that_of_the_cell_written_out() -> None:
    state = 0.5
    for _ in range(50):
        state = 4.5 / (1 + math.exp(-state)) - 2.0
    found = cliff.error(torch.tensor(4.5, dtype=torch.double), torch.tensor(-2.0))
    assert float(found) == pytest.approx((state - 0.7) ** 2)


def test_clipping_bounds_every_step_and_without_it_the_cliff_throws_far() -> None:
    result = cliff.cliff()
    steps = {
        name: [math.dist(a[:2], b[:2]) for a, b in pairwise(path)] for name, path in result.items()
    }
    assert max(steps["clipped"]) <= cliff.RATE * cliff.CLIP * 1.000001
    assert max(steps["unclipped"]) > 10
    # Each step is the rate times the gradient of where it starts, unless that is clipped.
    for (*_, norm), step in zip(result["unclipped"], steps["unclipped"], strict=False):
        assert step == pytest.approx(cliff.RATE * norm)


def test_norms_are_those_of_the_gradient_of_each_sequence_alone() -> None:
    torch.manual_seed(0)
    model, pairs = Adder("lstm"), torch.rand(3, 7, 2)
    alone = []
    for number in range(3):
        sequence = pairs[number : number + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(sequence).sum(), sequence)
        alone.append(gradient[0].norm(dim=1))
    expected = torch.stack(alone).mean(dim=0).flip(0)
    assert gradient_norms(model, pairs) == pytest.approx(expected.tolist())


def test_norms_of_a_diverged_model_are_none_and_left_out_of_the_mean() -> None:
    model = Adder("elman")
    with torch.no_grad():
        model.sum.weight.fill_(math.nan)
    assert gradient_norms(model, torch.rand(2, 5, 2)) is None
    runs: list[Result] = [{"after": None}, {"after": [1.0, 1e-4]}, {"after": [4.0, 1e-6]}]
    assert typical(runs, "after") == pytest.approx([2.0, 1e-5])
    assert typical(runs[:1], "after") == []


def test_runs_only_what_is_asked_for_and_reports_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "STEPS", 2)
    monkeypatch.setattr(gradients, "LENGTH", 20)
    results = Results(tmp_path / "results")
    assert report(results, tmp_path) == ""
    cells = ["elman", "ligru"]
    run(Plan(results, cells, seeds=1))
    assert set(results.finished("gradients")) == {"powers", "cliff", "elman-s0", "ligru-s0"}
    again = Results(tmp_path / "again")
    run(Plan(again, cells, seeds=1))
    assert again.finished("gradients") == results.finished("gradients")
    text = report(results, tmp_path / "figures")
    assert "| ligru |" in text
    for name in ("powers", "cliff", "lags"):
        path = tmp_path / "figures" / f"gradients_{name}.png"
        assert f"figures/{path.name}" in text
        assert path.stat().st_size < 300_000
