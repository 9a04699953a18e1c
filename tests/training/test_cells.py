"""Every recurrent cell keeps the promises of a run: checkpoint, resume, fine-tuning, find-batch."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import ConfigError
from asr.inference.recognizer import Recognizer
from asr.model.acoustic import CellName
from asr.model.cells import CELLS
from asr.training import Config, OptimConfig, loop, setup
from asr.training.batch_trial import Request, Shape, measure
from asr.training.distributed import Group
from tests.training_support import (
    CPU,
    Killed,
    after_step,
    assert_same_run,
    kill,
    optim,
    same,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")
NAMES = get_args(CellName)
QUICK = [("elman", False), ("lstm_peephole", True), ("scrn", False), ("ligru", True)]
"""A fused cell, an unrolled one, one that needs a setting and one with running statistics."""


def with_cell(config: Config, cell: Any, **changes: Any) -> Config:
    encoder = dataclasses.replace(config.encoder, cell=cell, scrn_context=3, **changes)
    augment = config.augment
    if not encoder.bidirectional:
        augment = dataclasses.replace(augment, right_context_seconds=0.0)
    return dataclasses.replace(config, encoder=encoder, augment=augment)


def test_every_cell_can_be_set() -> None:
    assert set(NAMES) == set(CELLS)


@pytest.mark.parametrize(
    ("cell", "bidirectional"),
    [
        pytest.param(cell, both, marks=[] if (cell, both) in QUICK else [pytest.mark.slow])
        for cell in NAMES
        for both in (True, False)
    ],
)
def test_a_run_resumes_to_the_last_bit_and_its_checkpoint_can_be_used_and_trained_further(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cell: str,
    bidirectional: bool,
) -> None:
    truncate = 0 if bidirectional else 5
    config = with_cell(micro, cell, bidirectional=bidirectional)
    config = optim(config, epochs=2, truncate_frames=truncate, clip_value=0.1)
    whole = loop.train(config, tmp_path / "whole", CPU)
    with monkeypatch.context() as patch:
        after_step(patch, 5, kill)
        with pytest.raises(Killed):
            loop.train(optim(config, save_minutes=0.0), tmp_path / "run", CPU)
    loop.train(optim(config, save_minutes=0.0), tmp_path / "run", CPU, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")

    assert load_checkpoint(whole).config["encoder"]["cell"] == cell
    waveform = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    assert Recognizer.load(whole).transcribe(waveform, 8000).text is not None

    further = dataclasses.replace(config, init_from=str(whole))
    run, _ = setup.prepare(further, tmp_path / "further", CPU, Group(), resume=False)
    assert same(dict(run.model.state_dict()), load_checkpoint(whole).weights)

    shape = Shape((30, 20), (3, 2))
    assert measure(Request(config, 5, "cpu", 1, shape, shape, shape), CPU).step_seconds > 0


def test_truncation_cuts_the_gradient_and_nothing_else(micro: Config, tmp_path: Path) -> None:
    config = with_cell(micro, "lstm", bidirectional=False)
    losses = {}
    for frames in (0, 1, 10**6):
        loop.train(optim(config, epochs=1, truncate_frames=frames), tmp_path / f"{frames}", CPU)
        weights = load_checkpoint(tmp_path / f"{frames}" / "checkpoint").weights
        losses[frames] = weights["layers.0.forward_layer.rnn.weight_hh_l0"]

    assert torch.equal(losses[0], losses[10**6])
    assert not torch.equal(losses[0], losses[1])


def test_truncation_needs_a_single_direction() -> None:
    with pytest.raises(
        ConfigError, match=r"truncate_frames=20: expected encoder\.bidirectional=false"
    ):
        Config(optim=OptimConfig(truncate_frames=20))


@pytest.mark.parametrize("name", ["clip_norm", "clip_value", "truncate_frames"])
def test_limits_below_0_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}"):
        optim(Config(), **{name: -1})
