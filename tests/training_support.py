"""What the tests of training share: a tiny run, ways to interrupt it, and its state to compare."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ScalarEvent
from torch import Tensor

from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import to_dict
from asr.files import write_json_atomic
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, loop
from asr.training.run import Progress, Run
from asr.training.run_log import record_start
from asr.training.state import load_state, state_files
from recipes.tones.prepare import prepare
from tests.support import REPOSITORY

CPU = torch.device("cpu")
STEPS = 12
"""Steps of a run of `micro`: three epochs of four batches."""

Change = Callable[[list[dict[str, Any]]], object]
"""Alters the entries of a manifest."""


def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the curves after each epoch would take most of the time."""
    monkeypatch.setattr(loop, "draw_curves", lambda history, path: None)


def micro_config(corpus: Path) -> Config:
    """A tiny model on a dozen utterances of tones, with every source of randomness switched on."""
    prepare(corpus, seed=0, counts={"train": 12, "dev": 3})
    return Config(
        name="micro",
        data=DataConfig(train=(str(corpus / "train.jsonl"),), dev=str(corpus / "dev.jsonl")),
        features=FeatureConfig(sample_rate=8000, num_mels=16, high_hz=3800.0),
        augment=AugmentConfig(
            speeds=(0.95, 1.0, 1.05), gain_db=6.0, noise_chance=0.5, right_context_seconds=0.3
        ),
        encoder=EncoderConfig(
            layers=1, hidden=8, projection=8, convolution_channels=2, dropout=0.2
        ),
        optim=OptimConfig(
            epochs=3,
            batch_seconds=7.0,  # four batches an epoch
            warmup_epochs=1.0,
            average=2,
            precision="float32",
            workers=0,
        ),
    )


def optim(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, optim=dataclasses.replace(config.optim, **changes))


def without_dropout(config: Config) -> Config:
    return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, dropout=0.0))


def early(config: Config) -> Config:
    """With a second layer, which receives the early prediction of the first."""
    encoder = dataclasses.replace(config.encoder, layers=2, early_predictions=(1,))
    return dataclasses.replace(config, encoder=encoder)


def edited(config: Config, folder: Path, change: Change, split: str = "train") -> Config:
    """The configuration with one manifest's entries changed, in a copy beside its recordings."""
    source = Path(config.data.train[0] if split == "train" else config.data.dev)
    entries = [json.loads(line) for line in source.read_text().splitlines()]
    for entry in entries:
        entry["audio_filepath"] = str(source.parent / entry["audio_filepath"])
    change(entries)
    manifest = folder / f"{split}.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    paths = {"train": (str(manifest),)} if split == "train" else {"dev": str(manifest)}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **paths))


def liar(place: int) -> Change:
    """State an utterance longer than it is, by less than is refused, with a text of that length."""

    def change(entries: list[dict[str, Any]]) -> None:
        duration = entries[place]["duration"] + 0.45
        entries[place].update(duration=duration, text=("ABCDEFGHI" * 40)[: int(duration * 23.5)])

    return change


# --- Interruptions


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def kill() -> None:
    raise Killed


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def after_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Do something when a step is done; a stop requested this way takes effect after the next."""
    step = loop.train_step

    def watched(run: Run, progress: Progress, *rest: Any) -> bool:
        stop = step(run, progress, *rest)
        if progress.step == number:
            act()
        return stop

    monkeypatch.setattr(loop, "train_step", watched)


def assert_resumes(config: Config, folder: Path, step: int) -> None:
    """Assert that a run killed after a step goes on to what one that is not killed comes to."""
    config = optim(config, save_minutes=0.0)
    loop.train(config, folder / "whole", CPU)
    with pytest.MonkeyPatch.context() as patch:
        after_step(patch, step, kill)
        with pytest.raises(Killed):
            loop.train(config, folder / "run", CPU)
    loop.train(config, folder / "run", CPU, resume=True)
    assert_same_run(folder / "run", folder / "whole")


DRIVER = """
import sys
from asr.training import loop
from asr.cli.main import main
loop.draw_curves = lambda history, path: None
step = loop.train_step
def watched(run, progress, *rest):
    stop = step(run, progress, *rest)
    if progress.step == 6:
        print("ready", flush=True)
        sys.stdin.readline()
    return stop
loop.train_step = watched
sys.argv = ["asr", "train", *sys.argv[1:]]
main()
"""


def train_arguments(config: Config, folder: Path) -> list[str]:
    """The arguments of `asr train` for a run with these settings."""
    settings = folder.with_suffix(".json")
    write_json_atomic(settings, to_dict(config))
    return ["--config", str(settings), "--output_dir", str(folder), "--threads", "1"]


def stopped_process(
    config: Config, folder: Path, number: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """Run `asr train` in a process whose process group gets a signal after its sixth step."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *train_arguments(config, folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as in a terminal, the signal goes to the whole group
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)
    output, errors = process.communicate("\n", timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


# --- States


def state_of(folder: Path) -> dict[str, Any]:
    """The newest state of a run, without the times that it took."""
    state = load_state(folder)
    for metrics in state["progress"]["history"]:
        del metrics["train_seconds"], metrics["dev_seconds"]
    state["progress"]["totals"].pop("seconds", None)
    return state


def steps_of(folder: Path) -> list[int]:
    """The steps of the saved states, newest first."""
    return [int(path.stem.removeprefix("step-")) for path in state_files(folder)]


def same(one: Any, other: Any) -> bool:
    """Whether two values are bit-identical, tensors in containers included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def outcome_of(folder: Path) -> dict[str, Any]:
    """Everything that a finished run has learnt: its state, weights and metrics."""
    state, bundle = state_of(folder), load_checkpoint(folder / "checkpoint")
    del state["config"]  # how often it was saved may differ
    chosen = {"chosen": bundle.metrics["weights"], "dev": bundle.metrics["dev"]}
    return {**state, "checkpoint": bundle.weights, **chosen}


def assert_same_run(folder: Path, whole: Path) -> None:
    """Assert that what two finished runs have learnt is bit-identical."""
    found, expected = outcome_of(folder), outcome_of(whole)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert same(found[name], value), name


def history_of(folder: Path) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scalars(folder: Path, name: str) -> list[ScalarEvent]:
    """The TensorBoard scalars of a run under that name.

    TensorBoard reads the files of a run in the order of their names: the second of the start, the
    process, and a count without leading zeros. Only a test starts ten runs in a second, whose tenth
    file would then be read before the ninth.
    """
    for path in list((folder / "tensorboard").iterdir()):
        start, count = path.name.rsplit(".", 1)
        path.rename(path.with_name(f"{start}.{int(count):06}"))
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    found: list[ScalarEvent] = events.Scalars(name)
    return found


# --- Folders of runs


def note_start(folder: Path, resumed_step: int | None = None) -> None:
    """Write a line of starts.jsonl."""
    record_start(folder, Config(name="tiny"), {"train.jsonl": "ab12"}, CPU, 2, resumed_step)


def metrics(epoch: int, cer: float, wer: float = 0.5, **more: float) -> dict[str, float]:
    return {
        "epoch": epoch,
        "train_loss": 9.0,
        "dev_loss": 8.0,
        "dev_wer": wer,
        "dev_cer": cer,
    } | more


def write_run(folder: Path, *history: dict[str, float], config: Config = Config()) -> Path:  # noqa: B008
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomic(folder / "config.json", to_dict(config))
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    (folder / "metrics.jsonl").write_text(lines)
    return folder


# --- Damage


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
