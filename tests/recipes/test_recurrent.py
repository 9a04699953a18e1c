"""The recipe of recurrent cells: what its parts share, and the parts that need no corpus."""

import json
import math
from pathlib import Path

import pytest
import torch
import typer
from torch import Tensor, nn

from asr.errors import AsrError
from asr.model.acoustic import weightless_model
from asr.model.cells import CELLS
from recipes.recurrent import __main__ as command
from recipes.recurrent import ctc, lags, spikes
from recipes.recurrent.experiments import (
    CELL_ORDER,
    Plan,
    Results,
    by_kind,
    fit,
    hidden_for,
    layer_of,
    look,
    spread,
)


def test_a_finished_experiment_is_not_run_again(tmp_path: Path) -> None:
    results = Results(tmp_path)
    calls: list[int] = []

    def compute() -> dict[str, int]:
        calls.append(1)
        return {"error": len(calls)}

    assert [results.get("lags/gru-50-s0", compute) for _ in range(2)] == [{"error": 1}] * 2
    assert results.finished("lags") == {"gru-50-s0": {"error": 1}}
    assert results.finished("memory") == {}


def test_an_interrupted_experiment_leaves_no_result(tmp_path: Path) -> None:
    def fails() -> dict[str, int]:
        raise AsrError("stopped")

    with pytest.raises(AsrError):
        Results(tmp_path).get("lags/gru-50-s0", fails)
    assert Results(tmp_path).finished("lags") == {}


def test_seeds_are_gathered_and_summed_up() -> None:
    results = {"lstm-50-s0": {"a": 1}, "lstm-50-s1": {"a": 2}, "gru-s10": {"a": 3}}
    assert by_kind(results) == {"lstm-50": [{"a": 1}, {"a": 2}], "gru": [{"a": 3}]}
    assert spread([1.0, 2.0, 4.5]) == "2.5 (1.0–4.5)"
    assert spread([0.1234], 2) == "0.12"


def test_a_plan_has_the_cells_and_seeds_that_are_asked_for(tmp_path: Path) -> None:
    plan = Plan(Results(tmp_path), ["gru", "lstm"], 2)
    assert [*plan.runs(["lstm", "elman"])] == [("lstm", 0), ("lstm", 1)]


def test_every_cell_has_a_look_of_its_own() -> None:
    assert set(CELL_ORDER) == set(CELLS)
    looks = [tuple(look(cell).values()) for cell in CELL_ORDER]
    assert len({style[2] for style in looks}) == len({style[:2] for style in looks}) == len(CELLS)


@pytest.mark.parametrize("cell", CELL_ORDER)
def test_hidden_sizes_come_close_to_the_budget(cell: str) -> None:
    hidden = hidden_for(cell, 3, 10_000)

    def size(hidden: int) -> int:
        return sum(weight.numel() for weight in layer_of(cell, 3, hidden).parameters())

    assert abs(size(hidden) - 10_000) <= min(
        abs(size(hidden - 4) - 10_000), abs(size(hidden + 4) - 10_000)
    )
    assert 0.85 < size(hidden) / 10_000 < 1.15


@pytest.mark.parametrize("training", ctc.TRAININGS)
def test_the_encoders_of_all_cells_have_the_size_of_the_lstm(training: str) -> None:
    _, config, _ = ctc.TRAININGS[training]
    features = config.features.num_features

    def size(cell: str) -> int:
        model = weightless_model(ctc.encoder_of(config, cell), features, ctc.TOKENS)
        return sum(weight.numel() for weight in model.parameters())

    sizes = {cell: size(cell) for cell in CELL_ORDER}
    assert ctc.encoder_of(config, "lstm").hidden == config.encoder.hidden
    assert all(0.97 < own / sizes["lstm"] < 1.03 for own in sizes.values()), sizes


def test_updates_stop_when_it_is_enough_or_the_loss_is_not_a_number() -> None:
    def run(losses: list[float], enough: float) -> list[float]:
        model = nn.Linear(1, 1)

        def loss(step: int) -> Tensor:
            return losses[step] + 0.0 * model.weight.sum()

        return fit(model, loss, len(losses), 0.1, enough=enough)

    assert run([3.0, 2.0, 1.0], 0.0) == [3.0, 2.0, 1.0]
    assert run([3.0, 0.25, 0.25], 1.7) == [3.0, 0.25]
    assert math.isnan(run([3.0, math.nan, 1.0], 0.0)[1])
    assert len(run([3.0, math.nan, 1.0], 0.0)) == 2


def test_marks_are_in_both_halves_and_sums_are_theirs() -> None:
    pairs, sums = lags.sequences(50, 20, torch.Generator().manual_seed(0))
    numbers, marks = pairs.unbind(2)
    assert marks[:, :10].sum(1).tolist() == marks[:, 10:].sum(1).tolist() == [1] * 50
    torch.testing.assert_close((numbers * marks).sum(1), sums)


def test_the_adding_problem_from_command_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lags, "LENGTHS", (6, 8))
    monkeypatch.setattr(lags, "ALL_CELLS", 8)
    monkeypatch.setattr(lags, "SHORTEST", 2)
    monkeypatch.setattr(lags, "STEPS", 80)
    threads = torch.get_num_threads()

    command.main(tmp_path, ["lags"], "gru,mingru", seeds=2, threads=threads)

    names = sorted(path.stem for path in (tmp_path / "results" / "lags").iterdir())
    assert names == ["gru-6-s0", "gru-6-s1", "gru-8-s0", "gru-8-s1", "mingru-8-s0", "mingru-8-s1"]
    report = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    first = json.loads((tmp_path / "results" / "lags" / "gru-8-s0.json").read_text())
    assert f"| gru | {first['hidden']} |" in report
    assert 0 < (tmp_path / "figures" / "lags.png").stat().st_size <= 300_000


def test_alignments_of_a_word_sum_to_its_loss() -> None:
    found = spikes.enumerate_all(0)
    paths = dict(found["paths"])
    # A letter after another may share no frame: C(T + U, 2U) ways to place U letters on T frames.
    assert len(paths) == len(found["paths"]) == math.comb(6 + 3, 2 * 3)
    assert "-C-A-T" in paths
    assert "CCAATT" in paths
    assert found["sum"] == pytest.approx(math.exp(-found["loss"]), rel=1e-9)


def test_parts_and_cells_are_chosen_by_name() -> None:
    assert command.chosen_parts(["c"]) == ["lags"]
    assert command.chosen_parts(None) == list(command.PARTS)
    assert command.chosen_cells("lstm, elman") == ["lstm", "elman"]
    with pytest.raises(typer.BadParameter, match=r"expected one of .*lags.*, found 'z'"):
        command.chosen_parts(["z"])
    with pytest.raises(typer.BadParameter, match=r"elman, jordan.*found 'xlstm'"):
        command.chosen_cells("xlstm")
