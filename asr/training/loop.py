"""The training run, read from top to bottom: prepare, epochs, average, save.

A run's folder holds config.json, starts.jsonl, train.log, metrics.jsonl, TensorBoard events,
curves.png, samples of the validation transcripts, the states to resume from, the weights of the
best epochs and, at the end, the checkpoint.
"""

import contextlib
import json
import logging
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from asr.config import to_dict
from asr.corpus.dataset import Batch
from asr.errors import AsrError
from asr.files import write_error, write_json_atomic, write_text_atomic
from asr.model.layers import length_mask
from asr.signal.rng import combine_seeds
from asr.text.tokens import BLANK
from asr.training.config import Config
from asr.training.curves import draw_curves
from asr.training.distributed import joined, local_device
from asr.training.memory import settle_memory
from asr.training.objective import outcome
from asr.training.record import record_start
from asr.training.schedule import learning_rate
from asr.training.selection import (
    drop_other_weights,
    finish,
    keep_best_weights,
    out_of_patience,
    validate,
)
from asr.training.setup import Run, keep_state, prepare
from asr.training.state import Progress

SUMS = ("loss", "utterances", "blanks", "frames", "audio_seconds", "padded", "with_padding")
"""What is added up over the batches of an epoch and over all processes."""

_log = logging.getLogger("asr.training")


class Interrupted(Exception):  # noqa: N818 (a request, not an error)
    """Ctrl-C or a termination signal: the state is saved and the run can be resumed."""


def train(
    config: Config,
    folder: Path,
    device: torch.device,
    resume: bool = False,
    accept_changed_data: bool = False,
) -> Path:
    """Train a model and write its checkpoint; returns the checkpoint's folder.

    Raises AsrError on unusable data or settings, on a loss that is not finite (naming the
    utterances), on a disk that is full or a process that died, keeping the state, and Interrupted
    after saving the state on Ctrl-C.
    """
    settle_memory()
    device = local_device(device)
    with joined(device) as group:
        run, progress = prepare(config, folder, device, group, resume, accept_changed_data)
        if group.writes:
            resumed = progress.step if progress.step else None
            write_json_atomic(folder / "config.json", to_dict(config))
            record_start(folder, config, run.manifests, device, group.size, resumed)
        try:
            with stop_signal() as stopping:
                while progress.epoch < config.optim.epochs and not out_of_patience(run, progress):
                    run.model.set_subsampling(config.subsampling_in(progress.epoch))
                    train_epoch(run, progress, stopping)
                    finish_epoch(run, progress)
            return finish(run, progress)
        except (AsrError, RuntimeError, OSError) as error:
            if progress.totals:  # within an epoch: no step is half done when something fails
                keep_what_can_be_kept(run, progress)
            if isinstance(error, OSError):
                raise AsrError(write_error(folder, error)) from error
            raise


def train_epoch(run: Run, progress: Progress, stopping: Sequence[int]) -> None:
    """Every batch of one epoch once, from where `progress` stands."""
    batches = run.train_batches
    batches.epoch, batches.start_batch = progress.epoch, progress.batch
    sizes = batches.batch_sizes().tolist()
    run.model.train()
    progress.totals = progress.totals or dict.fromkeys(
        (*SUMS, "gradient_norm", "skipped", "seconds"), 0.0
    )
    loader = tqdm(
        run.train_loader,
        f"epoch {progress.epoch + 1}/{run.config.optim.epochs}",
        total=len(sizes),
        initial=progress.batch,
        disable=None if run.group.writes else True,
        leave=False,
    )
    started = saved = time.monotonic()
    for batch in loader:
        stop = train_step(run, progress, batch.to(run.device), sizes, bool(stopping))
        now = time.monotonic()
        progress.totals["seconds"] += now - started
        started = now
        loader.set_postfix(
            loss=f"{progress.totals['loss'] / max(1, progress.totals['utterances']):.2f}"
        )
        if stop or now - saved >= 60 * run.config.optim.save_minutes:
            keep_state(run, progress)
            saved = time.monotonic()
        if stop:
            raise Interrupted(f"stopped in epoch {progress.epoch + 1}; --resume goes on from there")


