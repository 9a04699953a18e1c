"""Training: what it learns, what it leaves behind, and how it survives interruption."""

import dataclasses
import json
import logging
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.checkpoint.bundle import load_bundle
from asr.config import to_dict
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, CheckpointError, ConfigError
from asr.files import write_json_atomic
from asr.model.acoustic import EncoderConfig
from asr.model.loss import consistency_loss
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, loop, selection, setup
from asr.training.curves import draw_curves
from asr.training.run import main, run_training
from asr.training.schedule import learning_rate
from asr.training.setup import Run
from asr.training.state import STATE_FILE, Progress, average_weights
from recipes.tones.prepare import prepare
from tests.support import REPOSITORY, Command

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen utterances of tones."""
    folder = tmp_path_factory.mktemp("corpus")
    prepare(folder, seed=0, counts={"train": 12, "dev": 3})
    return folder


@pytest.fixture(scope="module")
def config(corpus: Path) -> Config:
    """A model as small as can be, with every source of randomness switched on."""
    return Config(
        name="micro",
        data=DataConfig(train=(str(corpus / "train.jsonl"),), dev=str(corpus / "dev.jsonl")),
        features=FeatureConfig(sample_rate=8000, num_mels=16, high_hz=3800.0),
        augment=AugmentConfig(speeds=(0.95, 1.0, 1.05), gain_db=6.0, noise_chance=0.5),
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


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in another order would differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture an epoch would take most of the time."""
    monkeypatch.setattr(loop, "draw_curves", lambda history, path: None)


def optim(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, optim=dataclasses.replace(config.optim, **changes))


def edited(
    config: Config, folder: Path, change: Callable[[list[dict[str, Any]]], object], split: str
) -> Config:
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


# --- The same run, whole or in pieces


class Killed(BaseException):
    """An end that the program cannot catch."""


def after_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    step = loop.train_step

    def watched(run: Run, progress: Progress, *rest: Any) -> None:
        step(run, progress, *rest)
        if progress.step == number:
            act()

    monkeypatch.setattr(loop, "train_step", watched)


def kill() -> None:
    raise Killed


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def state_of(folder: Path) -> dict[str, Any]:
    """All that a run would go on from, but for the times that it took."""
    state: dict[str, Any] = torch.load(folder / STATE_FILE, weights_only=True)
    for metrics in state["progress"]["history"]:
        del metrics["train_seconds"], metrics["dev_seconds"]
    state["progress"]["totals"].pop("seconds", None)
    return state


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, tensors within containers included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_curves", lambda history, path: None)
        loop.train(config, folder, CPU)
    return folder


def assert_same_run(folder: Path, whole: Path) -> None:
    assert same(state_of(folder), state_of(whole))
    found, expected = load_bundle(folder / "checkpoint"), load_bundle(whole / "checkpoint")
    assert same(found.weights, expected.weights)
    assert same(found.metrics["dev"], expected.metrics["dev"])
    assert found.metrics["weights"] == expected.metrics["weights"]


def test_an_epoch_has_four_steps(whole: Path) -> None:
    assert state_of(whole)["progress"]["step"] == 12


def test_the_same_seed_gives_the_same_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(config, tmp_path / "again", CPU)
    assert_same_run(tmp_path / "again", whole)


def test_another_seed_gives_other_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(dataclasses.replace(config, seed=1), epochs=1), tmp_path / "other", CPU)
    assert not same(state_of(tmp_path / "other")["model"], state_of(whole)["model"])


def test_background_workers_change_nothing(config: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(config, workers=1), tmp_path / "workers", CPU)
    assert_same_run(tmp_path / "workers", whole)


@pytest.mark.parametrize("step", [1, 4, 6])
@pytest.mark.parametrize("act", [press_ctrl_c, kill])
def test_a_resumed_run_is_the_run(
    config: Config,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    act: Callable[[], None],
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, step, act)
        with pytest.raises(loop.Interrupted if act is press_ctrl_c else Killed):
            loop.train(config, folder, CPU)
    if act is press_ctrl_c:
        assert state_of(folder)["progress"]["step"] == step
        loop.train(config, folder, CPU, resume=True)
    elif (folder / STATE_FILE).exists():
        loop.train(config, folder, CPU, resume=True)
    else:  # killed in the first epoch: there is nothing to go on from
        loop.train(config, folder, CPU)
    assert_same_run(folder, whole)


