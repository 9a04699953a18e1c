"""The weight of the label priors for any list of sentences, measured on those of the dev set.

A CTC model that is unsure of a letter says blank instead, and so favours short sentences. With how
much weight its priors have to go depends on the model and little on the list: what suits the dev
set's sentences suits other lists (recipes/english/RESULTS.md). Shapes: T frames, C tokens with the
blank, S sentences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from asr.decode.priors import PRIOR_WEIGHT
from asr.text.tokens import BLANK, TokenTable
from asr.tuning.dev_set import DevSet

PRIOR_WEIGHTS: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_MOST = 200
"""Utterances, evenly spaced, whose sentences make the list."""
_LOWEST = -20.0
"""Nats: a sentence that the model does not hear at all counts as this unlikely."""


def list_prior_weight(dev: DevSet, table: TokenTable, log_priors: Sequence[float]) -> float:
    """The weight with which the right sentences are likeliest, each among those of the dev set.

    Their mean log-probability decides; of the weights that are as good, within the standard error
    of their difference from the best, the middle one is taken. Sentences are compared exactly, by
    their probabilities summed over all alignments. Transcripts that the model cannot write are
    passed over; the default where fewer than two different ones are left.
    """
    texts = [" ".join(reference.split()) for reference in dev.references]
    usable = [
        i
        for i, text in enumerate(texts)
        if text and not table.unknown(text) and len(dev.emissions[i])
    ]
    usable = usable[:: -(-len(usable) // _MOST) or 1]
    sentences = sorted({texts[i] for i in usable})
    if len(sentences) < 2:
        return PRIOR_WEIGHT
    encoded = [table.encode(sentence) for sentence in sentences]
    place = {sentence: number for number, sentence in enumerate(sentences)}
    priors = torch.tensor(log_priors)
    found = []
    for i in usable:
        emissions, right = dev.emissions[i].float(), place[texts[i]]
        chances = [
            _log_posteriors(emissions - weight * priors, encoded)[right] for weight in PRIOR_WEIGHTS
        ]
        # NaN: no sentence at all fits into the recording.
        found.append(torch.stack(chances).nan_to_num(nan=_LOWEST).clamp(min=_LOWEST))
    chances_by_weight = torch.stack(found)
    best = int(chances_by_weight.mean(dim=0).argmax())
    loss = chances_by_weight[:, best, None] - chances_by_weight
    error = loss.std(dim=0, correction=0) / len(usable) ** 0.5
    worse = (loss.mean(dim=0) > error).nonzero().flatten().tolist()
    lowest = max((i + 1 for i in worse if i < best), default=0)
    highest = min((i - 1 for i in worse if i > best), default=len(PRIOR_WEIGHTS) - 1)
    return PRIOR_WEIGHTS[(lowest + highest) // 2]


def _log_posteriors(emissions: Tensor, sentences: Sequence[Sequence[int]]) -> Tensor:
    """`(S,)` log-probabilities of encoded sentences among themselves by the emissions `(T, C)`.

    That the emissions do not sum to 1 changes nothing: every sentence loses as much.
    """
    count, frames = len(sentences), len(emissions)
    losses = ctc_loss(
        emissions[:, None].expand(-1, count, -1),
        torch.tensor([token for sentence in sentences for token in sentence]),
        torch.full((count,), frames),
        torch.tensor([len(sentence) for sentence in sentences]),
        blank=BLANK,
        reduction="none",
    )
    return -losses.double() - torch.logsumexp(-losses.double(), dim=0)
