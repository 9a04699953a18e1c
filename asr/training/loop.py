"""The training run, read from top to bottom: prepare, train epochs, average, save.

A run's folder holds config.json, starts.jsonl, train.log, metrics.jsonl, TensorBoard events,
curves.png, validation transcripts, the states to resume from, the weights of the best epochs and,
at the end, the checkpoint.
"""

import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from asr.checkpoint.run_folder import HISTORY
from asr.config import to_dict
from asr.corpus.dataset import Batch
from asr.errors import AsrError
from asr.files import write_error, write_json_atomic, write_text_atomic
from asr.model.norms import length_mask
from asr.signal.rng import combine_seeds
from asr.text.tokens import BLANK
from asr.training.config import Config
from asr.training.curves import draw_curves
from asr.training.distributed import local_device, process_group
from asr.training.interrupts import Interrupted, stop_signal
from asr.training.memory import tune_allocators
from asr.training.objective import StepOutput, compute_loss
from asr.training.optimizer import update
from asr.training.run import Progress, Run
from asr.training.run_log import record_start
from asr.training.schedule import learning_rate
from asr.training.selection import (
    check_finishable,
    finish,
    has_ended,
    remove_other_weights,
    save_best_weights,
)
from asr.training.setup import prepare
from asr.training.state import save_state, try_to_save_state
from asr.training.validation import validate

TOTALS = ("loss", "utterances", "blanks", "frames", "audio_seconds", "padded", "with_padding")
"""What is added up over the batches of an epoch and over all processes."""

_log = logging.getLogger("asr.training")


def train(
    config: Config,
    folder: Path,
    device: torch.device,
    resume: bool = False,
    accept_changed_data: bool = False,
    only_finish: bool = False,
) -> Path:
    """Train a model and write its checkpoint; returns the checkpoint's folder.

    With `only_finish` the run in the folder is not trained on: the checkpoint is that of its best
    epochs so far, and the run can still be resumed.

    Raises AsrError on unusable data or settings, on a loss that is not finite (naming the
    utterances), on a full disk or a process that died, after saving the state if it can, and
    Interrupted after saving the state on Ctrl-C, SIGTERM or SIGHUP.
    """
    tune_allocators()
    device = local_device(device)
    with process_group(device) as group:
        run, progress = prepare(
            config, folder, device, group, resume or only_finish, accept_changed_data
        )
        if only_finish:
            check_finishable(run, progress)
        if group.is_main:
            resumed = progress.step if progress.step else None
            if not only_finish:
                write_json_atomic(folder / "config.json", to_dict(config))
            record_start(folder, config, run.manifests, device, group.size, resumed)
        try:
            with stop_signal() as stopping:
                while not (only_finish or has_ended(run, progress)):
                    run.model.set_subsampling(config.subsampling_in(progress.epoch))
                    train_epoch(run, progress, stopping)
                    finish_epoch(run, progress)
                    stop_between_epochs(run, progress, stopping)
            return finish(run, progress)
        except (AsrError, RuntimeError, OSError) as error:
            if progress.totals:  # within an epoch: errors are raised between steps, not within one
                try_to_save_state(run, progress)
            if isinstance(error, OSError):
                raise AsrError(write_error(folder, error)) from error
            raise


