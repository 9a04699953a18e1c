"""Sentences that a model can hardly tell apart: distances, and costs kept in a checkpoint."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.language import confusable
from asr.language.confusable import (
    LETTER_COSTS,
    close_pairs,
    describe_close_sentences,
    letter_costs,
    with_letter_costs,
)
from asr.text.tokens import TokenTable

TABLE = TokenTable(tuple(" ABC"))


def distance(said: Sequence[int], written: Sequence[int], costs: confusable.Costs) -> float:
    """By its definition: the last letters are replaced, left out or put in."""

    @cache
    def of(i: int, j: int) -> float:
        ways = [0.0] if i == j == 0 else []
        if i > 0:
            ways.append(of(i - 1, j) + costs[said[i - 1], 0])
        if j > 0:
            ways.append(of(i, j - 1) + costs[0, written[j - 1]])
        if i > 0 and j > 0:
            ways.append(of(i - 1, j - 1) + costs[said[i - 1], written[j - 1]])
        return min(ways)

    return of(len(said), len(written))


def random_costs(seed: int) -> confusable.Costs:
    costs = np.random.default_rng(seed).uniform(0, 4, (5, 5))
    np.fill_diagonal(costs, 0)
    return costs


@pytest.mark.parametrize("seed", range(5))
def test_all_close_pairs_are_found(seed: int) -> None:
    random, costs = np.random.default_rng(seed + 100), random_costs(seed)
    drawn = {tuple(random.integers(1, 5, random.integers(1, 7)).tolist()) for _ in range(30)}
    sentences = sorted(drawn)
    expected = {}
    for i, j in combinations(range(len(sentences)), 2):
        a, b = sentences[i], sentences[j]
        expected[i, j] = min(distance(a, b, costs), distance(b, a, costs))
    found = close_pairs(sentences, costs)
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    close = {pair: near for pair, near in expected.items() if near < confusable.CLOSE}
    assert 0 < len(close) < len(expected)
    assert {(one.first, one.second): pytest.approx(one.distance) for one in found} == close


def test_a_list_of_none_or_one_and_a_long_one() -> None:
    costs = random_costs(0)
    assert close_pairs([], costs) == close_pairs([[1, 2]], costs) == []
    assert close_pairs([[1] * (1 + i % 40) for i in range(10_000)], costs) == []


def test_the_closest_are_described() -> None:
    costs = np.full((5, 5), 9.0)
    costs[2, 3] = 1.25
    np.fill_diagonal(costs, 0)
    described = describe_close_sentences(["A C", "B C", "C"], TABLE, costs)
    assert described == "'A C' and 'B C' (1.2)"
    assert describe_close_sentences(["A", "C"], TABLE, costs) == ""
    # In the model's case, in which two of them are one.
    assert describe_close_sentences(["a c", "A c", "B C"], TABLE, costs) == described


def test_costs_are_kept_in_the_metrics() -> None:
    costs = random_costs(3)
    metrics = with_letter_costs({"x": 1}, costs)
    assert metrics["x"] == 1
    kept = letter_costs(metrics, TABLE)
    assert kept is not None
    assert abs(kept - costs).max() < 0.051
    assert letter_costs({}, TABLE) is None


@pytest.mark.parametrize(
    "record",
    [3, ["0 1"], ["0 1 2 3 x"] * 5, ["0 1 2 3 -1"] * 5, ["0 1 2 3 nan"] * 5, [1] * 5, "00000"],
)
def test_malformed_costs_are_refused(record: object) -> None:
    with pytest.raises(ConfigError, match="letter_costs: expected 5 lines of as many numbers"):
        letter_costs({LETTER_COSTS: record}, TABLE)
