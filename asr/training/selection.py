"""Which weights a run ends with: the best epochs, their average, the checkpoint."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from asr.checkpoint.average import average_weights
from asr.checkpoint.checkpoint import save_checkpoint
from asr.checkpoint.run_folder import PLANNED
from asr.config import to_dict
from asr.decode.priors import LOG_PRIORS
from asr.errors import AsrError, CheckpointError
from asr.files import atomic_write, make_folder, sha256_of
from asr.training.config import Config
from asr.training.lineage import lineage_record, without_machine_paths
from asr.training.run import Progress, Run
from asr.training.validation import measure_priors, validate

STORED_DTYPE = torch.float16
"""Precision of the weights in a checkpoint: half the size, no measurable loss."""

USELESS_WER = 0.9
"""With more validation errors than this, a model has not learnt to recognise speech."""

_log = logging.getLogger("asr.training")


def best_epochs(config: Config, progress: Progress, count: int) -> list[int]:
    """The epochs of lowest validation CER, then WER; best first.

    Coarse epochs count only as long as there are no others. CER comes first because a small
    validation set has few words: chosen by WER, the best of many epochs is a lucky one.
    """
    fine = [m for m in progress.history if m["epoch"] > config.optim.coarse_epochs]
    ranked = sorted(
        fine or progress.history, key=lambda m: (m["dev_cer"], m["dev_wer"], -m["epoch"])
    )
    return [int(metrics["epoch"]) for metrics in ranked[:count]]


def has_ended(run: Run, progress: Progress) -> bool:
    """Whether all epochs are done, or validation has not improved for `optim.patience` epochs."""
    optim = run.config.optim
    if progress.epoch >= optim.epochs:
        return True
    if not optim.patience or progress.epoch <= optim.coarse_epochs:
        return False
    return progress.epoch - best_epochs(run.config, progress, 1)[0] >= optim.patience


# --- Weights of the best epochs


def weights_file(run: Run, epoch: int) -> Path:
    """The file with the weights of an epoch, kept while it is among the best."""
    return run.folder / "weights" / f"epoch-{epoch:04d}.safetensors"


def save_best_weights(run: Run, progress: Progress) -> None:
    """Save the newest epoch's weights if it is among the best."""
    if progress.epoch in best_epochs(run.config, progress, run.config.optim.average):
        file = weights_file(run, progress.epoch)
        make_folder(file.parent)
        with atomic_write(file) as temporary:
            safetensors.torch.save_file(run.model.state_dict(), temporary)
        progress.weights[str(progress.epoch)] = sha256_of(file)


def remove_other_weights(run: Run, progress: Progress) -> None:
    """Remove the weights of epochs that are no longer among the best, and incomplete files."""
    best = {
        weights_file(run, epoch)
        for epoch in best_epochs(run.config, progress, run.config.optim.average)
    }
    for file in set((run.folder / "weights").iterdir()) - best:
        file.unlink()


def load_best_weights(run: Run, progress: Progress) -> dict[int, dict[str, Tensor]]:
    """The weights of the best epochs, best first; damaged files are skipped with a warning.

    Raises CheckpointError if none is intact.
    """
    found = {}
    for epoch in best_epochs(run.config, progress, run.config.optim.average):
        file = weights_file(run, epoch)
        try:
            if sha256_of(file) != progress.weights[str(epoch)]:
                raise CheckpointError(f"{file}: truncated or altered: its SHA-256 does not match")
            found[epoch] = safetensors.torch.load_file(file)
        except AsrError as error:
            _log.warning("%s; epoch %d is left out of the average", error, epoch)
    if not found:
        raise CheckpointError(
            f"{run.folder / 'weights'}: no weights of the best epochs are intact; train another "
            f"epoch: --resume --set optim.epochs={progress.epoch + 1}"
        )
    return found


# --- The checkpoint


def check_finishable(run: Run, progress: Progress) -> None:
    """Say which epochs a checkpoint is made of. Raises CheckpointError if none is finished."""
    if not progress.history:
        raise CheckpointError(
            f"{run.folder}: no epoch of this run is finished, so that there is no checkpoint to "
            "make; continue it with --resume"
        )
    _log.info(
        "no further training: making a checkpoint of the best epochs up to epoch %d of %d",
        *(progress.epoch, run.config.optim.epochs),
    )