def train_step(
    run: Run, progress: Progress, batch: Batch, sizes: Sequence[int], stop: bool
) -> bool:
    """One update of the weights; whether any process has been asked to stop.

    `sizes` counts the utterances of each batch of the epoch, over all processes.
    """
    optim, total = run.config.optim, sizes[progress.batch]
    position = progress.epoch + (progress.batch + 1) / len(sizes)
    rate = learning_rate(position, optim.epochs, optim.warmup_epochs, optim.peak_rate)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(combine_seeds(run.config.seed, progress.step, run.group.rank))
    cost, losses, log_probs, lengths = outcome(run.config, run.network, batch)
    counted = run.group.rank < total  # else the batch is too small to go round
    *sums, failures, stops = run.group.sum(
        [
            *(value * counted for value in measured(run, batch, losses, log_probs, lengths)),
            float(not math.isfinite(float(cost.detach()))),
            float(stop),
        ],
        run.device,
    )
    finite = failures == 0
    if finite:
        # Gradients are averaged over the processes: each mean counts by its share of utterances.
        share = len(batch.ids) / run.config.optim.views / total * run.group.size if counted else 0.0
        norm = update(run, cost * share)
        # A scale that has come down to 1 has nothing left to lower: the gradient itself is wrong.
        scaling = run.scaler.is_enabled() and run.scaler.get_scale() >= 1
        finite = math.isfinite(norm) or scaling
    if finite:
        for name, value in zip(SUMS, sums, strict=True):
            progress.totals[name] += value
        progress.totals["gradient_norm"] += norm if math.isfinite(norm) else 0.0
    else:
        skip_or_refuse(run, progress, batch, losses if failures else None)
    progress.step += 1
    progress.batch += 1
    if finite and run.writer is not None:  # what may fail comes when all that is done is counted
        run.writer.add_scalar("step/loss", sums[0] / sums[1], progress.step)
        run.writer.add_scalar("step/gradient_norm", norm, progress.step)
        run.writer.add_scalar("step/learning_rate", rate, progress.step)
    return stops > 0


def update(run: Run, cost: Tensor) -> float:
    """Change the weights by one step; the norm of the gradient before it is clipped.

    Where that is not a finite number the weights stay as they are.
    """
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(cost).backward()  # type: ignore[no-untyped-call]
    run.scaler.unscale_(run.optimizer)
    norm = float(torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.config.optim.clip_norm))
    if math.isfinite(norm) or run.scaler.is_enabled():
        run.scaler.step(run.optimizer)
        run.scaler.update()
    return norm


def measured(
    run: Run, batch: Batch, losses: Tensor, log_probs: Tensor, lengths: Tensor
) -> tuple[float, ...]:
    """This process's values of `SUMS` for a batch."""
    real = int(batch.feature_lengths.sum())
    with_padding = batch.features.shape[0] * batch.features.shape[1]
    return (
        float(losses.detach().sum()),
        len(batch.ids),
        count_blanks(log_probs, lengths),
        int(lengths.sum()),
        real * run.config.features.frame_seconds / run.config.optim.views,
        with_padding - real,
        with_padding,
    )


def count_blanks(log_probs: Tensor, lengths: Tensor) -> int:
    """Real frames on which the blank is the likeliest token."""
    best = log_probs.detach().argmax(dim=2)
    return int(((best == BLANK) & length_mask(lengths, best.shape[1])).sum())


