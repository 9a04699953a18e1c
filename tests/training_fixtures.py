"""Fixtures of the tests of training, made once for all: `pytest_plugins` names this module."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asr.training import Config, loop
from tests.training_support import (
    CPU,
    Killed,
    after_step,
    kill,
    micro_config,
    optim,
    steps_of,
    without_pictures,
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, because sums in another order differ in their last bits; and no curves drawn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    without_pictures(monkeypatch)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return micro_config(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def whole(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        loop.train(micro, folder, CPU)
    return folder


@pytest.fixture(scope="session")
def killed(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that saved every step and was killed in its second epoch, with three states kept."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        after_step(patch, 7, kill)
        with pytest.raises(Killed):
            loop.train(optim(micro, save_minutes=0.0, keep_states=3), folder, CPU)
    assert steps_of(folder) == [6, 5, 4]
    return folder


@pytest.fixture
def broken(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed run, to be damaged."""
    return Path(shutil.copytree(killed, tmp_path / "run"))
