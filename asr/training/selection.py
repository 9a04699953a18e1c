"""Which weights a run ends with: validation, the best epochs, their average, the checkpoint."""

import logging
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from asr.checkpoint.average import average_weights
from asr.checkpoint.checkpoint import save_checkpoint
from asr.config import to_dict
from asr.decode.greedy import greedy_search_batch
from asr.errors import AsrError, CheckpointError
from asr.files import atomic_write, make_folder, sha256_of
from asr.model.loss import ctc_loss
from asr.scoring.wer import score
from asr.training.config import Config
from asr.training.record import record_samples, record_transcripts
from asr.training.setup import Run
from asr.training.state import Progress

STORED = torch.float16
"""Precision of the weights in a checkpoint: half the size, no measurable loss."""

_log = logging.getLogger("asr.training")


@torch.no_grad()
def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
    """Loss, WER and CER of greedy search on the validation manifest, in float32 as in use.

    Each process takes its share. The transcripts are kept; those of an `epoch` as samples too.
    """
    run.model.eval()
    mine: dict[str, tuple[str, float]] = {}
    for cpu_batch in run.dev_loader:
        batch = cpu_batch.to(run.device)
        log_probs, lengths = run.model(batch.features, batch.feature_lengths)
        losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths).tolist()
        found = greedy_search_batch(log_probs, lengths)
        for i, hypothesis, loss in zip(batch.ids, found, losses, strict=True):
            mine[i] = run.tokens.decode(hypothesis.tokens), loss
    everything = {i: pair for share in run.group.gather(mine) for i, pair in share.items()}
    hypotheses = {i: text for i, (text, _) in everything.items()}
    if run.group.writes:
        record_transcripts(run.folder, run.references, hypotheses)
        if epoch is not None:
            record_samples(run.folder, epoch, run.references, hypotheses)
    result = score(run.references, hypotheses)
    loss = sum(everything[i][1] for i in sorted(everything)) / len(everything)
    return {"dev_loss": loss, "dev_wer": result.wer, "dev_cer": result.cer}


def best_epochs(config: Config, progress: Progress, count: int) -> list[int]:
    """The epochs of lowest validation CER, then WER; best first. Coarse ones only before others.

    A small validation set has few words: picked by WER, the best of many epochs is a lucky one.
    """
    fine = [m for m in progress.history if m["epoch"] > config.optim.coarse_epochs]
    ranked = sorted(
        fine or progress.history, key=lambda m: (m["dev_cer"], m["dev_wer"], -m["epoch"])
    )
    return [int(metrics["epoch"]) for metrics in ranked[:count]]


def weights_file(run: Run, epoch: int) -> Path:
    """Where the weights of an epoch are kept while it is among the best."""
    return run.folder / "weights" / f"epoch-{epoch:04d}.safetensors"


def keep_best_weights(run: Run, progress: Progress) -> None:
    """Write this epoch's weights if it is among the best."""
    if progress.epoch in best_epochs(run.config, progress, run.config.optim.average):
        file = weights_file(run, progress.epoch)
        make_folder(file.parent)
        with atomic_write(file) as temporary:
            safetensors.torch.save_file(run.model.state_dict(), temporary)
        progress.weights[str(progress.epoch)] = sha256_of(file)


def drop_other_weights(run: Run, progress: Progress) -> None:
    """Remove the weights of epochs that are no longer among the best, and what a kill left half."""
    best = {
        weights_file(run, epoch)
        for epoch in best_epochs(run.config, progress, run.config.optim.average)
    }
    for file in set((run.folder / "weights").iterdir()) - best:
        file.unlink()


def out_of_patience(run: Run, progress: Progress) -> bool:
    """Whether validation has not improved for `optim.patience` epochs."""
    patience = run.config.optim.patience
    if not patience or progress.epoch <= run.config.optim.coarse_epochs:
        return False
    if progress.epoch - best_epochs(run.config, progress, 1)[0] < patience:
        return False
    _log.info("no better validation CER for %d epochs: stopping early", patience)
    return True


def kept_weights(run: Run, progress: Progress) -> dict[int, dict[str, Tensor]]:
    """The weights of the best epochs, best first; those that are not whole are said and left out.

    Raises CheckpointError if none is.
    """
    found = {}
    for epoch in best_epochs(run.config, progress, run.config.optim.average):
        file = weights_file(run, epoch)
        try:
            if sha256_of(file) != progress.weights[str(epoch)]:
                raise CheckpointError(
                    f"{file}: torn or changed: its content is not what was written"
                )
            found[epoch] = safetensors.torch.load_file(file)
        except AsrError as error:
            _log.warning("%s; the average does without epoch %d", error, epoch)
    if not found:
        raise CheckpointError(f"{run.folder / 'weights'}: no weights of the best epochs are whole")
    return found


def finish(run: Run, progress: Progress) -> Path:
    """Average the best epochs and write the checkpoint.

    The mean is the steadier choice where validation cannot tell it from the best epoch; only if its
    CER is more than a tenth worse (epochs far apart, early in training) is the best epoch taken.
    """
    candidates = {}
    if run.group.writes:
        kept = kept_weights(run, progress)
        epochs, states = list(kept), list(kept.values())
        candidates[f"epoch {epochs[0]}"] = as_stored(states[0])
        candidates[f"mean of epochs {epochs}"] = as_stored(average_weights(states))
    best, mean = names = run.group.from_first(list(candidates))
    results = {}
    for name in names:
        if run.group.writes:
            run.model.load_state_dict(candidates[name])
        run.group.share(run.model)
        results[name] = validate(run)
        _log.info(
            "%s: dev WER %.2f %%, CER %.2f %%",
            name,
            100 * results[name]["dev_wer"],
            100 * results[name]["dev_cer"],
        )
    chosen = mean if results[mean]["dev_cer"] <= 1.1 * results[best]["dev_cer"] else best
    checkpoint = run.folder / "checkpoint"
    if run.group.writes:
        write_checkpoint(run, progress, checkpoint, candidates[chosen], chosen, results[chosen])
    return checkpoint


def write_checkpoint(
    run: Run,
    progress: Progress,
    checkpoint: Path,
    weights: dict[str, Tensor],
    chosen: str,
    result: dict[str, float],
) -> None:
    """Write the checkpoint, with all that tells how it came about."""
    config = run.config
    save_checkpoint(
        checkpoint,
        features=to_dict(config.features),
        encoder=to_dict(config.encoder),
        tokens=run.tokens.characters,
        weights=weights,
        metrics={
            "dev": {name.removeprefix("dev_"): value for name, value in result.items()},
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
            "licence": config.data.licence,
            "manifest_sha256": run.manifests,
            "augment": to_dict(config.augment),
            "optim": to_dict(config.optim),
            "threads": torch.get_num_threads(),
            "processes": run.group.size,
            "init_from": config.init_from,
        },
        dtype=STORED,
    )
    if run.writer is not None:
        run.writer.close()
    _log.info("checkpoint written to %s", checkpoint)


def as_stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the checkpoint will give them back, so that what is validated is what is used."""
    return {
        name: tensor.to(STORED).float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
