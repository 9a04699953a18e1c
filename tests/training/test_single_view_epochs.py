"""Epochs of one view before those of two: what they see, and that a run resumes among them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from asr.errors import ConfigError
from asr.training import Config, OptimConfig, loop
from asr.training.objective import StepOutput, compute_loss
from asr.training.state import load_state
from tests.training_support import CPU, Killed, after_step, assert_resumes, kill, optim, same

pytest_plugins = ["tests.training_fixtures"]


@pytest.fixture
def config(micro: Config, quick: None) -> Config:
    """One epoch of one view, then two of two."""
    return optim(micro, epochs=3, consistency=0.2, single_view_epochs=1)


def test_each_epoch_has_its_views(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []

    def watched(config: Config, network: torch.nn.Module, batch: Any, teacher: None) -> StepOutput:
        half = len(batch.ids) // 2
        seen.append((batch.views, batch.ids[:half] == batch.ids[half:]))
        return compute_loss(config, network, batch, teacher)

    monkeypatch.setattr(loop, "compute_loss", watched)
    loop.train(config, tmp_path / "run", CPU)
    assert seen == [(1, False)] * 4 + [(2, True)] * 8
    heard = [m["audio_seconds"] for m in load_state(tmp_path / "run")["progress"]["history"]]
    assert max(heard) < 1.2 * min(heard)  # each utterance counts once


def test_an_epoch_of_one_view_is_one_without_consistency(config: Config, tmp_path: Path) -> None:
    states = []
    for name, other in (("one", config), ("other", optim(config, consistency=0.0))):
        with pytest.MonkeyPatch.context() as patch:
            after_step(patch, 5, kill)
            with pytest.raises(Killed):
                loop.train(other, tmp_path / name, CPU)
        states.append(load_state(tmp_path / name))
    assert all(state["progress"]["epoch"] == 1 for state in states)
    one, other = (state["model"] for state in states)
    assert all(same(one[name], other[name]) for name in other)


@pytest.mark.parametrize("step", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_with_its_views(config: Config, tmp_path: Path, step: int) -> None:
    assert_resumes(config, tmp_path, step)


def test_the_last_epoch_has_two_views() -> None:
    with pytest.raises(ConfigError, match=r"fewer than optim\.epochs=3, found 3"):
        OptimConfig(epochs=3, single_view_epochs=3)
