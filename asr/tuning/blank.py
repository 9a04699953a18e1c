"""The blank's penalty for any list of sentences, measured with those of the dev set as the list.

A CTC model that is unsure of a letter says blank instead, and so favours short sentences. How many
nats the blank has to lose depends on the model and little on the list: a value that suits the dev
set's sentences suits other lists (recipes/english/RESULTS.md). Shapes: T frames, C tokens with the
blank, S sentences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from asr.text.tokens import BLANK, TokenTable
from asr.tuning.dev_set import DevSet

BLANK_PENALTIES: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
_MOST = 200
"""Utterances, evenly spaced, whose sentences make the list."""
_LOWEST = -20.0
"""Nats: a sentence that the model does not hear at all counts as this unlikely."""


def list_penalty(dev: DevSet, table: TokenTable) -> float:
    """The penalty with which the right sentences are likeliest, each among those of the dev set.

    Their mean log-probability decides, a tie goes to the lower penalty. Sentences are compared
    exactly, by their probabilities summed over all alignments. Transcripts that the model cannot
    write are passed over; 0 where fewer than two different ones are left.
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
        return 0.0
    encoded = [table.encode(sentence) for sentence in sentences]
    place = {sentence: number for number, sentence in enumerate(sentences)}
    totals = torch.zeros(len(BLANK_PENALTIES), dtype=torch.float64)
    for i in usable:
        right = place[texts[i]]
        chances = [_log_posteriors(dev.emissions[i], encoded, p)[right] for p in BLANK_PENALTIES]
        # NaN: no sentence at all fits into the recording.
        totals += torch.stack(chances).nan_to_num(nan=_LOWEST).clamp(min=_LOWEST)
    return BLANK_PENALTIES[int((totals / len(usable)).round(decimals=3).argmax())]


def _log_posteriors(
    log_probs: Tensor, sentences: Sequence[Sequence[int]], penalty: float
) -> Tensor:
    """`(S,)` log-probabilities of encoded sentences among themselves by the emissions `(T, C)`.

    That the emissions do not sum to 1 changes nothing: every sentence loses as much.
    """
    emissions = log_probs.float().clone()
    emissions[:, BLANK] -= penalty
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