def finish(run: Run, progress: Progress) -> Path:
    """Average the weights of the best epochs and write the checkpoint; returns its folder.

    Where validation cannot tell the average from the best epoch, the average is the more robust
    choice; only if its CER is more than a tenth higher (epochs far apart, early in training) is the
    best epoch taken.
    """
    patience = run.config.optim.patience
    if has_ended(run, progress) and progress.epoch < run.config.optim.epochs:
        _log.info("validation CER has not improved for %d epochs: stopping early", patience)
    candidates = {}
    if run.group.is_main:
        by_epoch = load_best_weights(run, progress)
        epochs, states = list(by_epoch), list(by_epoch.values())
        candidates[f"epoch {epochs[0]}"] = round_to_stored(states[0])
        candidates[f"mean of epochs {epochs}"] = round_to_stored(average_weights(states))
    best, mean = names = run.group.broadcast(list(candidates))
    results = {}
    for name in names:
        _give_weights(run, candidates.get(name))
        results[name] = validate(run)
        _log.info(
            "%s: dev WER %.2f %%, CER %.2f %%",
            name,
            100 * results[name]["dev_wer"],
            100 * results[name]["dev_cer"],
        )
    chosen = mean if results[mean]["dev_cer"] <= 1.1 * results[best]["dev_cer"] else best
    if chosen == best:
        _give_weights(run, candidates.get(best))
    metrics = {
        "dev": {name.removeprefix("dev_"): value for name, value in results[chosen].items()},
        LOG_PRIORS: list(measure_priors(run)),
        "weights": chosen,
    }
    checkpoint = run.folder / "checkpoint"
    if run.group.is_main:
        write_checkpoint(run, progress, checkpoint, candidates[chosen], metrics)
    return checkpoint


def _give_weights(run: Run, weights: dict[str, Tensor] | None) -> None:
    """Give the model of every process the weights, which the main one has."""
    if weights is not None:
        run.model.load_state_dict(weights)
    run.group.broadcast_weights(run.model)


def write_checkpoint(
    run: Run,
    progress: Progress,
    checkpoint: Path,
    weights: dict[str, Tensor],
    metrics: dict[str, Any],
) -> None:
    """Write the checkpoint with its metrics and the record of how it was trained."""
    config = run.config
    teacher = run.teacher.source if run.teacher else None
    save_checkpoint(
        checkpoint,
        features=to_dict(config.features),
        encoder=to_dict(config.encoder),
        tokens=run.tokens.characters,
        units=run.tokens.units,
        weights=weights,
        metrics={
            **metrics,
            "epochs": progress.epoch,
            **({} if has_ended(run, progress) else {PLANNED: config.optim.epochs}),
            "training_seconds": sum(
                m["train_seconds"] + m["dev_seconds"] for m in progress.history
            ),
        },
        recipe=config.name,
        seed=config.seed,
        training={
            "data": asdict(config.data),
            "manifest_sha256": run.manifests,
            "augment": to_dict(config.augment),
            "optim": to_dict(config.optim),
            "threads": torch.get_num_threads(),
            "processes": run.group.size,
            "init_from": config.init_from,
            "teacher": without_machine_paths(config.teacher),
            **lineage_record(run.source, teacher, run.folder, config.data.licence),
        },
        dtype=STORED_DTYPE,
    )
    if run.writer is not None:
        run.writer.close()
    _log.info("checkpoint written to %s", checkpoint)
    warn_if_useless(metrics["dev"]["wer"], config.init_from)


def warn_if_useless(wer: float, init_from: str) -> None:
    """Say so if nearly every word of the validation set is wrong."""
    if wer > USELESS_WER:
        _log.warning(
            "but this checkpoint recognises next to nothing: %.0f %% of the words of the "
            "validation set are wrong; %strain on more data or for more epochs (--resume --set "
            "optim.epochs=…), or check that the transcripts match their recordings",
            *(100 * wer, "" if init_from else "start from a checkpoint (--init_from), "),
        )


def round_to_stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights rounded as the checkpoint stores them, so that what is validated is what is used."""
    return {
        name: tensor.to(STORED_DTYPE).float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
