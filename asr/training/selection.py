"""Which weights a run ends with: validation, the best epochs, their average, the checkpoint."""

import logging
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from asr.checkpoint.bundle import save_bundle
from asr.config import to_dict
from asr.decode.greedy import greedy_search_batch
from asr.files import atomic_write, sha256_of, write_text_atomic
from asr.model.loss import ctc_loss
from asr.scoring.wer import score
from asr.training.setup import Run
from asr.training.state import Progress, average_weights

STORED = torch.float16
"""Precision of the weights in a checkpoint: half the size, no measurable loss."""

_log = logging.getLogger("asr.training")


@torch.no_grad()
def validate(run: Run) -> dict[str, float]:
    """Loss, WER and CER of greedy search on the validation manifest, in float32 as in use."""
    run.model.eval()
    hypotheses: dict[str, str] = {}
    loss = 0.0
    for cpu_batch in run.dev_loader:
        batch = cpu_batch.to(run.device)
        log_probs, lengths = run.model(batch.features, batch.feature_lengths)
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


def best_epochs(progress: Progress, count: int) -> list[int]:
    """The epochs of lowest validation CER, then WER; best first.

    A small validation set has few words: picked by WER, the best of many epochs is a lucky one.
    """
    ranked = sorted(progress.history, key=lambda m: (m["dev_cer"], m["dev_wer"], -m["epoch"]))
    return [int(metrics["epoch"]) for metrics in ranked[:count]]


def weights_file(run: Run, epoch: int) -> Path:
    """Where the weights of an epoch are kept while it is among the best."""
    return run.folder / "weights" / f"epoch-{epoch:04d}.safetensors"


def keep_best_weights(run: Run, progress: Progress) -> None:
    """Write this epoch's weights if it is among the best."""
    if progress.epoch in best_epochs(progress, run.config.optim.average):
        file = weights_file(run, progress.epoch)
        file.parent.mkdir(exist_ok=True)
        with atomic_write(file) as temporary:
            safetensors.torch.save_file(run.model.state_dict(), temporary)


def drop_other_weights(run: Run, progress: Progress) -> None:
    """Remove the weights of epochs that are no longer among the best."""
    best = {weights_file(run, epoch) for epoch in best_epochs(progress, run.config.optim.average)}
    for file in set((run.folder / "weights").glob("epoch-*.safetensors")) - best:
        file.unlink()


def out_of_patience(run: Run, progress: Progress) -> bool:
    """Whether validation has not improved for `optim.patience` epochs."""
    patience = run.config.optim.patience
    if not patience or not progress.history:
        return False
    if progress.epoch - best_epochs(progress, 1)[0] < patience:
        return False
    _log.info("no better validation CER for %d epochs: stopping early", patience)
    return True


def finish(run: Run, progress: Progress) -> Path:
    """Average the best epochs and write the checkpoint.

    The mean is the steadier choice where validation cannot tell it from the best epoch; only if its
    CER is more than a tenth worse (epochs far apart, early in training) is the best epoch taken.
    """
    epochs = best_epochs(progress, run.config.optim.average)
    states = [safetensors.torch.load_file(weights_file(run, epoch)) for epoch in epochs]
    best, mean = f"epoch {epochs[0]}", f"mean of epochs {epochs}"
    candidates = {best: as_stored(states[0]), mean: as_stored(average_weights(states))}
    results = {}
    for name, weights in candidates.items():
        run.model.load_state_dict(weights)
        results[name] = validate(run)
        _log.info(
            "%s: dev WER %.2f %%, CER %.2f %%",
            name,
            100 * results[name]["dev_wer"],
            100 * results[name]["dev_cer"],
        )
    chosen = mean if results[mean]["dev_cer"] <= 1.1 * results[best]["dev_cer"] else best
    checkpoint = run.folder / "checkpoint"
    config = run.config
    save_bundle(
        checkpoint,
        features=to_dict(config.features),
        encoder=to_dict(config.encoder),
        tokens=run.tokens.characters,
        weights=candidates[chosen],
        metrics={
            "dev": {name.removeprefix("dev_"): value for name, value in results[chosen].items()},
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
            "manifest_sha256": {
                str(p): sha256_of(p) for p in (*config.data.train, config.data.dev)
            },
            "augment": to_dict(config.augment),
            "optim": to_dict(config.optim),
            "threads": torch.get_num_threads(),
            "init_from": config.init_from,
        },
        dtype=STORED,
    )
    run.writer.close()
    _log.info("checkpoint written to %s", checkpoint)
    return checkpoint


def as_stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the checkpoint will give them back, so that what is validated is what is used."""
    return {
        name: tensor.to(STORED).float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
