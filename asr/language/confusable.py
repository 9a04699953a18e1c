"""Sentences of a list that a model can hardly tell apart.

The distance of two sentences is how much likelier, in nats, the model finds the one that is said:
the least sum of costs of letters replaced, left out and put in (Wagner & Fischer 1974), where a
cost is what that change of the transcript costs the model on average (`asr.tuning.letters`). What a
letter sounds like depends on its neighbours, so that the distance is an estimate.
Shapes: C tokens with the blank, K sentences, P pairs, L tokens of the longest sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.errors import ConfigError
from asr.language.spelling import NAMED, abbreviate, in_model_case
from asr.text.tokens import TokenTable

Costs = NDArray[np.float64]
"""`(C, C)`: of writing the second token where the first is said; 0, the blank, is no token."""

LETTER_COSTS = "letter_costs"
"""The key of the costs in a checkpoint's metrics: a line of numbers for each token."""
CLOSE = 3.0
"""Nats below which two sentences are named: odds of one to twenty."""
_MOST_CELLS = 100_000_000
"""Of the tables of all pairs together: half a second."""


class ClosePair(NamedTuple):
    """Two sentences, by their numbers in the list, and their distance in nats."""

    first: int
    second: int
    distance: float


def with_letter_costs(metrics: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """The metrics with these costs, to a tenth of a nat."""
    return {**metrics, LETTER_COSTS: [" ".join(f"{cost:.1f}" for cost in row) for row in costs]}


def letter_costs(metrics: Mapping[str, Any], table: TokenTable) -> Costs | None:
    """The costs that a checkpoint's metrics hold; None if there are none.

    Raises ConfigError on a record that is malformed.
    """
    record = metrics.get(LETTER_COSTS)
    if record is None:
        return None
    try:
        costs = np.array([row.split() for row in record], np.float64)
    except (TypeError, ValueError, AttributeError):
        costs = np.empty(0)
    if costs.shape != (len(table), len(table)) or not (costs >= 0).all():
        raise ConfigError(
            f"metrics: {LETTER_COSTS}: expected {len(table)} lines of as many numbers of 0 or "
            f"more, found {str(record)[:60]}; run `asr tune` again"
        )
    return costs


def describe_close_sentences(sentences: Sequence[str], table: TokenTable, costs: Costs) -> str:
    """The closest pairs of sentences, each with its distance; empty if none is close."""
    sentences = list(dict.fromkeys(in_model_case(sentence, table) for sentence in sentences))
    pairs = close_pairs([table.encode(sentence) for sentence in sentences], costs)
    named = [
        f"{sentences[one.first]!r} and {sentences[one.second]!r} ({one.distance:.1f})"
        for one in pairs[:NAMED]
    ]
    return abbreviate(named, len(pairs))


def close_pairs(sentences: Sequence[Sequence[int]], costs: Costs) -> list[ClosePair]:
    """The pairs whose distance is below `CLOSE`, closest first; none of a list too long to compare.

    Sentences are sequences of tokens, all of them different. The distance is the lesser of both
    directions.
    """
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    longest = int(lengths.max(initial=0))
    first, second = np.triu_indices(len(sentences), k=1)
    if not len(first) or 2 * len(first) * longest**2 > _MOST_CELLS:
        return []
    padded = np.zeros((len(sentences), longest), np.int64)
    for row, sentence in zip(padded, sentences, strict=True):
        row[: len(sentence)] = sentence
    there, back = (
        _distances(padded[a], lengths[a], padded[b], lengths[b], costs)
        for a, b in ((first, second), (second, first))
    )
    distance = np.minimum(there, back)
    found = np.flatnonzero(distance < CLOSE)
    found = found[np.argsort(distance[found], kind="stable")]
    return [ClosePair(int(first[i]), int(second[i]), float(distance[i])) for i in found]


def _distances(
    said: NDArray[np.int64],
    said_lengths: NDArray[np.int64],
    written: NDArray[np.int64],
    written_lengths: NDArray[np.int64],
    costs: Costs,
) -> NDArray[np.float64]:
    """The distance `(P,)` of each pair of padded sentences `(P, L)`."""
    pairs, longest = said.shape
    result = np.zeros(pairs)
    put_in = np.concatenate([np.zeros((pairs, 1)), costs[0, written].cumsum(axis=1)], axis=1)
    row = put_in.T.copy()  # (L + 1, P): nothing of what is said is written yet
    for i in range(longest + 1):
        if i > 0:
            before, row = row, np.empty_like(row)
            left_out = costs[said[:, i - 1], 0]
            row[0] = before[0] + left_out
            for j in range(1, longest + 1):
                row[j] = np.minimum(
                    np.minimum(before[j] + left_out, row[j - 1] + costs[0, written[:, j - 1]]),
                    before[j - 1] + costs[said[:, i - 1], written[:, j - 1]],
                )
        ended = np.flatnonzero(said_lengths == i)
        result[ended] = row[written_lengths[ended], ended]
    return result