def skip_or_refuse(run: Run, progress: Progress, batch: Batch, losses: Tensor | None) -> None:
    """Leave a batch out and count it, or raise AsrError: its utterances are named either way.

    `losses` are known if it is one of them that is not finite; otherwise it is the gradient.
    """
    wrong = batch.ids
    if losses is not None:
        finite = torch.isfinite(losses).tolist()
        wrong = [i for i, fine in zip(batch.ids, finite, strict=True) if not fine]
    # An utterance of two views is named once.
    names = dict.fromkeys(name for names in run.group.gather(wrong) for name in names)
    what = "gradient" if losses is None else "loss"
    if run.config.optim.non_finite == "skip":
        progress.totals["skipped"] += 1
        _log.warning(
            "batch %d of epoch %d left out: the %s is not finite for %s",
            *(progress.batch + 1, progress.epoch + 1, what, ", ".join(names)),
        )
        return
    raise AsrError(
        f"the {what} is not finite for {', '.join(names)}; listen to these recordings and read "
        "their transcripts; if they are sound, lower optim.peak_rate or optim.clip_norm, or set "
        f"optim.precision=float32. The state before this batch is kept in {run.folder}: --resume "
        "--set optim.non_finite=skip goes on without it"
    )


def keep_what_can_be_kept(run: Run, progress: Progress) -> None:
    """Save the state on the way out of a failure, which is raised whether or not this works."""
    try:
        keep_state(run, progress)
    except (AsrError, OSError) as error:
        _log.warning("%s", error)


def finish_epoch(run: Run, progress: Progress) -> None:
    """Validate, log, and save what a resumed run or the final average needs."""
    totals, steps = progress.totals, progress.batch
    if not totals["utterances"]:
        progress.batch, progress.totals = 0, {}
        keep_state(run, progress)
        raise AsrError(
            f"epoch {progress.epoch + 1}: all {steps} batches were left out, their loss or "
            "gradient not being finite; --resume --set optim.peak_rate=… with a lower rate takes "
            "the epoch again"
        )
    started = time.monotonic()
    metrics = {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "train_loss": totals["loss"] / totals["utterances"],
        "gradient_norm": totals["gradient_norm"] / (steps - totals["skipped"]),
        "blank_rate": totals["blanks"] / totals["frames"],
        "skipped": totals["skipped"],
        "padding": totals["padded"] / totals["with_padding"],
        "audio_seconds": totals["audio_seconds"],
        "train_seconds": totals["seconds"],
        **validate(run, progress.epoch + 1),
    }
    metrics["dev_seconds"] = time.monotonic() - started
    progress.epoch, progress.batch, progress.totals = progress.epoch + 1, 0, {}
    progress.history.append(metrics)
    if not run.group.writes:
        return
    report(run, progress, metrics)
    keep_best_weights(run, progress)
    lines = [json.dumps(entry) + "\n" for entry in progress.history]
    write_text_atomic(run.folder / "metrics.jsonl", "".join(lines))
    draw_curves(progress.history, run.folder / "curves.png")
    keep_state(run, progress)
    drop_other_weights(run, progress)  # the state before this one may have needed them


def report(run: Run, progress: Progress, metrics: dict[str, float]) -> None:
    """Tell the log and TensorBoard of an epoch."""
    if run.writer is not None:
        for name, value in metrics.items():
            run.writer.add_scalar(f"epoch/{name}", value, progress.epoch)
        run.writer.flush()
    _log.info(
        "epoch %d: loss %.2f, dev loss %.2f, WER %.2f %%, CER %.2f %%, blanks %.0f %%, %.0f s%s",
        progress.epoch,
        metrics["train_loss"],
        metrics["dev_loss"],
        100 * metrics["dev_wer"],
        100 * metrics["dev_cer"],
        100 * metrics["blank_rate"],
        metrics["train_seconds"],
        f", {metrics['skipped']:.0f} batches left out" if metrics["skipped"] else "",
    )
    if progress.epoch == 10 and metrics["blank_rate"] > 0.99:
        _log.warning(
            "the model still writes almost nothing but blanks; check that transcripts match "
            "their recordings, or raise optim.peak_rate or lower optim.batch_seconds"
        )


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