def test_a_run_may_be_interrupted_again_and_again(
    config: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    for step in (1, 2, 5):
        with monkeypatch.context() as patch:
            after_step(patch, step, press_ctrl_c)
            with pytest.raises(loop.Interrupted):
                loop.train(config, folder, CPU, resume=step > 1)
    loop.train(config, folder, CPU, resume=True)
    assert_same_run(folder, whole)


@pytest.mark.parametrize(
    "writer", ["keep_best_weights", "save_state", "drop_other_weights", "finish"]
)
def test_a_kill_while_an_epoch_is_saved_loses_nothing(
    config: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    folder = tmp_path / "run"
    calls = 0
    write = getattr(loop, writer)

    def cut_short(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        write(*arguments, **named)
        if calls == 2 or writer == "finish":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, writer, cut_short)
        with pytest.raises(Killed):
            loop.train(config, folder, CPU)
    loop.train(config, folder, CPU, resume=True)
    assert_same_run(folder, whole)


def test_resuming_a_finished_run_writes_its_checkpoint_again(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "checkpoint")
    assert run_training(folder, resume=True) == folder / "checkpoint"
    assert_same_run(folder, whole)


DRIVER = """
import os, signal, sys
from asr.training import loop
from asr.cli.main import main
loop.draw_curves = lambda history, path: None
step = loop.train_step
def watched(run, progress, *rest):
    step(run, progress, *rest)
    if progress.step == 6:
        print("ready", flush=True)
        sys.stdin.readline()
loop.train_step = watched
sys.argv = ["asr", "train", *sys.argv[1:]]
main()
"""


def stopped_process(
    config: Config, folder: Path, number: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """`asr train` in a process of its own whose group gets a signal after its sixth step."""
    settings = folder.parent / "settings.json"
    write_json_atomic(settings, to_dict(config))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", DRIVER, "--config", str(settings)),
            *("--output_dir", str(folder), "--threads", "1"),
        ],
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


def test_ctrl_c_saves_the_state_and_exits_with_130(
    config: Config, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = stopped_process(optim(config, workers=1), folder, signal.SIGINT)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert done.stderr.count("stopping after this step") == 1
    assert done.stderr.rstrip().endswith("stopped in epoch 2; --resume goes on from there")
    assert state_of(folder)["progress"]["step"] == 6
    run_training(folder, resume=True)
    assert_same_run(folder, whole)


def test_a_killed_process_is_resumed_from_its_last_epoch(
    config: Config, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert stopped_process(config, folder, signal.SIGKILL).returncode == -signal.SIGKILL
    assert state_of(folder)["progress"]["epoch"] == 1
    run_training(folder, resume=True)
    assert_same_run(folder, whole)


def test_a_second_ctrl_c_stops_at_once() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with loop.stop_signal() as received:
        press_ctrl_c()
        assert received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is handler


# --- States that cannot be resumed


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:100] = b"\xff" * 100
    path.write_bytes(content)


class Code:
    def __reduce__(self) -> Any:
        return (Path("pwned").touch, ())


def code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(), protocol=2))


def of_another_program(path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, path)


@pytest.mark.parametrize("damage", [torn, emptied, flipped, code, of_another_program])
def test_a_damaged_state_is_refused(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    damage(folder / STATE_FILE)
    with pytest.raises(CheckpointError, match=r"state\.pt: cannot resume from this state") as error:
        run_training(folder, resume=True)
    assert "start anew in another folder" in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("pwned").exists()


def test_resuming_with_another_model_is_refused_and_harms_nothing(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with pytest.raises(CheckpointError, match="was the run started with the same settings"):
        run_training(folder, settings=["encoder.hidden=12"], resume=True)
    run_training(folder, resume=True)
    assert_same_run(folder, whole)


# --- What a run leaves behind


def test_a_run_leaves_scalars_and_the_best_weights(
    config: Config, whole: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3]
    for metrics in history:
        assert all(math.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["blank_rate"] <= 1
    assert len(list((whole / "weights").glob("epoch-*.safetensors"))) == config.optim.average
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"step/loss", "step/learning_rate", "epoch/dev_wer", "epoch/blank_rate"} <= {*scalars}
    losses = [event.value for event in events.Scalars("epoch/dev_loss")]
    assert losses == pytest.approx([metrics["dev_loss"] for metrics in history])
    transcripts = (whole / "dev_transcripts.txt").read_text()
    assert all(f"reference  {u.text}" in transcripts for u in read_manifest(config.data.dev))


def test_the_checkpoint_tells_how_it_was_made(config: Config, whole: Path) -> None:
    bundle = load_bundle(whole / "checkpoint")
    assert (bundle.config["recipe"], bundle.config["seed"]) == ("micro", 0)
    assert bundle.config["encoder"] == to_dict(config.encoder)
    assert bundle.config["training"]["manifest_sha256"].keys() == {
        *config.data.train,
        config.data.dev,
    }
    assert bundle.metrics["epochs"] == 3
    assert bundle.metrics["dev"].keys() == {"loss", "wer", "cer"}


def test_curves_are_drawn(tmp_path: Path) -> None:
    metrics = {"epoch": 1, "train_loss": 3.0, "dev_loss": 0.0, "dev_wer": 1.2, "dev_cer": 0.5}
    draw_curves([metrics, metrics | {"epoch": 2}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_every_precision_learns(config: Config, tmp_path: Path, precision: str) -> None:
    checkpoint = loop.train(optim(config, precision=precision, epochs=1), tmp_path / "run", CPU)
    assert load_bundle(checkpoint).metrics["dev"]["loss"] < math.inf


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_every_cell_learns(config: Config, tmp_path: Path, cell: Any) -> None:
    encoder = dataclasses.replace(config.encoder, cell=cell, norm="batch")
    smaller = optim(dataclasses.replace(config, encoder=encoder), epochs=1)
    checkpoint = loop.train(smaller, tmp_path / "run", CPU)
    assert load_bundle(checkpoint).config["encoder"]["cell"] == cell


def test_consistency_of_two_views_is_learnt(config: Config, tmp_path: Path) -> None:
    loop.train(optim(config, consistency=0.2, epochs=1), tmp_path / "run", CPU)
    history = state_of(tmp_path / "run")["progress"]["history"]
    assert math.isfinite(history[0]["train_loss"])


def test_identical_views_agree() -> None:
    logits = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat([logits, logits]).requires_grad_()
    lengths = torch.tensor([7, 4, 7, 4])
    loss = consistency_loss(doubled.log_softmax(dim=2), lengths)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert doubled.grad is not None
    assert doubled.grad.abs().max() < 1e-6


def test_views_disagree_by_the_divergence_of_real_frames() -> None:
    first = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    second = torch.tensor([[[0.25, 0.75], [0.1, 0.9]]]).log()
    one_frame = consistency_loss(torch.cat([first, second]), torch.tensor([1, 1]))
    forth = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    back = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert one_frame.item() == pytest.approx((forth + back) / 2)
    assert consistency_loss(torch.cat([second, first]), torch.tensor([1, 1])) == one_frame


# --- Its parts


@given(
    total=st.integers(1, 500),
    warmup=st.integers(0, 100),
    peak=st.floats(1e-5, 1.0),
)
def test_the_rate_rises_to_its_peak_and_falls(total: int, warmup: int, peak: float) -> None:
    rates = [learning_rate(step, total + warmup, warmup, peak) for step in range(total + warmup)]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(peak)
    assert not rising or rising[-1] == pytest.approx(peak)
    beyond = learning_rate(10 * (total + warmup), total + warmup, warmup, peak)
    assert beyond == pytest.approx(0.01 * peak)


def test_the_mean_of_weights() -> None:
    states = [
        {"w": torch.tensor([1.0, 4.0]), "count": torch.tensor(3)},
        {"w": torch.tensor([3.0, 8.0]), "count": torch.tensor(5)},
    ]
    mean = average_weights(states)
    assert mean["w"].tolist() == [2.0, 6.0]
    assert mean["count"].item() == 3
    assert same(average_weights(states[:1]), states[0])


def test_blanks_are_counted_on_real_frames() -> None:
    best = torch.tensor([[0, 1, 0, 0], [2, 0, 0, 0]])
    log_probs = torch.nn.functional.one_hot(best, 3).float().log_softmax(dim=2)
    assert loop.count_blanks(log_probs, torch.tensor([4, 2])) == 3 + 1
    assert loop.count_blanks(log_probs, torch.tensor([2, 1])) == 1


def test_the_best_epochs_are_those_of_fewest_errors() -> None:
    figures = [(0.5, 0.3), (0.4, 0.2), (0.3, 0.1), (0.6, 0.4), (0.3, 0.1)]
    history = [
        {"epoch": float(i), "dev_wer": wer, "dev_cer": cer}
        for i, (cer, wer) in enumerate(figures, start=1)
    ]
    progress = Progress(epoch=5, history=history)
    assert selection.best_epochs(progress, 3) == [5, 3, 2]
    assert selection.best_epochs(progress, 9) == [5, 3, 2, 1, 4]


def scripted_validation(monkeypatch: pytest.MonkeyPatch, rates: list[float]) -> None:
    remaining = iter(rates)

    def validate(run: Run) -> dict[str, float]:
        return {"dev_loss": 1.0, "dev_wer": 0.5, "dev_cer": next(remaining, 1.0)}

    monkeypatch.setattr(loop, "validate", validate)
    monkeypatch.setattr(selection, "validate", validate)


@pytest.mark.parametrize(
    ("rates", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.6, 0.6, 0.3], 2, 4),
        ([0.5, 0.4, 0.6, 0.3, 0.6], 2, 6),
        ([0.5, 0.6, 0.6, 0.6, 0.6], 0, 7),
    ],
)
def test_a_run_stops_when_it_gets_no_better(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rates: list[float],
    patience: int,
    epochs: int,
) -> None:
    scripted_validation(monkeypatch, rates)
    monkeypatch.setattr(loop, "train_step", skipped_step)
    folder = tmp_path / "run"
    loop.train(optim(config, epochs=7, patience=patience, average=1), folder, CPU)
    assert state_of(folder)["progress"]["epoch"] == epochs
    best = 1 + rates.index(min(rates[:epochs]))
    kept = [path.name for path in (folder / "weights").iterdir()]
    assert kept == [f"epoch-{best:04d}.safetensors"]


def skipped_step(run: Run, progress: Progress, *rest: Any) -> None:
    progress.step += 1
    progress.totals.update(loss=1.0, utterances=1.0, frames=1.0, blanks=1.0)


def test_a_model_that_writes_only_blanks_is_pointed_out(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted_validation(monkeypatch, [])
    monkeypatch.setattr(loop, "train_step", skipped_step)
    with caplog.at_level(logging.WARNING):
        loop.train(optim(config, epochs=11), tmp_path / "run", CPU)
    assert caplog.text.count("almost nothing but blanks") == 1


# --- Data and settings that cannot be trained on


def test_a_loss_that_is_not_finite_names_the_utterance(config: Config, tmp_path: Path) -> None:
    def lie(entries: list[dict[str, Any]]) -> None:
        entries[3] |= {"duration": 60.0, "text": "ABCDEFGHI" * 40}

    with pytest.raises(AsrError, match=r"the loss is not finite for train-003; .*peak_rate"):
        loop.train(edited(config, tmp_path, lie, "train"), tmp_path / "run", CPU)


def test_a_gradient_that_is_not_finite_names_the_batch(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: torch.tensor(math.nan)
    )
    with pytest.raises(AsrError, match=r"not finite for train-\d+, train-\d+"):
        loop.train(config, tmp_path / "run", CPU)


def set_text(text: str) -> Callable[[list[dict[str, Any]]], object]:
    return lambda entries: entries[1].update(text=text)


BAD_DATA: dict[str, tuple[str, Callable[[list[dict[str, Any]]], object], str]] = {
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
        r"line 3: the id 'train-000' stands already on line 1",
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
    config: Config, tmp_path: Path, asr_command: Command, case: str
) -> None:
    split, change, message = BAD_DATA[case]
    data = edited(config, tmp_path, change, split).data
    write_json_atomic(tmp_path / "config.json", to_dict(config))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json"),
        *("--train", data.train[0], "--dev", data.dev),
    )
    assert re.search(message, outcome.error), outcome.error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_cannot_be_read_is_one_message(
    config: Config, tmp_path: Path, asr_command: Command, workers: int
) -> None:
    fake = tmp_path / "text.wav"
    fake.write_text("not audio " * 100)
    data = edited(config, tmp_path, lambda es: es[1].update(audio_filepath=str(fake)), "train").data
    write_json_atomic(tmp_path / "config.json", to_dict(optim(config, workers=workers)))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json"),
        *("--train", data.train[0]),
    )
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(f"error: {fake}: ")


def test_a_manifest_with_bom_crlf_and_decomposed_letters_trains(
    config: Config, tmp_path: Path
) -> None:
    changed = edited(config, tmp_path, set_text("E\u0301A"), "train")
    manifest = Path(changed.data.train[0])
    text = "\ufeff" + manifest.read_text().replace("\n", "\r\n")
    manifest.write_bytes(text.encode())
    run = setup.prepare(changed, tmp_path / "run", CPU, resume=False)
    assert "É" in run.tokens.characters
    assert "\u0301" not in run.tokens.characters


BAD_SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown key": (("--set", "encoder.hiden=3"), "unknown key 'hiden'; did you mean 'hidden'?"),
    "unknown section": (("--set", "encodr.hidden=3"), "no section 'encodr'; did you mean"),
    "no value": (("--set", "encoder.hidden"), "expected KEY=VALUE"),
    "wrong type": (("--set", "encoder.hidden=big"), "expected int, found 'big'"),
    "out of range": (("--set", "encoder.dropout=1.5"), "expected 0 to below 1, found 1.5"),
    "no epochs": (("--set", "optim.epochs=0"), "must be above 0"),
    "another choice": (("--set", "encoder.cell=lstn"), "expected one of 'lstm', 'gru', 'rnn'"),
    "unknown device": (("--device", "tpu9"), "--device tpu9: not available here"),
    "missing manifest": (("--train", "gone.jsonl"), "gone.jsonl: cannot read the manifest"),
    "nothing to resume": (("--resume",), "nothing to resume"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_are_one_message(
    config: Config, tmp_path: Path, asr_command: Command, case: str
) -> None:
    arguments, message = BAD_SETTINGS[case]
    write_json_atomic(tmp_path / "config.json", to_dict(config))
    config_file = tmp_path / "config.json"
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", config_file, *arguments)
    assert message in outcome.error


def test_data_must_be_named(tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("train", "-o", tmp_path / "run")
    assert "expected at least one --train manifest and a --dev manifest" in outcome.error


def test_manifests_may_be_set_like_any_setting(
    config: Config, tmp_path: Path, asr_command: Command
) -> None:
    train = json.dumps(list(config.data.train))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--set", f"data.train={train}"),
        *("--set", "data.dev=gone.jsonl"),
    )
    assert "gone.jsonl: cannot read the manifest" in outcome.error


@pytest.mark.parametrize("content", [None, "{", "[]", '{"sede": 1}', '{"seed": "one"}'])
def test_a_bad_settings_file_is_one_message(
    tmp_path: Path, asr_command: Command, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "settings.json").write_text(content)
    outcome = asr_command("train", "-o", tmp_path, "--config", tmp_path / "settings.json")
    assert outcome.error.startswith(str(tmp_path / "settings.json"))


def test_a_run_is_not_overwritten(config: Config, whole: Path, asr_command: Command) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*.*") if path.name != "train.log"}
    settings = whole / "config.json"
    outcome = asr_command("train", "-o", whole, "--config", settings)
    assert "a run stands here already; add --resume or name another folder" in outcome.error
    for path, content in before.items():
        if path.is_file():
            assert path.read_bytes() == content


def test_a_file_in_place_of_the_run_is_one_message(
    config: Config, tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "run").write_text("")
    write_json_atomic(tmp_path / "config.json", to_dict(config))
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json")
    assert outcome.error.startswith(str(tmp_path / "run"))


def test_a_recipe_has_the_same_flags(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["-o", str(tmp_path / "run"), "--seed", "5", "--set", "optim.epochs=1"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "--threads", "1"])
    with pytest.raises(SystemExit) as exit_:
        main(config)
    assert not exit_.value.code
    assert load_bundle(tmp_path / "run" / "checkpoint").config["seed"] == 5
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main(config)
    assert exit_.value.code == 1
    assert "error: " in capsys.readouterr().err


def test_several_manifests_are_one_training_set(config: Config, tmp_path: Path) -> None:
    utterances = read_manifest(config.data.train[0])
    for name, part in (("a", utterances[:5]), ("b", utterances[5:])):
        write_manifest(tmp_path / f"{name}.jsonl", part)
    paths = (str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    data = dataclasses.replace(config.data, train=paths)
    run = setup.prepare(dataclasses.replace(config, data=data), tmp_path / "run", CPU, False)
    assert sorted(i for batch in run.train_loader for i in batch.ids) == [u.id for u in utterances]


def test_unusable_optimiser_settings_are_refused() -> None:
    for changes in ({"epochs": 0}, {"batch_seconds": 0.0}, {"peak_rate": -1.0}, {"average": 0}):
        with pytest.raises(ConfigError):
            OptimConfig(**changes)


# --- Starting from another checkpoint


@pytest.fixture(scope="module")
def finished(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    return loop.train(optim(config, epochs=1, average=1), folder / "run", CPU)


def test_a_run_starts_from_the_weights_of_a_checkpoint(
    config: Config, finished: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, init_from=str(finished))
    run = setup.prepare(config, tmp_path / "run", CPU, resume=False)
    assert same(dict(run.model.state_dict()), load_bundle(finished).weights)


def test_with_other_tokens_the_output_layer_starts_anew(
    config: Config, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lower(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            entry["text"] = entry["text"].lower()

    for split in ("train", "dev"):
        config = edited(config, tmp_path, lower, split)
    config = dataclasses.replace(config, init_from=str(finished))
    with caplog.at_level(logging.INFO, "asr.training"):
        run = setup.prepare(config, tmp_path / "run", CPU, resume=False)
    weights, old = run.model.state_dict(), load_bundle(finished).weights
    kept = {name for name in weights if torch.equal(weights[name], old[name])}
    assert set(weights) - kept == {"output.weight", "output.bias"}
    assert "the output layer starts anew" in caplog.text


def test_a_checkpoint_of_another_shape_is_refused_by_setting(
    config: Config, finished: Path, tmp_path: Path
) -> None:
    encoder = dataclasses.replace(config.encoder, hidden=9)
    config = dataclasses.replace(config, encoder=encoder, init_from=str(finished))
    with pytest.raises(ConfigError, match=r"encoder differ from this run's in hidden"):
        setup.prepare(config, tmp_path / "run", CPU, resume=False)


def test_validating_on_what_is_trained_on_is_said(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataclasses.replace(config.data, dev=config.data.train[0])
    with caplog.at_level(logging.WARNING, "asr.training"):
        setup.prepare(dataclasses.replace(config, data=data), tmp_path / "run", CPU, resume=False)
    assert "12 of the 12 validation recordings are also trained on" in caplog.text
