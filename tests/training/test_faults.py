"""What goes wrong beside a run, or in its data: one clear message, and a state to go on from."""

import dataclasses
import errno
import logging
import math
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from asr import files
from asr.config import to_dict
from asr.corpus.dataset import UtteranceDataset
from asr.corpus.manifest import Corpus
from asr.corpus.sampler import UtteranceKey
from asr.errors import AsrError, AudioError
from asr.files import write_json_atomic
from asr.training import Config, DataConfig, loop
from asr.training.launch import run_training
from asr.training.optimizer import update
from asr.training.options import TrainingOptions
from asr.training.state import STATES, read_state
from tests.support import Command, run_python
from tests.training_support import (
    CPU,
    STEPS,
    Change,
    Killed,
    after_step,
    assert_same_run,
    edited,
    history_of,
    kill,
    liar,
    optim,
    same,
    state_of,
    steps_of,
    train_arguments,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


# --- Data that cannot be trained on


def set_text(text: str) -> Change:
    return lambda entries: entries[1].update(text=text)


BAD_DATA: dict[str, tuple[str, Change, str]] = {
    "text longer than its audio": (
        "train",
        set_text("ABCDEFGHI" * 40),
        r"train-001: 360 frames needed",
    ),
    "empty text": ("train", set_text(" "), r"empty transcripts in 1 utterance \(train-001\)"),
    "empty text in dev": ("dev", set_text(""), r"dev\.jsonl: empty transcripts .*dev-001"),
    "unknown characters": ("dev", set_text("AZ Ä"), r"dev\.jsonl: .* \(dev-001: 'ZÄ'\)"),
    "missing audio": (
        "train",
        lambda entries: entries[2].update(audio_filepath="gone.flac"),
        r"train\.jsonl, line 3: no audio file at .*gone\.flac",
    ),
    "repeated id": (
        "train",
        lambda entries: entries[2].update(id="train-000"),
        r"line 3: the id 'train-000' is used on line 1 already",
    ),
    "no duration": (
        "dev",
        lambda entries: entries[0].pop("duration"),
        r"dev\.jsonl, line 1: the key 'duration' is missing",
    ),
    "no utterances": ("train", lambda entries: entries.clear(), r"the manifest is empty"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_message(
    micro: Config, tmp_path: Path, asr_command: Command, case: str
) -> None:
    split, change, message = BAD_DATA[case]
    data = edited(micro, tmp_path, change, split).data
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json"),
        *("--train", data.train[0], "--dev", data.dev),
    )
    assert re.search(message, outcome.error), outcome.error


# --- Recordings


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_cannot_be_read_is_one_message(
    micro: Config, tmp_path: Path, asr_command: Command, workers: int
) -> None:
    fake = tmp_path / "text.wav"
    fake.write_text("not audio " * 100)
    data = edited(micro, tmp_path, lambda es: es[1].update(audio_filepath=str(fake))).data
    write_json_atomic(tmp_path / "config.json", to_dict(optim(micro, workers=workers)))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json"),
        *("--train", data.train[0]),
    )
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(f"error: {fake}: ")


@pytest.mark.parametrize("split", ["train", pytest.param("dev", marks=pytest.mark.slow)])
def test_a_missing_recording_is_named_and_the_run_resumes_once_it_is_back(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    corpus = Path(shutil.copytree(Path(micro.data.train[0]).parent, tmp_path / "corpus"))
    data = DataConfig(train=(str(corpus / "train.jsonl"),), dev=str(corpus / "dev.jsonl"))
    config = dataclasses.replace(micro, data=data)
    recording, away = corpus / split / f"{split}-002.flac", tmp_path / "away.flac"
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 5, lambda: recording.rename(away))
        with pytest.raises(AudioError, match=rf"{split}-002\.flac"):
            loop.train(config, folder, CPU)
    assert steps_of(folder)[0] >= 5
    assert not (folder / "checkpoint").exists()
    away.rename(recording)
    run_training(TrainingOptions(folder, resume=True))
    assert same(state_of(folder)["model"], state_of(whole)["model"])


@pytest.mark.slow
def test_a_worker_killed_during_a_step_is_reported_and_the_state_saved(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = UtteranceDataset.__getitems__
    of_others = set(multiprocessing.active_children())
    reads: list[int] = []
    updates: list[float] = []

    def read_or_hang(self: UtteranceDataset, keys: Sequence[UtteranceKey]) -> Any:
        reads.append(os.getpid())  # each epoch has a worker of its own
        if keys[0].epoch == 1 and reads.count(os.getpid()) == 3:
            time.sleep(600)
        return read(self, keys)

    def update_and_kill(*arguments: Any) -> float:
        norm = update(*arguments)
        updates.append(norm)
        if len(updates) == 6:  # the weights have changed, and are not yet counted as changed
            (worker,) = set(multiprocessing.active_children()) - of_others
            assert worker.pid
            worker.kill()
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        return norm

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(UtteranceDataset, "__getitems__", read_or_hang)
        patch.setattr(loop, "update", update_and_kill)
        with pytest.raises(
            AsrError, match=r"a data loading process died: killed by sig.* 9 "
        ) as error:
            loop.train(optim(micro, workers=1), folder, CPU)
    assert "continue with --resume" in str(error.value)
    assert "\n" not in str(error.value)
    assert steps_of(folder)[0] == 6
    loop.train(micro, folder, CPU, resume=True)
    assert_same_run(folder, whole)


# --- Disks


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WRITES: dict[str, tuple[object, str, str]] = {
    "state": (files, "sync", "states/.part-*.pt"),
    "weights": (files, "sync", "weights/.part-*.safetensors"),
    "metrics": (files, "sync", ".part-*.jsonl"),
    "transcripts": (files, "sync", ".part-*.txt"),
    "scalars": (SummaryWriter, "add_scalar", "*"),
    "scalars at the end of an epoch": (SummaryWriter, "flush", "*"),
}


@pytest.mark.parametrize("case", WRITES)
@pytest.mark.parametrize("call", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_full_disk_is_one_message_and_the_run_resumes_when_there_is_room(
    micro: Config,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    call: int,
) -> None:
    target, name, pattern = WRITES[case]
    write, calls = getattr(target, name), []

    def full_at_last(where: Any, *arguments: Any) -> Any:
        if not isinstance(where, Path) or where.match(f"run/{pattern}"):
            calls.append(where)
            if len(calls) >= call:
                no_space()
        return write(where, *arguments)

    folder, config = tmp_path / "run", optim(micro, save_minutes=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(target, name, full_at_last)
        with pytest.raises(AsrError, match=r"No space left on device.*free some space") as error:
            loop.train(config, folder, CPU)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    assert not list(folder.rglob(".part-*"))
    loop.train(config, folder, CPU, resume=bool(steps_of(folder)))
    assert_same_run(folder, whole)


LIMITED = """
import resource, sys
from asr.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["asr", "train", *sys.argv[2:]]
main()
"""


@pytest.mark.slow
def test_files_that_may_not_grow_are_one_message(
    micro: Config, whole: Path, tmp_path: Path
) -> None:
    folder, config = tmp_path / "run", optim(micro, save_minutes=0.0)
    size = (whole / "states" / f"step-{STEPS:09d}.pt").stat().st_size
    done = run_python("-c", LIMITED, str(size // 2), *train_arguments(config, folder))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {folder / 'states'}"), last
    assert "cannot write (File too large)" in last
    assert "raise the file size limit (`ulimit -f`)" in last
    assert not steps_of(folder)
    loop.train(config, folder, CPU)
    assert_same_run(folder, whole)


def test_an_unwritable_log_is_reported_once_and_the_run_continues(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    folder, config = tmp_path / "run", optim(micro, epochs=1)
    folder.mkdir()
    (folder / "train.log").symlink_to("/dev/full")
    outcome = asr_command("train", *train_arguments(config, folder))
    assert outcome.code == 0
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.count(f"{folder / 'train.log'}: cannot write (No space left") == 1
    assert "epoch 1: loss" in outcome.stderr


def test_a_folder_in_place_of_the_log_is_one_message(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    outcome = asr_command("train", *train_arguments(micro, tmp_path / "run"))
    assert outcome.error.startswith(f"{tmp_path / 'run' / 'train.log'}: cannot write (Is a dir")


# --- Figures that are not finite


def test_a_loss_that_is_not_finite_names_the_utterance(micro: Config, tmp_path: Path) -> None:
    config, folder = edited(micro, tmp_path, liar(3)), tmp_path / "run"
    with pytest.raises(AsrError, match=r"the loss is not finite for train-003; .*peak_rate"):
        loop.train(config, folder, CPU)
    run_training(TrainingOptions(folder, settings=("optim.non_finite=skip",), resume=True))
    assert [metrics["skipped"] for metrics in history_of(folder)] == [1, 1, 1]


def test_two_views_are_named_once(micro: Config, tmp_path: Path) -> None:
    config = optim(edited(micro, tmp_path, liar(3)), consistency=0.2)
    with pytest.raises(AsrError, match=r"the loss is not finite for train-003; "):
        loop.train(config, tmp_path / "run", CPU)


def not_a_number(monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
    """Let the norm of the gradient be NaN in some of the steps."""
    clip, seen = torch.nn.utils.clip_grad_norm_, []

    def clip_or_not(parameters: Any, norm: float) -> torch.Tensor:
        seen.append(norm)
        found: torch.Tensor = clip(parameters, norm)
        return torch.tensor(math.nan) if not calls or len(seen) in calls else found

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip_or_not)


def test_a_gradient_that_is_not_finite_names_the_batch_and_keeps_the_state_before_it(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        not_a_number(patch, 7)
        with pytest.raises(AsrError, match=r"the gradient is not finite for train-\d+, train-\d+"):
            loop.train(micro, folder, CPU)
    assert steps_of(folder)[0] == 6
    run_training(TrainingOptions(folder, resume=True))  # this time it is finite
    assert_same_run(folder, whole)


def test_a_skipped_batch_is_counted_and_named_and_skipped_again_on_resuming(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = optim(edited(micro, tmp_path, liar(3)), non_finite="skip", save_minutes=0.0)
    with caplog.at_level(logging.INFO):
        loop.train(config, tmp_path / "whole", CPU)
    assert (
        len(re.findall(r"batch \d of epoch \d skipped: the loss .* train-003\n", caplog.text)) == 3
    )
    assert caplog.text.count(", 1 batches skipped") == 3
    metrics = history_of(tmp_path / "whole")
    assert [m["skipped"] for m in metrics] == [1, 1, 1]
    assert all(math.isfinite(value) for m in metrics for value in m.values())
    for step in (3, 6, 10):
        folder = tmp_path / f"run{step}"
        with monkeypatch.context() as patch:
            after_step(patch, step, kill)
            with pytest.raises(Killed):
                loop.train(config, folder, CPU)
        loop.train(config, folder, CPU, resume=True)
        assert_same_run(folder, tmp_path / "whole")


def test_a_skipped_batch_leaves_the_weights_as_they_were(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = optim(micro, non_finite="skip", epochs=1, save_minutes=0.0, keep_states=9)
    with monkeypatch.context() as patch:
        not_a_number(patch, 3)
        loop.train(config, tmp_path / "run", CPU)
    states = tmp_path / "run" / STATES
    before, after = (read_state(states / f"step-{step:09d}.pt") for step in (2, 3))
    assert same(before["model"], after["model"])
    assert same(before["optimizer"]["state"], after["optimizer"]["state"])


def test_when_all_batches_are_skipped_the_run_says_so_and_can_take_the_epoch_again(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        not_a_number(patch)
        with pytest.raises(AsrError, match="epoch 1: all 4 batches were skipped") as error:
            loop.train(optim(micro, non_finite="skip"), folder, CPU)
    assert "optim.peak_rate" in str(error.value)
    run_training(TrainingOptions(folder, resume=True))
    seconds = [[m["audio_seconds"] for m in history_of(run)] for run in (folder, whole)]
    assert seconds[0] == seconds[1]


# --- Sizes


def test_a_corpus_smaller_than_a_batch_is_one_step_an_epoch(
    micro: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        loop.train(optim(micro, batch_seconds=500.0, epochs=2), tmp_path / "run", CPU)
    assert "all training data fits one batch of 500 s: an epoch is one step" in caplog.text
    assert [metrics["step"] for metrics in history_of(tmp_path / "run")] == [1, 2]


@pytest.mark.parametrize(("seconds", "alone"), [(2.5, 2), (0.01, 12)])
def test_utterances_longer_than_a_batch_get_their_own_and_a_warning(
    micro: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: float, alone: int
) -> None:
    with caplog.at_level(logging.WARNING):
        loop.train(optim(micro, batch_seconds=seconds, epochs=1), tmp_path / "run", CPU)
    warning = f"{alone} utterances are longer than optim.batch_seconds={seconds:g}: each is"
    assert warning in caplog.text
    (metrics,) = history_of(tmp_path / "run")
    assert metrics["audio_seconds"] == pytest.approx(sum_of_seconds(micro), rel=0.1)


def sum_of_seconds(config: Config) -> float:
    return float(Corpus.open(config.data.train).durations.sum())


# --- float16 with its scale


def test_float16_trains_and_resumes_to_the_last_bit(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = optim(micro, precision="float16", save_minutes=0.0)
    loop.train(config, tmp_path / "whole", CPU)
    expected = state_of(tmp_path / "whole")
    # The first scale of 65,536 is more than float16 holds: it is halved until nothing overflows.
    assert 0 < expected["scaler"]["scale"] < 65_536
    assert all(math.isfinite(m["train_loss"]) for m in history_of(tmp_path / "whole"))
    folder = tmp_path / "run"
    for step in (2, 7):
        with monkeypatch.context() as patch:
            after_step(patch, step, kill)
            with pytest.raises(Killed):
                loop.train(config, folder, CPU, resume=step > 2)
    loop.train(config, folder, CPU, resume=True)
    assert_same_run(folder, tmp_path / "whole")
