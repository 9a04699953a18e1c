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
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from asr.checkpoint.bundle import save_bundle
from asr.config import to_dict
from asr.corpus.batches import Batch, DurationBatches, UtteranceDataset, make_loader
from asr.corpus.check import check_utterances
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.greedy import greedy_search_batch
from asr.errors import AsrError, ConfigError
from asr.files import atomic_write, sha256_of, write_json_atomic, write_text_atomic
from asr.model.acoustic import AcousticModel
from asr.model.loss import consistency_loss, ctc_loss
from asr.scoring.wer import score
from asr.signal.features import FeatureExtractor
from asr.text.tokens import BLANK, TokenTable
from asr.training.config import Config
from asr.training.curves import draw_curves
from asr.training.schedule import learning_rate
from asr.training.state import STATE_FILE, Progress, average_weights, restore_state, save_state

_log = logging.getLogger("asr.training")


class Interrupted(Exception):  # noqa: N818 (a request, not an error)
    """Ctrl-C or a termination signal: the state is saved and the run can be resumed."""


@dataclass
class Run:
    """What the steps of a run share."""

    config: Config
    folder: Path
    device: torch.device
    tokens: TokenTable
    model: AcousticModel
    optimizer: torch.optim.Optimizer
    train_batches: DurationBatches
    train_loader: DataLoader[Batch]
    dev_loader: DataLoader[Batch]
    references: dict[str, str]
    writer: SummaryWriter


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
    with stop_signal() as stopping:
        while progress.epoch < config.optim.epochs and not out_of_patience(run, progress):
            train_epoch(run, progress, stopping)
            finish_epoch(run, progress)
    return finish(run, progress)


def prepare(config: Config, folder: Path, device: torch.device, resume: bool) -> Run:
    """Read and check the data, build the model and its optimizer."""
    if (folder / STATE_FILE).exists() and not resume:
        raise ConfigError(
            f"{folder}: a run stands here already; add --resume or name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    train_set = [u for path in config.data.train for u in read_manifest(path)]
    dev_set = read_manifest(config.data.dev)
    tokens = TokenTable.from_texts(u.text for u in train_set)
    extractor = FeatureExtractor(config.features)
    model = AcousticModel(config.encoder, config.features.num_features, len(tokens))
    train_targets = _check(config, model, tokens, train_set, "training data")
    dev_targets = _check(config, model, tokens, dev_set, config.data.dev)
    write_json_atomic(folder / "config.json", to_dict(config))
    model.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        config.optim.peak_rate,
        (0.9, 0.98),
        weight_decay=config.optim.weight_decay,
    )
    batches = DurationBatches(
        [u.duration for u in train_set], config.optim.batch_seconds, config.seed
    )
    views = 2 if config.optim.consistency else 1
    dataset = UtteranceDataset(
        train_set, train_targets, extractor, config.augment, config.seed, views
    )
    dev_batches = DurationBatches([u.duration for u in dev_set], config.optim.batch_seconds)
    dev_dataset = UtteranceDataset(dev_set, dev_targets, extractor)
    _log.info(
        "%d utterances (%.2f h) to learn from, %d to validate on, %d tokens, %.2f M parameters, %s",
        len(train_set),
        sum(u.duration for u in train_set) / 3600,
        len(dev_set),
        len(tokens),
        sum(p.numel() for p in model.parameters()) / 1e6,
        "bfloat16" if uses_bfloat16(config, device) else "float32",
    )
    return Run(
        config,
        folder,
        device,
        tokens,
        model,
        optimizer,
        batches,
        make_loader(dataset, batches, config.optim.workers),
        make_loader(dev_dataset, dev_batches),
        {u.id: u.text for u in dev_set},
        SummaryWriter(str(folder / "tensorboard")),
    )


def _check(
    config: Config,
    model: AcousticModel,
    tokens: TokenTable,
    utterances: list[Utterance],
    where: str,
) -> list[list[int]]:
    fastest = max((1.0, *config.augment.speeds))

    def num_frames(duration: float) -> int:
        frames = int(duration / fastest / config.features.frame_seconds)
        return int(model.output_lengths(torch.tensor(frames)))

    return check_utterances(utterances, tokens, num_frames, where)


