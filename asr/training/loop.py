"""The training run, read from top to bottom: prepare, epochs, average, save.

A run's folder holds config.json, train.log, metrics.jsonl, TensorBoard events, curves.png, the
state to resume from, the weights of the best epochs and, at the end, the checkpoint.
"""

import contextlib
import json
import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from asr.config import to_dict
from asr.corpus.batches import Batch
from asr.errors import AsrError
from asr.files import write_json_atomic, write_text_atomic
from asr.model.layers import length_mask
from asr.model.loss import consistency_loss, ctc_loss
from asr.text.tokens import BLANK
from asr.training.config import Config
from asr.training.curves import draw_curves
from asr.training.schedule import learning_rate
from asr.training.selection import (
    drop_other_weights,
    finish,
    keep_best_weights,
    out_of_patience,
    validate,
)
from asr.training.setup import Run, prepare, uses_bfloat16
from asr.training.state import Progress, restore_state, save_state

_log = logging.getLogger("asr.training")


class Interrupted(Exception):  # noqa: N818 (a request, not an error)
    """Ctrl-C or a termination signal: the state is saved and the run can be resumed."""


def train(config: Config, folder: Path, device: torch.device, resume: bool = False) -> Path:
    """Train a model and write its checkpoint; returns the checkpoint's folder.

    Raises AsrError on unusable data or settings, on a loss that is not finite (naming the
    utterances), and Interrupted after saving the state on Ctrl-C.
    """
    run = prepare(config, folder, device, resume)
    progress = Progress()
    if resume:
        progress = restore_state(folder, run.model, run.optimizer)
        _log.info("resuming at epoch %d, batch %d", progress.epoch + 1, progress.batch)
    write_json_atomic(folder / "config.json", to_dict(config))
    with stop_signal() as stopping:
        while progress.epoch < config.optim.epochs and not out_of_patience(run, progress):
            train_epoch(run, progress, stopping)
            finish_epoch(run, progress)
    return finish(run, progress)


def train_epoch(run: Run, progress: Progress, stopping: list[int]) -> None:
    """Every batch of one epoch once, from where `progress` stands."""
    batches = run.train_batches
    batches.epoch, batches.start = progress.epoch, 0
    per_epoch = len(batches)
    batches.start = progress.batch
    run.model.train()
    progress.totals = progress.totals or dict.fromkeys(
        ("loss", "utterances", "gradient_norm", "blanks", "frames", "seconds"), 0.0
    )
    loader = tqdm(
        run.train_loader,
        f"epoch {progress.epoch + 1}/{run.config.optim.epochs}",
        total=per_epoch,
        initial=progress.batch,
        disable=None,
        leave=False,
    )
    started = time.monotonic()
    for batch in loader:
        train_step(run, progress, batch.to(run.device), per_epoch)
        now = time.monotonic()
        progress.totals["seconds"] += now - started
        started = now
        progress.batch += 1
        loader.set_postfix(loss=f"{progress.totals['loss'] / progress.totals['utterances']:.2f}")
        if stopping:
            save_state(run.folder, progress, run.model, run.optimizer)
            raise Interrupted(f"stopped in epoch {progress.epoch + 1}; --resume goes on from there")


def train_step(run: Run, progress: Progress, batch: Batch, steps_per_epoch: int) -> None:
    """One update of the weights."""
    optim = run.config.optim
    rate = learning_rate(
        progress.step,
        optim.epochs * steps_per_epoch,
        round(optim.warmup_epochs * steps_per_epoch),
        optim.peak_rate,
    )
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    log_probs, lengths = forward(run, batch)
    losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
    refuse_non_finite(losses, batch, run)
    run.optimizer.zero_grad(set_to_none=True)
    loss = losses.mean()
    if optim.consistency:
        loss = loss + optim.consistency * consistency_loss(log_probs, lengths).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), optim.clip_norm)
    if not math.isfinite(float(norm)):
        refuse_non_finite(norm.expand(len(batch.ids)), batch, run)
    run.optimizer.step()
    progress.step += 1
    totals = progress.totals
    totals["loss"] += float(losses.detach().sum())
    totals["utterances"] += len(batch.ids)
    totals["gradient_norm"] += float(norm)
    totals["blanks"] += count_blanks(log_probs, lengths)
    totals["frames"] += int(lengths.sum())
    run.writer.add_scalar("step/loss", float(losses.detach().mean()), progress.step)
    run.writer.add_scalar("step/gradient_norm", float(norm), progress.step)
    run.writer.add_scalar("step/learning_rate", rate, progress.step)


