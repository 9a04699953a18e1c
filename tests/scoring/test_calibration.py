"""Confidences against what they claim, and the map that mends them."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asr.decode.confidence import Calibration, log_odds
from asr.errors import ConfigError
from asr.scoring.calibration import (
    correct_words,
    expected_calibration_error,
    fit_calibration,
)
from asr.scoring.wer import align

JUDGED = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=40)


def drawn(slope: float, offset: float, words: int = 20_000) -> tuple[np.ndarray, list[bool]]:
    """Raw confidences of words that are right as often as a calibration of them says."""
    rng = np.random.default_rng(0)
    raw = rng.beta(3.0, 1.0, words)
    return raw, (rng.random(words) < Calibration(slope, offset).apply(raw)).tolist()


# The error


def test_expected_calibration_error_by_hand() -> None:
    # Bin 0.9 to 1: three words, mean 0.95, two right; bin 0.2 to 0.3: one word of 0.25, wrong.
    error = expected_calibration_error([0.95, 0.95, 0.95, 0.25], [True, True, False, False])
    assert error == pytest.approx(3 / 4 * abs(0.95 - 2 / 3) + 1 / 4 * 0.25)


def test_certainty_that_is_right_has_no_error() -> None:
    assert expected_calibration_error([1.0, 0.0, 1.0], [True, False, True]) == 0
    assert expected_calibration_error([1.0, 0.0], [False, True]) == 1


def test_one_bin_compares_the_means() -> None:
    assert expected_calibration_error([0.1, 0.9, 0.8], [True, True, False], bins=1) == (
        pytest.approx(2 / 3 - 0.6)
    )


@given(JUDGED, st.integers(1, 20), st.randoms())
def test_error_is_a_share_and_knows_no_order(
    judged: list[tuple[float, bool]], bins: int, random: Random
) -> None:
    def error() -> float:
        confidences, correct = zip(*judged, strict=True)
        return expected_calibration_error(confidences, correct, bins)

    before = error()
    assert 0 <= before <= 1
    random.shuffle(judged)
    assert error() == pytest.approx(before, abs=1e-12)


# The map


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 1.0), (2.0, -1.5), (0.3, -0.5)])
def test_fit_finds_the_map_that_made_the_data(slope: float, offset: float) -> None:
    raw, correct = drawn(slope, offset)
    found = fit_calibration(raw, correct)
    assert found.slope == pytest.approx(slope, abs=0.06)
    assert found.offset == pytest.approx(offset, abs=0.08)
    assert expected_calibration_error(found.apply(raw), correct) < 0.015


def test_calibration_lowers_the_error_on_words_it_has_not_seen() -> None:
    raw, correct = drawn(0.5, -0.7)
    found = fit_calibration(raw[:2000], correct[:2000])
    rest, truth = raw[2000:], correct[2000:]
    before = expected_calibration_error(rest, truth)
    assert before > 0.15
    assert expected_calibration_error(found.apply(rest), truth) < 0.03


@given(JUDGED)
def test_fit_is_finite_and_keeps_the_order(judged: list[tuple[float, bool]]) -> None:
    raw, correct = zip(*judged, strict=True)
    calibration = fit_calibration(raw, correct)
    confidences = calibration.apply(sorted(raw))
    assert (np.diff(confidences) >= 0).all()
    assert ((confidences > 0) & (confidences < 1)).all()


@given(JUDGED, st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_no_map_nearby_fits_better(
    judged: list[tuple[float, bool]], slope: float, offset: float
) -> None:
    raw, correct = zip(*judged, strict=True)
    best = fit_calibration(raw, correct)
    assume(best.slope + slope >= 0)
    right = sum(correct)
    drawn_in = [1 / (len(raw) - right + 2), (right + 1) / (right + 2)]
    targets = np.array([drawn_in[truth] for truth in correct])

    def loss(calibration: Calibration) -> float:
        chances = calibration.apply(raw)
        return float(-(targets * np.log(chances) + (1 - targets) * np.log1p(-chances)).sum())

    assume(best.slope > 0)
    assert loss(best) <= loss(Calibration(best.slope + slope, best.offset + offset)) + 1e-9


def test_a_set_without_errors_promises_no_certainty() -> None:
    calibration = fit_calibration([0.9] * 10, [True] * 10)
    assert calibration.apply([0.9])[0] == pytest.approx(11 / 12, abs=1e-6)


def test_confidences_that_mislead_become_one() -> None:
    calibration = fit_calibration([0.9, 0.95, 0.2, 0.1], [False, False, True, True])
    assert calibration.slope == 0
    assert calibration.apply([0.1, 0.9]).tolist() == pytest.approx([0.5, 0.5])


def test_identity_changes_nothing() -> None:
    assert Calibration().is_identity
    assert Calibration().apply([0.0, 0.3, 1.0]).tolist() == [0.0, 0.3, 1.0]
    assert Calibration(1.0, 1e-9).apply([0.3])[0] == pytest.approx(0.3)


def test_log_odds_are_finite_and_symmetric() -> None:
    odds = log_odds([0.0, 0.25, 0.5, 0.75, 1.0])
    assert np.isfinite(odds).all()
    assert odds[1] == pytest.approx(math.log(1 / 3))
    assert odds == pytest.approx(-odds[::-1])


@pytest.mark.parametrize(
    ("slope", "offset"), [(-0.1, 0.0), (math.inf, 0.0), (math.nan, 0.0), (1.0, math.inf)]
)
def test_impossible_maps_are_refused(slope: float, offset: float) -> None:
    with pytest.raises(ConfigError, match="calibration: expected a finite slope"):
        Calibration(slope, offset)


@pytest.mark.parametrize(
    ("confidences", "correct", "message"),
    [
        ([], [], "at least one word; found 0 for 0"),
        ([0.5], [True, False], "found 1 for 2 words"),
        ([[0.5]], [[True]], "one for each word"),
        ([1.1], [True], "from 0 to 1"),
        ([math.nan], [True], "from 0 to 1"),
    ],
)
def test_unusable_confidences_are_refused(
    confidences: list[float], correct: list[bool], message: str
) -> None:
    for function in (expected_calibration_error, fit_calibration):
        with pytest.raises(ConfigError, match=message):
            function(confidences, correct)


# Which words are right


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("A B C", "A B C", [True, True, True]),
        ("A B C", "A X C", [True, False, True]),
        ("A B C", "A C", [True, True]),
        ("A C", "A B C", [True, False, True]),
        ("A", "", []),
        ("", "A", [False]),
    ],
)
def test_correct_words(reference: str, hypothesis: str, expected: list[bool]) -> None:
    (aligned,) = align({"u": reference}, {"u": hypothesis})
    assert correct_words(aligned) == expected
