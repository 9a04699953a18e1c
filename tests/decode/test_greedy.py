"""Greedy and prefix beam search against exhaustive enumeration."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.config import from_dict, to_dict
from asr.decode.beam import SearchConfig, beam_search, search
from asr.decode.greedy import greedy_search, greedy_search_batch
from asr.decode.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.model.loss import ctc_loss
from tests.oracles import (
    Emissions,
    collapse,
    emissions,
    forward_score,
    path_scores,
    prefix_beam,
    random_emissions,
    sequence_scores,
)

UNBOUNDED = 10**5


def log_of(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def scores_of(hypotheses: list[Hypothesis]) -> dict[tuple[int, ...], float]:
    scores = {hypothesis.tokens: hypothesis.log_score for hypothesis in hypotheses}
    assert len(scores) == len(hypotheses), "token sequences are distinct"
    return scores


GRAVES = [[0.6, 0.4], [0.6, 0.4]]
"""Blank is likelier in each frame, yet three of the four alignments spell one token."""


# Exactness


@given(emissions())
def test_unbounded_beam_equals_enumeration_of_every_alignment(log_probs: Emissions) -> None:
    expected = sequence_scores(log_probs)
    found = beam_search(torch.from_numpy(log_probs), UNBOUNDED, nbest=UNBOUNDED)
    scores = [hypothesis.log_score for hypothesis in found]
    assert scores_of(found) == pytest.approx(expected, abs=1e-9)
    assert scores == sorted(scores, reverse=True)
    assert expected[found[0].tokens] == pytest.approx(max(expected.values()), abs=1e-9)
    assert math.fsum(map(math.exp, scores)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_unbounded_beam_equals_forward_variables_of_every_sequence(seed: int) -> None:
    log_probs = random_emissions(seed, frames=8, tokens=3, peakiness=1 + 2 * seed)
    found = scores_of(beam_search(torch.from_numpy(log_probs), UNBOUNDED, nbest=UNBOUNDED))
    assert found == pytest.approx({t: forward_score(log_probs, t) for t in found}, abs=1e-9)
    assert math.fsum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-9), "none is missing"


def test_the_oracles_agree_with_each_other() -> None:
    log_probs = random_emissions(5, frames=5, tokens=3)
    by_paths = sequence_scores(log_probs)
    by_forward = {tokens: forward_score(log_probs, tokens) for tokens in by_paths}
    assert by_paths == pytest.approx(by_forward, abs=1e-12)
    assert by_paths == pytest.approx(dict(prefix_beam(log_probs, UNBOUNDED)), abs=1e-12)


@given(emissions())
def test_totals_equal_the_ctc_loss(log_probs: Emissions) -> None:
    if not len(log_probs):
        return
    found = beam_search(torch.from_numpy(log_probs), UNBOUNDED, nbest=UNBOUNDED)
    longest = len(log_probs)
    losses = ctc_loss(
        torch.from_numpy(log_probs).expand(len(found), -1, -1),
        torch.full((len(found),), longest),
        torch.tensor([[*h.tokens, *[0] * (longest - len(h.tokens))] for h in found]),
        torch.tensor([len(h.tokens) for h in found]),
    )
    assert [-h.log_score for h in found] == pytest.approx(losses.tolist(), abs=1e-9)


# A bounded beam


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("peakiness", [0.3, 1.0, 4.0])
def test_bounded_beam_equals_its_plain_twin(beam_size: int, peakiness: float) -> None:
    for seed in range(10):
        log_probs = random_emissions(seed, frames=14, tokens=4, peakiness=peakiness)
        found = beam_search(torch.from_numpy(log_probs), beam_size, nbest=beam_size)
        expected = prefix_beam(log_probs, beam_size)
        assert scores_of(found) == pytest.approx(dict(expected), abs=1e-9)
        for hypothesis in found:
            exact = forward_score(log_probs, hypothesis.tokens)
            assert hypothesis.log_score <= exact + 1e-9


@given(emissions(max_frames=8), st.integers(1, 4))
def test_a_beam_of_any_size_survives_ties_and_impossible_tokens(
    log_probs: Emissions, beam_size: int
) -> None:
    found = beam_search(torch.from_numpy(log_probs), beam_size, nbest=beam_size)
    assert 1 <= len(scores_of(found)) <= beam_size
    assert all(-math.inf < h.log_score <= 1e-12 and h.frames is None for h in found)
    assert found == beam_search(torch.from_numpy(log_probs), beam_size, nbest=beam_size)


def test_a_prefix_that_left_the_beam_and_returns_is_the_same_prefix() -> None:
    # "b a b" leaves the beam while "b a b a" stays; when "b a" brings it back, its extension by
    # "a" has to merge with the "b a b a" that is there, not to stand beside it.
    log_probs = log_of(
        [
            [0.16, 0.08, 0.76],
            [0.31, 0.04, 0.65],
            [0.75, 0.25, 0.00],
            [0.01, 0.12, 0.87],
            [0.00, 0.96, 0.04],
            [0.16, 0.28, 0.56],
            [0.13, 0.84, 0.03],
            [0.95, 0.00, 0.05],
        ]
    )
    found = scores_of(beam_search(log_probs, 6, nbest=6))
    assert (2, 1, 2, 1) in found
    assert found == pytest.approx(dict(prefix_beam(log_probs.numpy(), 6)), abs=1e-12)


def test_ties_go_to_the_shorter_then_the_lower_tokens() -> None:
    uniform = torch.full((1, 4), 0.25, dtype=torch.float64).log()
    assert [h.tokens for h in beam_search(uniform, 4, nbest=4)] == [(), (1,), (2,), (3,)]
    assert [h.tokens for h in beam_search(uniform, 2, nbest=2)] == [(), (1,)]
    assert beam_search(uniform, 1) == [Hypothesis((), math.log(0.25))]
    many = torch.full((1, 256), 1 / 256, dtype=torch.float64).log()
    found = beam_search(many, 100, nbest=100)
    assert [h.tokens for h in found] == [(), *((token,) for token in range(1, 100))]


def test_beam_of_one_still_sums_the_alignments_of_its_prefix() -> None:
    [best] = beam_search(log_of([[0.3, 0.7], [0.4, 0.6]]), 1)
    assert best.tokens == (1,)
    assert best.log_score == pytest.approx(math.log(0.7))  # 0.7 × 0.6 + 0.7 × 0.4


def test_a_repeated_token_needs_a_blank_between() -> None:
    certain = log_of([[0, 1], [0, 1], [1, 0], [0, 1]])
    assert beam_search(certain, 4, nbest=4) == [Hypothesis((1, 1), 0.0)]
    assert greedy_search(certain) == Hypothesis((1, 1), 0.0, frames=(0, 3))


def test_beam_beats_greedy_where_no_single_alignment_is_likeliest() -> None:
    log_probs = log_of(GRAVES)
    greedy = greedy_search(log_probs)
    assert greedy.tokens == ()
    assert greedy.log_score == pytest.approx(math.log(0.36))
    best, second = beam_search(log_probs, 4, nbest=2)
    assert (best.tokens, second.tokens) == ((1,), ())
    assert best.log_score == pytest.approx(math.log(0.64))
    assert second.log_score == pytest.approx(math.log(0.36))


# Token pruning


def test_pruned_tokens_count_as_impossible() -> None:
    log_probs = random_emissions(3, frames=10, tokens=6, peakiness=2)
    inputs = torch.from_numpy(log_probs)
    by_rank = np.where(np.sort(log_probs)[:, [-2]] > log_probs, -np.inf, log_probs)
    found = search(inputs, SearchConfig(beam_size=8, nbest=8, tokens_per_frame=2))
    assert scores_of(found) == pytest.approx(dict(prefix_beam(by_rank, 8)), abs=1e-9)

    by_threshold = np.where(log_probs < -2, -np.inf, log_probs)
    assert (by_threshold.max(axis=1) > -np.inf).all()
    found = search(inputs, SearchConfig(beam_size=8, nbest=8, token_log_threshold=-2))
    assert scores_of(found) == pytest.approx(dict(prefix_beam(by_threshold, 8)), abs=1e-9)


def test_pruning_always_leaves_the_likeliest_token() -> None:
    log_probs = torch.from_numpy(random_emissions(4, frames=9, tokens=5))
    config = SearchConfig(beam_size=4, nbest=4, token_log_threshold=0.0)
    [only] = search(log_probs, config)
    greedy = greedy_search(log_probs)
    assert only.tokens == greedy.tokens
    assert only.log_score == pytest.approx(greedy.log_score)


def test_search_config_survives_json() -> None:
    config = SearchConfig(beam_size=3, token_log_threshold=-9.5)
    assert from_dict(SearchConfig, to_dict(config)) == config


# Greedy


@given(emissions())
def test_greedy_equals_the_best_of_all_alignments(log_probs: Emissions) -> None:
    paths = path_scores(log_probs)
    best = max(paths.values())
    greedy = greedy_search(torch.from_numpy(log_probs))
    assert greedy.log_score == pytest.approx(best, abs=1e-9)
    assert greedy.tokens in {collapse(p) for p, score in paths.items() if score >= best - 1e-9}
    assert (
        greedy.log_score <= beam_search(torch.from_numpy(log_probs), UNBOUNDED)[0].log_score + 1e-9
    )


@given(st.lists(emissions(max_frames=7), min_size=1, max_size=5), st.sampled_from([0.0, math.nan]))
def test_greedy_on_a_padded_batch_equals_greedy_on_each(
    utterances: list[Emissions], padding: float
) -> None:
    tokens = max(u.shape[1] for u in utterances)
    batch = torch.full((len(utterances), max(map(len, utterances)), tokens), padding).double()
    for row, utterance in zip(batch, utterances, strict=True):
        row[: len(utterance)] = -math.inf
        row[: len(utterance), : utterance.shape[1]] = torch.from_numpy(utterance)
    found = greedy_search_batch(batch, torch.tensor([len(u) for u in utterances]))
    assert found == [greedy_search(torch.from_numpy(u)) for u in utterances]


@given(emissions(max_frames=12))
def test_greedy_frames_rise_and_carry_their_tokens(log_probs: Emissions) -> None:
    greedy = greedy_search(torch.from_numpy(log_probs))
    assert greedy.frames is not None
    assert list(greedy.frames) == sorted(set(greedy.frames))
    assert [int(log_probs[f].argmax()) for f in greedy.frames] == list(greedy.tokens)


def test_greedy_frame_is_the_peak_of_its_run() -> None:
    log_probs = log_of(
        [[0.4, 0.6, 0], [0.1, 0.9, 0], [0.1, 0.9, 0], [0.8, 0.2, 0], [0, 0.3, 0.7], [0, 0.2, 0.8]]
    )
    assert greedy_search(log_probs).tokens == (1, 2)
    assert greedy_search(log_probs).frames == (1, 5)


def test_greedy_on_an_empty_batch() -> None:
    assert greedy_search_batch(torch.zeros(0, 5, 3), torch.zeros(0, dtype=torch.long)) == []


# Inputs


@pytest.mark.parametrize("tokens", [1, 27])
def test_without_frames_the_hypothesis_is_empty(tokens: int) -> None:
    nothing = torch.zeros(0, tokens)
    assert beam_search(nothing, 8, nbest=8) == [Hypothesis((), 0.0)]
    pruned = SearchConfig(token_log_threshold=-1.0, tokens_per_frame=1)
    assert search(nothing, pruned) == [Hypothesis((), 0.0)]
    assert greedy_search(nothing) == Hypothesis((), 0.0, frames=())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_any_floating_type_is_searched_in_float64(dtype: torch.dtype) -> None:
    log_probs = torch.from_numpy(random_emissions(1, frames=50, tokens=27, peakiness=3)).to(dtype)
    found = beam_search(log_probs.requires_grad_(), 8)
    [(tokens, score), *_] = prefix_beam(log_probs.detach().double().numpy(), 8)
    assert found[0].tokens == tokens
    assert found[0].log_score == pytest.approx(score, abs=1e-9)
    assert greedy_search(log_probs).log_score <= found[0].log_score


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (torch.zeros(2, 3, 4), r"shape \(frames, tokens\), found \(2, 3, 4\)"),
        (torch.zeros(4), "shape"),
        (torch.zeros(3, 0), "shape"),
        (torch.zeros(3, 1, dtype=torch.long), "floating point"),
        (torch.full((3, 4), math.nan), "NaN"),
        (torch.full((3, 4), 0.25), "log_softmax"),  # probabilities
        (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "3 of 3 frames.*logits"),
        (torch.tensor([[0.0, -math.inf], [math.inf, 0.0]]), "1 of 2 frames"),
        (torch.full((1, 4), -math.inf), "log_softmax"),
    ],
)
def test_what_is_not_log_probabilities_is_refused(log_probs: Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        beam_search(log_probs, 4)
    with pytest.raises(ConfigError, match=message):
        greedy_search(log_probs)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("beam_size", 0),
        ("nbest", 0),
        ("nbest", 17),
        ("token_log_threshold", 0.5),
        ("token_log_threshold", math.nan),
        ("tokens_per_frame", 0),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}: expected .* found {value}"):
        from_dict(SearchConfig, {setting: value})


def test_greedy_batch_refuses_lengths_that_do_not_fit() -> None:
    log_probs = torch.zeros(2, 3, 1)
    with pytest.raises(ConfigError, match=r"from 0 to 3, found \[3, 4\]"):
        greedy_search_batch(log_probs, torch.tensor([3, 4]))
    with pytest.raises(ConfigError, match=r"from 0 to 3, found \[-1, 2\]"):
        greedy_search_batch(log_probs, torch.tensor([-1, 2]))
    with pytest.raises(ConfigError, match=r"shapes \(N, T, C\) and \(N,\)"):
        greedy_search_batch(log_probs, torch.tensor([3]))
