"""When what was said counts as none of the allowed sentences."""

import pytest

from asr.decode.fusion import Fusion
from asr.language.word_list import parse_word_list
from asr.tuning.dev_set import ConstrainedResult
from asr.tuning.rejection import allowed_utterances, choose_rejection
from tests.tuning.synthetic import TABLE


def test_allowed_are_the_sentences_of_the_automaton() -> None:
    fusion = Fusion(TABLE, automaton=parse_word_list("BAD\nBED", TABLE))
    references = ["BAD", "BED  BAD", "BA", "CAN", "BAD CAN", "X", "", " "]
    assert allowed_utterances(references, fusion) == [True, True] + [False] * 6


def test_the_threshold_is_in_the_middle_between_the_two() -> None:
    references = ["BAD", "BED", "BAD", "CAN", ""]
    allowed = [True, True, True, False, False]
    ratios = [-0.1, -0.2, -0.3, -2.3, -4.0]
    texts = ["BAD", "BED", "BAD", "BAD", "BED"]
    results = [ConstrainedResult(t, r) for t, r in zip(texts, ratios, strict=True)]
    found = choose_rejection(references, allowed, results)
    assert found.reject_below == pytest.approx(-1.3, abs=0.06)
    assert (found.inside, found.outside) == (3, 2)
    assert (found.false_rejects, found.false_accepts, found.misrecognised) == (0, 0, 0)
    assert found.wrong == 0


def test_errors_on_either_side_are_weighed() -> None:
    """Of ten that are allowed one sounds like none; of three others one sounds allowed."""
    references = ["BAD"] * 10 + ["CAN"] * 3
    allowed = [True] * 10 + [False] * 3
    ratios = [-0.1] * 9 + [-6.0] + [-0.1, -3.0, -3.2]
    results = [ConstrainedResult("BAD", ratio) for ratio in ratios]
    found = choose_rejection(references, allowed, results)
    assert found.reject_below == pytest.approx(-1.55, abs=0.06)
    assert (found.false_rejects, found.false_accepts) == (1, 1)


def test_what_is_wrong_anyway_has_no_part_in_it() -> None:
    """A wrong text is wrong whether it is rejected or not; nothing found is rejected anyway."""
    references = ["BAD", "BAD", "BAD", "CAN", "CAN"]
    allowed = [True, True, True, False, False]
    results = [
        ConstrainedResult("BAD", -0.1),
        ConstrainedResult("BED", -3.0),
        ConstrainedResult(None, 0.0),
        ConstrainedResult("BAD", -2.0),
        ConstrainedResult("", -0.1),
    ]
    found = choose_rejection(references, allowed, results)
    assert found.misrecognised == 2
    assert (found.false_rejects, found.false_accepts) == (0, 0)
    assert found.wrong == 2
    assert found.reject_below is not None
    assert -2.0 < found.reject_below < -0.1


def test_without_others_there_is_no_threshold() -> None:
    found = choose_rejection(["BAD"], [True], [ConstrainedResult("BAD", -0.1)])
    assert found.reject_below is None
    assert (found.inside, found.outside, found.wrong) == (1, 0, 0)
