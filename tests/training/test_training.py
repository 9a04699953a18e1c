"""Training: what it learns, what it leaves behind, what it refuses."""

import dataclasses
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import asr
from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import to_dict
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError
from asr.files import write_json_atomic
from asr.model.loss import consistency_loss, ctc_loss
from asr.training import Config, DataConfig, OptimConfig, loop, run, selection, setup
from asr.training.curves import draw_curves
from asr.training.distributed import Group
from asr.training.objective import outcome
from asr.training.run import log_file, main, train_unless_finished
from asr.training.schedule import learning_rate
from asr.training.setup import Run
from asr.training.state import Progress
from tests.support import Command
from tests.training_support import (
    CPU,
    STEPS,
    Change,
    after_step,
    assert_same_run,
    early,
    edited,
    optim,
    press_ctrl_c,
    same,
    state_of,
    without_dropout,
)

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


# --- The same run, however it is made


def test_an_epoch_has_four_steps(whole: Path) -> None:
    assert state_of(whole)["progress"]["step"] == STEPS


def test_the_same_seed_gives_the_same_weights(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(micro, tmp_path / "again", CPU)
    assert_same_run(tmp_path / "again", whole)


def test_another_seed_gives_other_weights(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(dataclasses.replace(micro, seed=1), epochs=1), tmp_path / "other", CPU)
    assert not same(state_of(tmp_path / "other")["model"], state_of(whole)["model"])


def test_background_workers_change_nothing(micro: Config, whole: Path, tmp_path: Path) -> None:
    loop.train(optim(micro, workers=1), tmp_path / "workers", CPU)
    assert_same_run(tmp_path / "workers", whole)


# --- What a run leaves behind


def test_a_run_leaves_scalars_and_the_best_weights(
    micro: Config, whole: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [metrics["epoch"] for metrics in history] == [1, 2, 3]
    for metrics in history:
        assert all(math.isfinite(value) for value in metrics.values())
        assert 0 <= metrics["blank_rate"] <= 1
    assert len(list((whole / "weights").glob("epoch-*.safetensors"))) == micro.optim.average
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"step/loss", "step/learning_rate", "epoch/dev_wer", "epoch/blank_rate"} <= {*scalars}
    losses = [event.value for event in events.Scalars("epoch/dev_loss")]
    assert losses == pytest.approx([metrics["dev_loss"] for metrics in history])
    transcripts = (whole / "dev_transcripts.txt").read_text()
    assert all(f"reference  {u.text}" in transcripts for u in read_manifest(micro.data.dev))


def test_the_checkpoint_tells_how_it_was_made(micro: Config, whole: Path) -> None:
    bundle = load_checkpoint(whole / "checkpoint")
    assert (bundle.config["recipe"], bundle.config["seed"]) == ("micro", 0)
    assert bundle.config["encoder"] == to_dict(micro.encoder)
    assert bundle.config["training"]["manifest_sha256"].keys() == {
        *micro.data.train,
        micro.data.dev,
    }
    assert bundle.metrics["epochs"] == 3
    assert bundle.metrics["dev"].keys() == {"loss", "wer", "cer"}


def test_curves_are_drawn(tmp_path: Path) -> None:
    metrics = {"epoch": 1, "train_loss": 3.0, "dev_loss": 0.0, "dev_wer": 1.2, "dev_cer": 0.5}
    draw_curves([metrics, metrics | {"epoch": 2}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_every_precision_learns(micro: Config, tmp_path: Path, precision: str) -> None:
    checkpoint = loop.train(optim(micro, precision=precision, epochs=1), tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).metrics["dev"]["loss"] < math.inf


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_every_cell_learns(micro: Config, tmp_path: Path, cell: Any) -> None:
    encoder = dataclasses.replace(micro.encoder, cell=cell, norm="batch")
    smaller = optim(dataclasses.replace(micro, encoder=encoder), epochs=1)
    checkpoint = loop.train(smaller, tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).config["encoder"]["cell"] == cell


def test_consistency_of_two_views_is_learnt(micro: Config, tmp_path: Path) -> None:
    loop.train(optim(micro, consistency=0.2, epochs=1), tmp_path / "run", CPU)
    history = state_of(tmp_path / "run")["progress"]["history"]
    assert math.isfinite(history[0]["train_loss"])


def test_early_predictions_have_their_share_of_the_cost(micro: Config, tmp_path: Path) -> None:
    config = optim(early(without_dropout(micro)), consistency=0.2, early_weight=0.25)
    run, _ = setup.prepare(config, tmp_path / "run", CPU, Group(), resume=False)
    batch = next(iter(run.train_loader))

    def price(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
        return losses.mean() + 0.2 * consistency_loss(log_probs, lengths).mean()

    (first, last), lengths = run.model.predictions(batch.features, batch.feature_lengths)
    found = outcome(config, run.network, batch)
    expected = 0.25 * price(first, lengths) + 0.75 * price(last, lengths)
    torch.testing.assert_close(found.cost, expected)
    torch.testing.assert_close(found.log_probs, last)
    assert len(found.losses) == len(batch.ids) == len(found.lengths)


def test_early_predictions_are_learnt_and_kept(micro: Config, tmp_path: Path) -> None:
    checkpoint = loop.train(optim(early(micro), epochs=1), tmp_path / "run", CPU)
    assert load_checkpoint(checkpoint).config["encoder"]["early_predictions"] == [1]
    samples = torch.randn(8000, generator=torch.Generator().manual_seed(0)).numpy()
    assert isinstance(asr.load(checkpoint).transcribe(samples, sample_rate=8000).text, str)


@pytest.mark.parametrize("weight", [-0.1, 1.0])
def test_an_impossible_share_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"early_weight: expected 0 to below 1"):
        OptimConfig(early_weight=weight)


def test_one_of_several_runs_is_begun_or_gone_on_with_or_left_as_it_is(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 5, press_ctrl_c)
        with pytest.raises(SystemExit):
            train_unless_finished(folder, micro)
    assert train_unless_finished(folder, micro) == folder / "checkpoint"
    assert_same_run(folder, whole)
    monkeypatch.setattr(run, "train", None)  # to call it would be an error
    assert train_unless_finished(folder, micro) == folder / "checkpoint"


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
    epochs=st.integers(1, 20),
    warmup=st.floats(0, 10),
    peak=st.floats(1e-5, 1.0),
    steps=st.integers(1, 9),
)
def test_the_rate_rises_to_its_peak_and_falls(
    epochs: int, warmup: float, peak: float, steps: int
) -> None:
    positions = [(step + 1) / steps for step in range(epochs * steps)]
    rates = [learning_rate(position, epochs, warmup, peak) for position in positions]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    rising = [rate for rate, x in zip(rates, positions, strict=True) if x < warmup]
    falling = rates[len(rising) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert learning_rate(warmup, epochs + warmup, warmup, peak) == pytest.approx(peak)
    assert learning_rate(10.0 * epochs + warmup, epochs, warmup, peak) == pytest.approx(0.01 * peak)


def test_the_rate_at_chosen_places() -> None:
    rates = [learning_rate(position, 10, 2, 1.0) for position in (0.5, 1.0, 2.0, 6.0, 10.0)]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 0.01 + 0.99 / 2, 0.01])


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
    config = Config()
    assert selection.best_epochs(config, progress, 3) == [5, 3, 2]
    assert selection.best_epochs(config, progress, 9) == [5, 3, 2, 1, 4]
    coarse = optim(config, coarse_epochs=3)
    assert selection.best_epochs(coarse, progress, 9) == [5, 4]
    progress.history = history[:3]
    assert selection.best_epochs(coarse, progress, 2) == [3, 2]


def scripted_validation(monkeypatch: pytest.MonkeyPatch, rates: list[float]) -> None:
    remaining = iter(rates)

    def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
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
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rates: list[float],
    patience: int,
    epochs: int,
) -> None:
    scripted_validation(monkeypatch, rates)
    monkeypatch.setattr(loop, "train_step", skipped_step)
    folder = tmp_path / "run"
    loop.train(optim(micro, epochs=7, patience=patience, average=1), folder, CPU)
    assert state_of(folder)["progress"]["epoch"] == epochs
    best = 1 + rates.index(min(rates[:epochs]))
    kept = [path.name for path in (folder / "weights").iterdir()]
    assert kept == [f"epoch-{best:04d}.safetensors"]