def uses_bfloat16(config: Config, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16 (weights, norms and loss stay in float32)."""
    if config.optim.precision != "auto":
        return config.optim.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


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
    real = torch.arange(best.shape[1], device=best.device) < lengths[:, None]
    return int(((best == BLANK) & real).sum())


def refuse_non_finite(losses: Tensor, batch: Batch, run: Run) -> None:
    """Raise AsrError naming the utterances whose loss is not a number or infinite."""
    if bool(torch.isfinite(losses).all()):
        return
    wrong = [
        i for i, loss in zip(batch.ids, losses.tolist(), strict=True) if not math.isfinite(loss)
    ]
    raise AsrError(
        f"the loss is not finite for {', '.join(wrong)}; listen to these recordings and read their "
        "transcripts; if they are sound, lower optim.peak_rate or optim.clip_norm, or set "
        f"optim.precision=float32. The state of the last epoch is kept in {run.folder}"
    )


@torch.no_grad()
def validate(run: Run) -> dict[str, float]:
    """Loss, WER and CER of greedy search on the validation manifest."""
    run.model.eval()
    hypotheses: dict[str, str] = {}
    loss = 0.0
    for cpu_batch in run.dev_loader:
        batch = cpu_batch.to(run.device)
        log_probs, lengths = forward(run, batch)
        loss += float(ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths).sum())
        found = greedy_search_batch(log_probs, lengths)
        hypotheses |= {
            i: run.tokens.decode(hypothesis.tokens)
            for i, hypothesis in zip(batch.ids, found, strict=True)
        }
    write_hypotheses_sample(run, hypotheses)
    result = score(run.references, hypotheses)
    return {"dev_loss": loss / len(hypotheses), "dev_wer": result.wer, "dev_cer": result.cer}


def write_hypotheses_sample(run: Run, hypotheses: dict[str, str]) -> None:
    """Keep the validation transcripts of the newest epoch beside their references."""
    lines = [
        f"{i}\n  reference  {run.references[i]}\n  hypothesis {hypotheses[i]}\n"
        for i in sorted(hypotheses)
    ]
    write_text_atomic(run.folder / "dev_transcripts.txt", "".join(lines))


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


def best_epochs(progress: Progress, count: int) -> list[int]:
    """The epochs of lowest validation WER, then CER; best first."""
    ranked = sorted(progress.history, key=lambda m: (m["dev_wer"], m["dev_cer"], -m["epoch"]))
    return [int(metrics["epoch"]) for metrics in ranked[:count]]


def weights_file(run: Run, epoch: int) -> Path:
    """Where the weights of an epoch are kept while it is among the best."""
    return run.folder / "weights" / f"epoch-{epoch:04d}.safetensors"


def keep_best_weights(run: Run, progress: Progress) -> None:
    """Write this epoch's weights if it is among the best, and drop those that no longer are."""
    best = {weights_file(run, epoch) for epoch in best_epochs(progress, run.config.optim.average)}
    current = weights_file(run, progress.epoch)
    current.parent.mkdir(exist_ok=True)
    if current in best:
        with atomic_write(current) as temporary:
            safetensors.torch.save_file(run.model.state_dict(), temporary)
    for file in set(current.parent.glob("epoch-*.safetensors")) - best:
        file.unlink()


def out_of_patience(run: Run, progress: Progress) -> bool:
    """Whether validation has not improved for `optim.patience` epochs."""
    patience = run.config.optim.patience
    if not patience or not progress.history:
        return False
    if progress.epoch - best_epochs(progress, 1)[0] < patience:
        return False
    _log.info("no better validation WER for %d epochs: stopping early", patience)
    return True


def finish(run: Run, progress: Progress) -> Path:
    """Average the best epochs, keep the better of average and best, write the checkpoint."""
    epochs = best_epochs(progress, run.config.optim.average)
    states = [safetensors.torch.load_file(weights_file(run, epoch)) for epoch in epochs]
    candidates = {
        f"epoch {epochs[0]}": states[0],
        f"mean of epochs {epochs}": average_weights(states),
    }
    results = {}
    for name, weights in candidates.items():
        run.model.load_state_dict(weights)
        results[name] = validate(run)
        _log.info("%s: dev WER %.2f %%", name, 100 * results[name]["dev_wer"])
    chosen = min(results, key=lambda name: (results[name]["dev_wer"], results[name]["dev_loss"]))
    checkpoint = run.folder / "checkpoint"
    config = run.config
    save_bundle(
        checkpoint,
        features=to_dict(config.features),
        encoder=to_dict(config.encoder),
        tokens=run.tokens.characters,
        weights=candidates[chosen],
        metrics={
            "dev": results[chosen],
            "weights": chosen,
            "epochs": progress.epoch,
            "training_seconds": sum(
                m["train_seconds"] + m["dev_seconds"] for m in progress.history
            ),
        },
        recipe=config.name,
        seed=config.seed,
        training={
            "data": asdict(config.data),
            "manifest_sha256": {
                str(p): sha256_of(p) for p in (*config.data.train, config.data.dev)
            },
            "augment": to_dict(config.augment),
            "optim": to_dict(config.optim),
            "threads": torch.get_num_threads(),
        },
        dtype=torch.float16,
    )
    run.writer.close()
    _log.info("checkpoint written to %s", checkpoint)
    return checkpoint


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