def train_epoch(run: Run, progress: Progress, stopping: Sequence[int]) -> None:
    """Train on every batch of one epoch once, starting where `progress` is."""
    batches = run.train_batches
    batches.epoch, batches.start_batch = progress.epoch, progress.batch
    sizes = batches.batch_sizes().tolist()
    run.model.train()
    progress.totals = progress.totals or dict.fromkeys(
        (*TOTALS, "gradient_norm", "skipped", "seconds"), 0.0
    )
    loader = tqdm(
        run.train_loader,
        f"epoch {progress.epoch + 1}/{run.config.optim.epochs}",
        total=len(sizes),
        initial=progress.batch,
        disable=None if run.group.is_main else True,
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
            save_state(run, progress)
            saved = time.monotonic()
        if stop:
            raise Interrupted(f"stopped in epoch {progress.epoch + 1}; continue with --resume")


def stop_between_epochs(run: Run, progress: Progress, stopping: Sequence[int]) -> None:
    """Raise Interrupted if any process was asked to stop in the validation of the last epoch."""
    if any(run.group.sum([float(bool(stopping))], run.device)):
        raise Interrupted(f"stopped after epoch {progress.epoch}; continue with --resume")


def train_step(
    run: Run, progress: Progress, batch: Batch, sizes: Sequence[int], stop: bool
) -> bool:
    """Train on one batch; returns whether any process has been asked to stop.

    `sizes` has the number of utterances in each batch of the epoch, over all processes.
    """
    total = sizes[progress.batch]
    rate = set_learning_rate(run, progress, len(sizes))
    torch.manual_seed(combine_seeds(run.config.seed, progress.step, run.group.rank))
    teacher = run.teacher.network if run.teacher else None
    output = compute_loss(run.config, run.network, batch, teacher)
    # A batch smaller than the group gives the last processes a copy that must not count.
    counted = run.group.rank < total
    *sums, failures, stops = run.group.sum(
        [
            *(value * counted for value in batch_totals(run, batch, output)),
            float(not math.isfinite(float(output.loss.detach()))),
            float(stop),
        ],
        run.device,
    )
    finite, norm = failures == 0, math.nan
    if finite:
        # Gradients are averaged over the processes: each mean counts by its share of utterances.
        share = len(batch.ids) / batch.views / total * run.group.size if counted else 0.0
        loss = output.loss * share
        norm = update(run.model, run.optimizer, run.scaler, loss, run.config.optim)
        # A scale that has come down to 1 cannot be the reason: the gradient itself overflows.
        scaling = run.scaler.is_enabled() and run.scaler.get_scale() >= 1
        finite = math.isfinite(norm) or scaling
    if finite:
        for name, value in zip(TOTALS, sums, strict=True):
            progress.totals[name] += value
        progress.totals["gradient_norm"] += norm if math.isfinite(norm) else 0.0
    else:
        skip_or_raise(run, progress, batch, output.ctc_losses if failures else None)
    progress.step += 1
    progress.batch += 1
    if finite and run.writer is not None:  # last, because writing may fail: the step is counted
        run.writer.add_scalar("step/loss", sums[0] / sums[1], progress.step)
        run.writer.add_scalar("step/gradient_norm", norm, progress.step)
        run.writer.add_scalar("step/learning_rate", rate, progress.step)
    return stops > 0


def set_learning_rate(run: Run, progress: Progress, batches: int) -> float:
    """Set the rate of the next step, one of `batches` in this epoch, and return it."""
    optim = run.config.optim
    position = progress.epoch + (progress.batch + 1) / batches
    rate = learning_rate(position, optim.epochs, optim.warmup_epochs, optim.peak_rate)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    return rate


def batch_totals(run: Run, batch: Batch, output: StepOutput) -> tuple[float, ...]:
    """This process's values of `TOTALS` for a batch."""
    frames = int(batch.feature_lengths.sum())
    with_padding = batch.features.shape[0] * batch.features.shape[1]
    return (
        float(output.ctc_losses.detach().sum()),
        len(batch.ids),
        count_blanks(output.log_probs, output.lengths),
        int(output.lengths.sum()),
        frames * run.config.features.frame_seconds / batch.views,
        with_padding - frames,
        with_padding,
    )


def count_blanks(log_probs: Tensor, lengths: Tensor) -> int:
    """Frames, padding left out, in which the blank is the most likely token."""
    best = log_probs.detach().argmax(dim=2)
    return int(((best == BLANK) & length_mask(lengths, best.shape[1])).sum())


def skip_or_raise(run: Run, progress: Progress, batch: Batch, losses: Tensor | None) -> None:
    """Skip a batch whose loss or gradient is not finite, or raise AsrError; names its utterances.

    `losses` `(N,)` is given if it is one of them that is not finite; otherwise it is the gradient.
    """
    bad = batch.ids
    if losses is not None:
        finite = torch.isfinite(losses).tolist()
        bad = [i for i, is_finite in zip(batch.ids, finite, strict=True) if not is_finite]
    # With two views, every utterance is in the batch twice.
    names = dict.fromkeys(name for names in run.group.gather(bad) for name in names)
    what = "gradient" if losses is None else "loss"
    if run.config.optim.non_finite == "skip":
        progress.totals["skipped"] += 1
        _log.warning(
            "batch %d of epoch %d skipped: the %s is not finite for %s",
            *(progress.batch + 1, progress.epoch + 1, what, ", ".join(names)),
        )
        return
    raise AsrError(
        f"the {what} is not finite for {', '.join(names)}; check these recordings and their "
        "transcripts; if they are correct, lower optim.peak_rate or optim.clip_norm, or set "
        f"optim.precision=float32. The state before this batch is saved in {run.folder}; to "
        "continue without it: --resume --set optim.non_finite=skip"
    )


def finish_epoch(run: Run, progress: Progress) -> None:
    """Validate, log, and save what a resumed run or the final average needs."""
    metrics = epoch_metrics(run, progress)
    progress.epoch, progress.batch, progress.totals = progress.epoch + 1, 0, {}
    progress.history.append(metrics)
    if not run.group.is_main:
        return
    log_epoch(run, progress, metrics)
    save_best_weights(run, progress)
    lines = [json.dumps(entry) + "\n" for entry in progress.history]
    write_text_atomic(run.folder / HISTORY, "".join(lines))
    draw_curves(progress.history, run.folder / "curves.png")
    save_state(run, progress)
    remove_other_weights(run, progress)  # only now: the state before this one refers to them


def epoch_metrics(run: Run, progress: Progress) -> dict[str, float]:
    """The metrics of the epoch whose last batch is done, validation included.

    Raises AsrError if every batch was skipped, after saving a state to take the epoch again from.
    """
    totals, steps = progress.totals, progress.batch
    if not totals["utterances"]:
        progress.batch, progress.totals = 0, {}
        save_state(run, progress)
        raise AsrError(
            f"epoch {progress.epoch + 1}: all {steps} batches were skipped, because their loss or "
            "gradient was not finite; to repeat the epoch with a lower learning rate: --resume "
            "--set optim.peak_rate=…"
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
    return metrics | {"dev_seconds": time.monotonic() - started}


def log_epoch(run: Run, progress: Progress, metrics: dict[str, float]) -> None:
    """Log the metrics of an epoch, and write them to TensorBoard."""
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
        f", {metrics['skipped']:.0f} batches skipped" if metrics["skipped"] else "",
    )
    if progress.epoch == 10 and metrics["blank_rate"] > 0.99:
        _log.warning(
            "the model still outputs almost nothing but blanks; check that the transcripts match "
            "their recordings, or raise optim.peak_rate or lower optim.batch_seconds"
        )