def forward(run: Run, batch: Batch) -> tuple[Tensor, Tensor]:
    """log_probs `(N, T', C)` in float32 and lengths `(N,)`."""
    with torch.autocast(
        run.device.type, torch.bfloat16, enabled=uses_bfloat16(run.config, run.device)
    ):
        return run.model(batch.features, batch.feature_lengths)  # type: ignore[no-any-return]


def count_blanks(log_probs: Tensor, lengths: Tensor) -> int:
    """Real frames on which the blank is the likeliest token."""
    best = log_probs.detach().argmax(dim=2)
    return int(((best == BLANK) & length_mask(lengths, best.shape[1])).sum())


def refuse_non_finite(losses: Tensor, batch: Batch, run: Run) -> None:
    """Raise AsrError naming the utterances whose loss is not a number or infinite."""
    if bool(torch.isfinite(losses).all()):
        return
    wrong = dict.fromkeys(  # an utterance of two views is named once
        i for i, loss in zip(batch.ids, losses.tolist(), strict=True) if not math.isfinite(loss)
    )
    raise AsrError(
        f"the loss is not finite for {', '.join(wrong)}; listen to these recordings and read their "
        "transcripts; if they are sound, lower optim.peak_rate or optim.clip_norm, or set "
        f"optim.precision=float32. The state of the last epoch is kept in {run.folder}"
    )


def finish_epoch(run: Run, progress: Progress) -> None:
    """Validate, log, and save what a resumed run or the final average needs."""
    totals, steps = progress.totals, progress.batch
    started = time.monotonic()
    metrics = {
        "epoch": progress.epoch + 1,
        "train_loss": totals["loss"] / totals["utterances"],
        "gradient_norm": totals["gradient_norm"] / steps,
        "blank_rate": totals["blanks"] / totals["frames"],
        "train_seconds": totals["seconds"],
        **validate(run),
    }
    metrics["dev_seconds"] = time.monotonic() - started
    progress.epoch, progress.batch, progress.totals = progress.epoch + 1, 0, {}
    progress.history.append(metrics)
    for name, value in metrics.items():
        run.writer.add_scalar(f"epoch/{name}", value, progress.epoch)
    run.writer.flush()
    _log.info(
        "epoch %d: loss %.2f, dev loss %.2f, WER %.2f %%, CER %.2f %%, blanks %.0f %%, %.0f s",
        progress.epoch,
        metrics["train_loss"],
        metrics["dev_loss"],
        100 * metrics["dev_wer"],
        100 * metrics["dev_cer"],
        100 * metrics["blank_rate"],
        metrics["train_seconds"],
    )
    if progress.epoch == 10 and metrics["blank_rate"] > 0.99:
        _log.warning(
            "the model still writes almost nothing but blanks; check that transcripts match "
            "their recordings, or raise optim.peak_rate or lower optim.batch_seconds"
        )
    keep_best_weights(run, progress)
    lines = [json.dumps(entry) + "\n" for entry in progress.history]
    write_text_atomic(run.folder / "metrics.jsonl", "".join(lines))
    draw_curves(progress.history, run.folder / "curves.png")
    save_state(run.folder, progress, run.model, run.optimizer)
    drop_other_weights(run, progress)  # the state before this one may have needed them


@contextlib.contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        os.write(2, b"\nstopping after this step; once more to stop at once without saving\n")

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