def skipped_step(run: Run, progress: Progress, *rest: Any) -> bool:
    progress.step += 1
    progress.batch += 1
    sums = dict.fromkeys(loop.SUMS, 1.0)
    progress.totals.update(sums)
    return False


def test_a_model_that_writes_only_blanks_is_pointed_out(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted_validation(monkeypatch, [])
    monkeypatch.setattr(loop, "train_step", skipped_step)
    with caplog.at_level(logging.WARNING):
        loop.train(optim(micro, epochs=11), tmp_path / "run", CPU)
    assert caplog.text.count("almost nothing but blanks") == 1


# --- Data and settings


def set_text(text: str) -> Change:
    return lambda entries: entries[1].update(text=text)


def test_a_manifest_with_bom_crlf_and_decomposed_letters_trains(
    micro: Config, tmp_path: Path
) -> None:
    changed = edited(micro, tmp_path, set_text("E\u0301A"), "train")
    manifest = Path(changed.data.train[0])
    text = "\ufeff" + manifest.read_text().replace("\n", "\r\n")
    manifest.write_bytes(text.encode())
    run, _ = setup.prepare(changed, tmp_path / "run", CPU, Group(), resume=False)
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
    micro: Config, tmp_path: Path, asr_command: Command, case: str
) -> None:
    arguments, message = BAD_SETTINGS[case]
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    config_file = tmp_path / "config.json"
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", config_file, *arguments)
    assert message in outcome.error


