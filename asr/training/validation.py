"""Validation: loss, WER and CER of greedy search after each epoch; label priors at the end."""

from collections.abc import Iterator

import torch
from torch import Tensor

from asr.corpus.dataset import Batch
from asr.decode.greedy import greedy_search_batch
from asr.decode.priors import log_priors_of, total_probabilities
from asr.model.loss import ctc_loss
from asr.scoring.wer import score
from asr.training.dev_transcripts import record_samples, record_transcripts
from asr.training.run import Run


@torch.no_grad()
def validate(run: Run, epoch: int | None = None) -> dict[str, float]:
    """Loss, WER and CER of greedy search on the validation manifest, in float32 as in use.

    Each process takes its share. The transcripts are written to the run's folder; with `epoch`,
    samples of them are added to those of earlier epochs.
    """
    run.model.eval()
    own: dict[str, tuple[str, float]] = {}
    for batch, log_probs, lengths in _dev_outputs(run):
        losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths).tolist()
        found = greedy_search_batch(log_probs, lengths)
        for i, hypothesis, loss in zip(batch.ids, found, losses, strict=True):
            own[i] = run.tokens.decode(hypothesis.tokens), loss
    results = {i: pair for part in run.group.gather(own) for i, pair in part.items()}
    hypotheses = {i: text for i, (text, _) in results.items()}
    if run.group.is_main:
        record_transcripts(run.folder, run.references, hypotheses)
        if epoch is not None:
            record_samples(run.folder, epoch, run.references, hypotheses)
    rates = score(run.references, hypotheses)
    # In a fixed order, or the last digits would depend on the number of processes.
    loss = sum(results[i][1] for i in sorted(results)) / len(results)
    return {"dev_loss": loss, "dev_wer": rates.wer, "dev_cer": rates.cer}


@torch.no_grad()
def measure_priors(run: Run) -> tuple[float, ...]:
    """The label priors, as by `measure_log_priors`, on the validation manifest."""
    run.model.eval()
    emissions = (
        one[:length]
        for _, log_probs, lengths in _dev_outputs(run)
        for one, length in zip(log_probs, lengths.tolist(), strict=True)
    )
    total = total_probabilities(emissions, len(run.tokens))
    return log_priors_of(sum(run.group.gather(total), torch.zeros_like(total)))


def _dev_outputs(run: Run) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    """This process's batches of the validation manifest, with emissions and their lengths."""
    for cpu_batch in run.dev_loader:
        batch = cpu_batch.to(run.device)
        yield batch, *run.model(batch.features, batch.feature_lengths)
