"""What writing another letter costs, on emissions that are known."""

import math

import numpy as np
import pytest
import torch

from asr.text.tokens import TokenTable
from asr.tuning.dev_set import DevSet
from asr.tuning.letters import letter_costs

TABLE = TokenTable(tuple(" AB"))
BLANK, SPACE, A, B = range(4)
A_FRAME = [0.1, 0.01, 0.8, 0.09]
BLANK_FRAME = [0.9, 0.02, 0.03, 0.05]


def dev(*utterances: tuple[str, list[list[float]]]) -> DevSet:
    emissions = tuple(torch.tensor(rows).log() for _, rows in utterances)
    return DevSet(tuple(text for text, _ in utterances), emissions, 1.0)


def test_replaced_left_out_and_put_in() -> None:
    costs = letter_costs(dev(*3 * [("A", [BLANK_FRAME, A_FRAME, BLANK_FRAME])]), TABLE)
    assert costs is not None
    assert costs[A] == pytest.approx([math.log(8), math.log(80), 0, math.log(0.8 / 0.09)])
    assert costs[BLANK] == pytest.approx([0, math.log(45), math.log(30), math.log(18)])
    # Of B there is no recording: it gets the mean of the tokens that there are.
    mean = (costs[A] + costs[BLANK]) / 2
    assert costs[B, [BLANK, SPACE, A]] == pytest.approx(mean[[BLANK, SPACE, A]])
    assert costs[B, B] == 0


def test_a_letter_of_two_frames_needs_one_of_another() -> None:
    """The other frame is a blank where that is likelier."""
    costs = letter_costs(dev(*3 * [("A", [A_FRAME, A_FRAME])]), TABLE)
    assert costs is not None
    assert costs[A, B] == pytest.approx(math.log(8) + math.log(0.8 / 0.09))
    assert costs[A, BLANK] == pytest.approx(2 * math.log(8))


def test_what_cannot_be_aligned_is_passed_over() -> None:
    one = ("A", [BLANK_FRAME, A_FRAME, BLANK_FRAME])
    plain = letter_costs(dev(*3 * [one]), TABLE)
    more = letter_costs(dev(*3 * [one], ("AAA", [A_FRAME]), ("X", [A_FRAME]), ("", [])), TABLE)
    assert plain is not None
    assert more is not None
    np.testing.assert_array_equal(plain, more)
    assert letter_costs(dev(("", [A_FRAME])), TABLE) is None
    large = TokenTable(tuple(map(chr, range(0x4E00, 0x4E00 + 300))))
    assert letter_costs(dev(one), large) is None
