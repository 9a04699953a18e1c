"""Perplexities of sentences and texts."""

import math

import pytest

from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.language.ngram.perplexity import TextScore, score_sentence, sum_scores

MODEL = compile_model(estimate([["yes", "no"], ["no"], ["yes"]], 2).table)


def test_sentence_without_unknown_words() -> None:
    score = score_sentence(MODEL, ["yes", "no"])

    assert score.log_prob == score.log_prob_without_oov == MODEL.log_prob("yes no")
    assert (score.words, score.oov) == (2, 0)


def test_unknown_words_count_and_are_left_out() -> None:
    score = score_sentence(MODEL, ["yes", "maybe", "no"])
    yes, maybe, no, end = MODEL.word_log_probs("yes maybe no")

    assert score.log_prob == pytest.approx(yes + maybe + no + end)
    assert score.log_prob_without_oov == pytest.approx(yes + no + end)
    assert (score.words, score.oov) == (3, 1)


def test_text_is_the_sum_of_its_sentences() -> None:
    scores = [score_sentence(MODEL, sentence) for sentence in (["yes"], ["oov", "no"], [])]
    text = sum_scores(scores)

    assert (text.sentences, text.words, text.oov, text.oov_rate) == (3, 3, 1, 1 / 3)
    assert text.perplexity == pytest.approx(math.exp(-sum(s.log_prob for s in scores) / 6))
    assert text.perplexity_without_oov == pytest.approx(
        math.exp(-sum(s.log_prob_without_oov for s in scores) / 5)
    )


@pytest.mark.parametrize("log_prob", [-math.inf, -1e6])
def test_perplexity_too_large_for_a_float_is_infinite(log_prob: float) -> None:
    assert TextScore(1, 1, 1, log_prob, -1.0).perplexity == math.inf
