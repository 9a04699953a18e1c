"""Bootstrap intervals and paired comparisons."""

import itertools
import random
import tracemalloc

import numpy as np
import pytest

from asr.scoring import bootstrap

ERRORS = [0, 1, 3, 0, 2, 0, 5, 1, 0, 0, 2, 4]
WORDS = [4, 5, 6, 1, 8, 3, 7, 2, 9, 4, 6, 5]


def drawn(seed: int, size: int) -> list[list[int]]:
    """Indices of many resamples, drawn one by one with another generator."""
    generator = random.Random(seed)
    return [[generator.randrange(size) for _ in range(size)] for _ in range(4000)]


def test_interval_agrees_with_a_slow_loop() -> None:
    rates = [
        sum(ERRORS[i] for i in indices) / sum(WORDS[i] for i in indices)
        for indices in drawn(1, len(WORDS))
    ]
    expected = np.quantile(rates, [0.025, 0.975])
    assert bootstrap.interval(ERRORS, WORDS) == pytest.approx(expected, abs=0.01)


def test_interval_agrees_with_every_possible_resample() -> None:
    errors, words = [0, 1, 4, 2, 1], [3, 4, 5, 2, 7]
    rates = [
        sum(errors[i] for i in indices) / sum(words[i] for i in indices)
        for indices in itertools.product(range(5), repeat=5)
    ]
    expected = np.quantile(rates, [0.05, 0.95])
    found = bootstrap.interval(errors, words, resamples=40_000, confidence=0.9)
    assert found == pytest.approx(expected, abs=0.01)


def test_three_utterances_reach_their_extremes() -> None:
    """The chance that all three draws are of one utterance is 1/27, more than a tail of 2.5 %."""
    assert bootstrap.interval([0, 1, 2], [4, 4, 4]) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("errors", "words"),
    [([2] * 40, [7] * 40), ([1, 2, 3], [4, 8, 12]), ([3], [4]), ([0, 0], [1, 9])],
)
def test_equal_rates_give_zero_width(errors: list[int], words: list[int]) -> None:
    rate = errors[0] / words[0]
    assert bootstrap.interval(errors, words) == (rate, rate)


def test_interval_is_reproducible_and_independent_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bootstrap.interval(ERRORS, WORDS)
    assert bootstrap.interval(ERRORS, WORDS) == first
    assert bootstrap.interval(ERRORS[::-1], WORDS[::-1]) == first
    assert bootstrap.interval(ERRORS, WORDS, seed=1) != first
    monkeypatch.setattr(bootstrap, "_DRAWS_PER_STEP", 37)
    assert bootstrap.interval(ERRORS, WORDS) == first


def test_interval_covers_the_true_rate_as_often_as_it_claims() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        words = generator.integers(1, 15, size=80)
        errors = generator.binomial(words, 0.1)
        low, high = bootstrap.interval(errors, words, resamples=400)
        covered += low <= 0.1 <= high
    assert 180 <= covered <= 199


def test_resamples_without_words_are_left_out() -> None:
    low, high = bootstrap.interval([1, 2], [0, 4])
    assert low == 0.5  # the second alone; the first alone has no rate
    assert high == 0.75


def test_memory_stays_bounded() -> None:
    generator = np.random.default_rng(0)
    words = np.arange(1, 20_001)  # all rows distinct: the worst case
    errors = generator.binomial(words, 0.1)
    tracemalloc.start()
    bootstrap.interval(errors, words, resamples=120)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_speakers_widen_the_interval() -> None:
    speakers = [number // 20 for number in range(200)]
    errors = [speaker % 2 for speaker in speakers]  # half of the speakers are misheard throughout
    words = [2] * 200
    by_utterance = bootstrap.interval(errors, words)
    by_speaker = bootstrap.interval(errors, words, speakers)
    assert by_speaker[0] < by_utterance[0] < 0.25 < by_utterance[1] < by_speaker[1]
    assert bootstrap.interval(errors, words, list(range(200))) == by_utterance


def test_paired_comparison_agrees_with_a_slow_loop() -> None:
    better = [max(0, count - number % 2) for number, count in enumerate(ERRORS)]
    better[3] = 2
    differences = [
        (sum(better[i] for i in indices) - sum(ERRORS[i] for i in indices))
        / sum(WORDS[i] for i in indices)
        for indices in drawn(2, len(WORDS))
    ]
    found = bootstrap.paired_comparison(ERRORS, better, WORDS)
    assert found.difference == (sum(better) - sum(ERRORS)) / sum(WORDS)
    assert found.interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.01)
    improved = np.mean([(difference < 0) + (difference == 0) / 2 for difference in differences])
    assert found.probability_of_improvement == pytest.approx(improved, abs=0.03)
    reverse = bootstrap.paired_comparison(better, ERRORS, WORDS)
    assert reverse.difference == -found.difference
