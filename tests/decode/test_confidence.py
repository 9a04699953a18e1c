"""Word confidences and the rejection score on emissions whose answers are known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.decode.align import viterbi_align
from asr.decode.beam import SearchConfig, search
from asr.decode.confidence import mean_log_ratio, word_confidences, word_spans
from asr.decode.greedy import greedy_search
from asr.decode.hypothesis import Hypothesis
from asr.text.tokens import TokenTable
from tests.oracles import random_emissions

TABLE = TokenTable(tuple(" ab"))


def peaks(*rows: tuple[int, float]) -> Tensor:
    """Emissions over blank, space, a and b: a token of each frame and its probability."""
    table = np.full((len(rows), 4), 0.0)
    for frame, (token, probability) in enumerate(rows):
        table[frame] = (1 - probability) / 3
        table[frame, token] = probability
    return torch.from_numpy(np.log(table))


AB_A = peaks((2, 0.9), (3, 0.6), (0, 0.9), (1, 0.8), (2, 0.7), (2, 0.95), (0, 0.99))
"""`ab a`"""


@given(st.lists(st.integers(1, 3), max_size=12))
def test_spans_are_the_words_of_the_text(tokens: list[int]) -> None:
    spans = word_spans(tokens, TABLE)
    words = ["".join(TABLE.characters[tokens[i] - 1] for i in span) for span in spans]
    assert words == TABLE.decode(tokens).split()


def test_the_least_certain_token_decides() -> None:
    best = greedy_search(AB_A)
    assert TABLE.decode(best.tokens) == "ab a"
    alignment = viterbi_align(AB_A, best.tokens)
    found = word_confidences(AB_A, alignment, [best], TABLE)
    assert found == pytest.approx([0.6**0.5, 0.95**0.5])


def test_hypotheses_vote_by_their_probability() -> None:
    best = greedy_search(AB_A)
    log_score = best.log_score
    others = [
        Hypothesis(tuple(TABLE.encode("ab b")), log_score + np.log(0.5)),
        Hypothesis(tuple(TABLE.encode("b a")), log_score + np.log(0.25)),
        Hypothesis((), log_score + np.log(0.25)),
    ]
    alignment = viterbi_align(AB_A, best.tokens)
    found = word_confidences(AB_A, alignment, [best, *others], TABLE)
    assert found == pytest.approx([(0.6 * 1.5 / 2) ** 0.5, (0.95 * 1.25 / 2) ** 0.5])


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_every_word_has_a_confidence_from_0_to_1(seed: int, frames: int) -> None:
    log_probs = torch.from_numpy(random_emissions(seed, frames, 4, 3.0))
    hypotheses = search(log_probs, SearchConfig(beam_size=8, nbest=8))
    alignment = viterbi_align(log_probs, hypotheses[0].tokens)
    found = word_confidences(log_probs, alignment, hypotheses, TABLE)
    assert len(found) == len(TABLE.decode(hypotheses[0].tokens).split())
    assert ((found >= 0) & (found <= 1)).all()


def test_no_words_no_confidences() -> None:
    silence = peaks((0, 0.9), (1, 0.8))
    best = greedy_search(silence)
    assert best.tokens == (1,)
    assert not len(word_confidences(silence, viterbi_align(silence, best.tokens), [best], TABLE))


def test_the_likeliest_path_has_the_log_ratio_0() -> None:
    assert mean_log_ratio(AB_A, viterbi_align(AB_A, greedy_search(AB_A).tokens)) == 0


def test_log_ratio_counts_the_frames_in_which_something_is_heard() -> None:
    one = peaks((2, 0.97), (0, 0.97))
    expected = np.log(0.01 / 0.97)  # b in place of a, in its frame
    assert mean_log_ratio(one, viterbi_align(one, [3])) == pytest.approx(expected)
    assert mean_log_ratio(one, viterbi_align(one, [])) == pytest.approx(expected)
    padded = peaks(*[(0, 0.97)] * 50, (2, 0.97), *[(0, 0.97)] * 50)
    assert mean_log_ratio(padded, viterbi_align(padded, [3])) == pytest.approx(expected)


def test_silence_that_should_be_silence_is_no_mismatch() -> None:
    silence = peaks((0, 0.9), (0, 0.9))
    assert mean_log_ratio(silence, viterbi_align(silence, [])) == 0
