"""State files: written whole, verified, and skipped if damaged."""

import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.errors import CheckpointError
from asr.training import Config, loop
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from asr.training.state import STATES, load_state, state_files, write_state
from tests.training_support import (
    CPU,
    assert_same_run,
    cut,
    emptied,
    flipped,
    optim,
    steps_of,
    torn,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


class Code:
    def __reduce__(self) -> Any:
        return (Path("pwned").touch, ())


def code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(), protocol=2))


def sealed_code(path: Path) -> None:
    """With the right digest: what makes it harmless is that no code is loaded."""
    content = pickle.dumps(Code(), protocol=2)
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(b"asr-state 2 " + digest + b"\n" + content)


def of_another_program(path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, path)


DAMAGE = [torn, cut, emptied, flipped, code, sealed_code, of_another_program]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_skipped_for_the_one_before(
    whole: Path,
    broken: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(broken.parent)
    damage(broken / STATES / "step-000000006.pt")
    with caplog.at_level(logging.WARNING):
        run_training(TrainingOptions(broken, resume=True))
    (warning,) = [r.getMessage() for r in caplog.records if "falling back" in r.getMessage()]
    assert "step-000000006.pt: " in warning
    assert warning.endswith("; falling back to the state before it, step-000000005.pt")
    assert "\n" not in warning
    assert not Path("pwned").exists()
    assert_same_run(broken, whole)


def test_two_damaged_states_are_two_warnings(
    whole: Path, broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in state_files(broken)[:2]:
        torn(path)
    with caplog.at_level(logging.WARNING):
        run_training(TrainingOptions(broken, resume=True))
    assert caplog.text.count("falling back to the state before it, step-000000004.pt") == 2
    assert_same_run(broken, whole)


def test_without_an_intact_state_there_is_one_message(broken: Path) -> None:
    for path in state_files(broken):
        torn(path)
    with pytest.raises(CheckpointError, match="none of the 3 states is intact") as error:
        run_training(TrainingOptions(broken, resume=True))
    for step in (4, 5, 6):
        assert f"step-00000000{step}.pt: truncated or altered" in str(error.value)
    assert "start again in another folder" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_state_without_its_parts_is_one_message(whole: Path, broken: Path) -> None:
    state = load_state(broken)
    del state["progress"]["weights"]
    state["progress"]["wait"] = 3
    write_state(broken, 6, state, 3)
    with pytest.raises(CheckpointError, match="cannot resume from this state"):
        run_training(TrainingOptions(broken, resume=True))


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_as_many_states_are_kept_as_asked(micro: Config, tmp_path: Path, keep: int) -> None:
    folder = tmp_path / "run"
    loop.train(optim(micro, epochs=1, save_minutes=0.0, keep_states=keep), folder, CPU)
    assert steps_of(folder) == [4, 3, 2, 1][:keep]


def test_a_damaged_newer_state_does_not_displace_an_intact_one(tmp_path: Path) -> None:
    for step in (8, 12):
        write_state(tmp_path, step, {"step": step}, keep=2)
    torn(tmp_path / STATES / "step-000000012.pt")
    assert load_state(tmp_path) == {"step": 8}
    (tmp_path / STATES / ".part-0123.pt").write_bytes(b"left behind by a kill")
    write_state(tmp_path, 9, {"step": 9}, keep=1)
    assert [path.name for path in (tmp_path / STATES).iterdir()] == ["step-000000009.pt"]


def test_an_unreadable_state_is_skipped_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_state(tmp_path, 8, {"step": 8}, keep=2)
    (tmp_path / STATES / "step-000000009.pt").mkdir()
    assert load_state(tmp_path) == {"step": 8}
    assert "step-000000009.pt: cannot read (Is a directory); falling back" in caplog.text


def test_nothing_to_resume_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume; start the run without --resume"):
        load_state(tmp_path)
