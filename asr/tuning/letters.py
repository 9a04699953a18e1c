"""What it costs a model to write another letter than the one that is said, measured on a dev set.

Shapes: T frames, C tokens with the blank, F frames of one token.
"""

import numpy as np

from asr.decode.align import Floats, viterbi_align
from asr.errors import TextError
from asr.language.confusable import Costs
from asr.text.tokens import BLANK, TokenTable
from asr.tuning.dev_set import DevSet

MOST_TOKENS = 200
"""Of a model whose costs are measured: there are C × C of them."""
_FEWEST = 3
"""Occurrences of a token in the dev set; one with fewer gets the mean of all."""
_HIGHEST = 20.0
"""Nats; what is beyond has no chance anyway."""


def letter_costs(dev: DevSet, table: TokenTable) -> Costs | None:
    """Mean loss in nats, 0 or more, by the token that is said and the one that is written.

    0, the blank, is no token: row 0 has the costs of letters put in, column 0 of letters left out.
    Transcripts that the model cannot write, or that do not fit their recording, are passed over.
    None where a model has too many tokens, or nothing was aligned.
    """
    if len(table) > MOST_TOKENS:
        return None
    size = len(table)
    total, count = np.zeros((size, size)), np.zeros(size)
    for reference, log_probs in zip(dev.references, dev.emissions, strict=True):
        text = " ".join(reference.split())
        if not text or table.unknown(text):
            continue
        try:
            alignment = viterbi_align(log_probs, table.encode(text))
        except TextError:
            continue
        emissions = log_probs.double().numpy()
        after = 0  # the first frame behind the token before
        for token, first, last in zip(
            alignment.tokens, alignment.first_frames, alignment.last_frames, strict=True
        ):
            if first > after:
                total[BLANK] += _put_in(emissions[after:first])
                count[BLANK] += 1
            total[token] += _replaced(emissions[first : last + 1], token)
            count[token] += 1
            after = last + 1
    if not count.any():
        return None
    enough = count >= _FEWEST
    costs = np.tile(total.sum(axis=0) / count.sum(), (size, 1))
    costs[enough] = total[enough] / count[enough, None]
    np.fill_diagonal(costs, 0.0)
    return costs


def _put_in(emissions: Floats) -> Floats:
    """The loss `(C,)` of each token in place of a blank, in the best of the frames `(F, C)`."""
    lost = (emissions[:, [BLANK]] - emissions).min(axis=0)
    return np.asarray(lost.clip(0.0, _HIGHEST))


def _replaced(emissions: Floats, token: int) -> Floats:
    """The loss `(C,)` of each token in place of another one, over its frames `(F, C)`.

    One frame at least has it, the others a blank where that is likelier.
    """
    either = np.maximum(emissions, emissions[:, [BLANK]])
    written = either.sum(axis=0) + (emissions - either).max(axis=0)
    return np.asarray((emissions[:, token].sum() - written).clip(0.0, _HIGHEST))