def test_data_must_be_named(tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("train", "-o", tmp_path / "run")
    assert "expected at least one --train manifest and a --dev manifest" in outcome.error


def test_manifests_may_be_set_like_any_setting(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    train = json.dumps(list(micro.data.train))
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


def test_a_run_is_not_overwritten(micro: Config, whole: Path, asr_command: Command) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*.*") if path.name != "train.log"}
    settings = whole / "config.json"
    outcome = asr_command("train", "-o", whole, "--config", settings)
    assert "a run stands here already; add --resume or name another folder" in outcome.error
    for path, content in before.items():
        if path.is_file():
            assert path.read_bytes() == content


def test_a_file_in_place_of_the_run_is_one_message(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "run").write_text("")
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json")
    assert outcome.error.startswith(str(tmp_path / "run"))


def test_a_recipe_has_the_same_flags(
    micro: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["-o", str(tmp_path / "run"), "--seed", "5", "--set", "optim.epochs=1"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "--threads", "1"])
    with pytest.raises(SystemExit) as exit_:
        main(micro)
    assert not exit_.value.code
    assert load_checkpoint(tmp_path / "run" / "checkpoint").config["seed"] == 5
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main(micro)
    assert exit_.value.code == 1
    assert "error: " in capsys.readouterr().err


def test_several_manifests_are_one_training_set(micro: Config, tmp_path: Path) -> None:
    utterances = read_manifest(micro.data.train[0])
    for name, part in (("a", utterances[:5]), ("b", utterances[5:])):
        write_manifest(tmp_path / f"{name}.jsonl", part)
    paths = (str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    data = dataclasses.replace(micro.data, train=paths)
    run, _ = setup.prepare(
        dataclasses.replace(micro, data=data), tmp_path / "run", CPU, Group(), False
    )
    assert sorted(i for batch in run.train_loader for i in batch.ids) == [u.id for u in utterances]


def test_unusable_settings_are_refused() -> None:
    for changes in (
        *({"epochs": 0}, {"batch_seconds": 0.0}, {"peak_rate": -1.0}, {"average": 0}),
        *({"workers": -1}, {"save_minutes": -0.5}, {"keep_states": 0}),
    ):
        with pytest.raises(ConfigError, match=rf"optim: .*{next(iter(changes))}"):
            OptimConfig(**changes)
    with pytest.raises(ConfigError, match=r"data\.shard_window: expected at least 1, found 0"):
        DataConfig(shard_window=0)


def test_only_the_first_process_keeps_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setattr(logging.getLogger("asr"), "level", logging.NOTSET)
        with log_file(tmp_path / rank):
            logging.getLogger("asr.training").error("heard")
    assert "heard" in (tmp_path / "0" / "train.log").read_text()
    assert not (tmp_path / "1").exists()
