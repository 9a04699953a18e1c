"""The compiled parts of the search that choose among scores, against sorting."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.kernel import log_add, nth_largest, prune_tokens

SCORES = st.lists(
    st.sampled_from([-math.inf, -9.0, -3.0, -2.0, -1.0, -0.5]), min_size=1, max_size=9
)
"""Few different values, so that equal ones meet at every edge."""


@given(SCORES, st.data())
def test_nth_largest_is_that_of_the_sorted_values(scores: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    beyond = np.array(
        [*scores, 7.0]
    )  # what stands behind the first `count` values is not looked at
    assert nth_largest(beyond, len(scores), n) == sorted(scores, reverse=True)[n - 1]


@given(SCORES, st.sampled_from([-math.inf, -3.0, -1.0, 0.0]), st.integers(1, 10))
def test_pruned_tokens_are_the_likeliest_above_the_threshold(
    scores: list[float], threshold: float, max_tokens: int
) -> None:
    frame, tokens = np.full(len(scores), -math.inf), np.zeros(len(scores), np.int64)
    count = prune_tokens(
        np.array([scores]), 0, threshold, max_tokens, frame, tokens, 0, np.zeros(len(scores))
    )
    likely = [i for i, score in enumerate(scores) if score >= threshold and score > -math.inf]
    by_score = sorted(likely, key=lambda i: (-scores[i], i))  # of equals the lower token
    expected = sorted(by_score[:max_tokens]) or [scores.index(max(scores))]
    assert tokens[:count].tolist() == expected
    chosen = [score if i in expected else -math.inf for i, score in enumerate(scores)]
    assert frame.tolist() == chosen


def test_a_frame_forgets_the_one_before() -> None:
    log_probs = np.array([[-1.0, -2.0, -3.0], [-9.0, -0.1, -9.0]])
    frame, tokens, scratch = np.full(3, -math.inf), np.zeros(3, np.int64), np.zeros(3)
    count = prune_tokens(log_probs, 0, -5.0, 3, frame, tokens, 0, scratch)
    count = prune_tokens(log_probs, 1, -5.0, 3, frame, tokens, count, scratch)
    assert (count, frame.tolist()) == (1, [-math.inf, -0.1, -math.inf])


@given(st.floats(-50, 0), st.floats(-50, 0))
def test_log_add_is_the_logarithm_of_the_sum(a: float, b: float) -> None:
    assert math.isclose(log_add(a, b), np.logaddexp(a, b), rel_tol=1e-12, abs_tol=1e-12)
    assert log_add(a, -math.inf) == log_add(-math.inf, a) == a
    assert log_add(-math.inf, -math.inf) == -math.inf
