"""The place in a grid of errors to settle at."""

import numpy as np

from asr.tuning.choice import BONUSES_ALONE, LM_WEIGHTS, WORD_BONUSES
from asr.tuning.plateau import finer, plateau_middle, plateau_narrowest, smoothed


def test_the_middle_of_a_plateau_is_taken() -> None:
    errors = np.full((7, 9), 30)
    errors[2:5, 1:8] = 10
    assert plateau_middle(errors) == (3, 4)
    assert plateau_middle(np.array([5, 5, 5, 5, 5])) == (2,)


def test_a_plateau_can_be_entered_further_on() -> None:
    errors = np.full((5, 9), 10)
    assert plateau_middle(errors, lean=0.0) == (2, 4)
    assert plateau_middle(errors, lean=0.5) == (3, 6)
    assert plateau_middle(errors, lean=1.0) == (4, 8)


def test_one_lucky_place_is_passed_over() -> None:
    errors = np.array([[20, 20, 20, 12, 12], [20, 8, 20, 12, 12], [20, 20, 20, 12, 12]])
    assert plateau_middle(errors) == (1, 4)


def test_beyond_the_edge_errors_go_on() -> None:
    assert plateau_middle(np.array([[9, 40, 80, 120]])) == (0, 0)
    assert plateau_middle(np.array([[120], [80], [40], [9]])) == (3, 0)
    assert smoothed(np.array([3.0, 6.0, 9.0])).tolist() == [4.0, 6.0, 8.0]


def test_only_allowed_places_are_taken() -> None:
    errors = np.array([[9, 9, 9, 30, 30], [9, 9, 9, 30, 30], [9, 9, 9, 30, 30]])
    allowed = np.ones(errors.shape, bool)
    assert plateau_middle(errors, allowed) == (1, 0)  # beside the rise it is smoothed away
    allowed[:, :2] = False
    assert plateau_middle(errors, allowed) == (1, 2)


def test_the_narrowest_of_those_as_good_is_taken() -> None:
    assert plateau_narrowest(np.array([50, 50, 50, 50, 90, 200])) == 2
    assert plateau_narrowest(np.array([50, 50, 50])) == 2
    assert plateau_narrowest(np.array([10, 90, 90, 90])) == 0
    assert plateau_narrowest(np.array([90, 90, 10, 10, 10])) == 4


def test_a_finer_grid_lies_between_the_neighbours() -> None:
    assert finer((0.0, 1.0, 3.0), 1.0, 5) == (0.0, 0.75, 1.5, 2.25, 3.0)
    assert finer((0.0, 1.0, 3.0), 0.0, 5) == (0.0, 0.25, 0.5, 0.75, 1.0)
    for values in (LM_WEIGHTS, WORD_BONUSES, BONUSES_ALONE):
        assert list(values) == sorted(values)
