"""Estimation of n-gram models: against a textbook, against lmplz, and what must always hold.

`golden/kneser_ney.json` holds what KenLM (kenlm 0.3.0 of the package index, its `lmplz` and `query`
built with cmake 3.25 and Boost 1.74) says of `artificial_text`. For each setting, the text of seed
1 went through `lmplz -o ORDER --prune COUNTS --discount_fallback`, its ARPA file and the text of
seed 2 through `query`, which gave the log10 probability of each sentence and the perplexities with
and without unknown words. `small` is the same with the first 12 sentences of seed 1 alone, where
discounts fall back. The n-gram counts are those of the ARPA file's header.
"""

import itertools
import json
import logging
import math
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError, TextError
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import FALLBACK, Estimate, estimate
from asr.language.ngram.model import read_arpa
from asr.language.ngram.perplexity import score_sentence, sum_scores
from asr.language.ngram.table import NgramTable
from tests.conftest import REPOSITORY
from tests.oracles_ngram import artificial_text

GOLDEN: dict[str, Any] = json.loads(
    (REPOSITORY / "tests" / "golden" / "kneser_ney.json").read_text(encoding="utf-8")
)
Gram = tuple[str, ...]


class Textbook:
    """Modified Kneser-Ney as Chen and Goodman write it down, one probability at a time."""

    def __init__(self, text: list[list[str]], order: int, prune: list[int]) -> None:
        self.counts: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
        for sentence in text:
            padded = ("<s>", *sentence, "</s>")
            for length in range(1, order + 1):
                for start in range(len(padded) - length + 1):
                    self.counts[length][padded[start : start + length]] += 1
        self.words = {gram[0] for gram in self.counts[1]} - {"<s>"} | {"<unk>"}
        self.prune = prune
        self.adjusted: list[dict[Gram, int]] = [{}]
        for length in range(1, order + 1):
            self.adjusted.append(
                {
                    gram: count
                    if length == order or gram[0] == "<s>"
                    else sum(longer[1:] == gram for longer in self.counts[length + 1])
                    for gram, count in self.counts[length].items()
                    if gram != ("<s>",)
                }
            )
        self.discounts = [[0.0]] + [self.discount(length) for length in range(1, order + 1)]

    def discount(self, length: int) -> list[float]:
        n = Counter(self.adjusted[length].values())
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            found = [0.0] + [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
            if min(found[1:]) > 0:
                return found
        return [0.0, 0.5, 1.0, 1.5]

    def prob(self, word: str, context: Gram) -> float:
        """p(word | context), for a context of the text or none."""
        length = len(context) + 1
        followers = {
            gram[-1]: count for gram, count in self.adjusted[length].items() if gram[:-1] == context
        }
        shorter = self.prob(word, context[1:]) if context else 1 / len(self.words)
        if not followers:
            return shorter
        kept = {
            follower
            for follower in followers
            if length == 1 or self.counts[length][(*context, follower)] > self.prune[length - 1]
        }
        discounts = self.discounts[length]
        left_over = sum(
            discounts[min(count, 3)] if follower in kept else count
            for follower, count in followers.items()
        )
        own = 0.0
        if word in kept:
            own = followers[word] - discounts[min(followers[word], 3)]
        return (own + left_over * shorter) / sum(followers.values())


def contexts_of(table: NgramTable) -> list[Gram]:
    """Every n-gram of a model that words can follow, and the empty one."""
    contexts = [()] + [
        tuple(table.text(order, row).split())
        for order in range(1, table.order)
        for row in range(len(table.grams[order - 1]))
    ]
    return [context for context in contexts if context[-1:] not in (("</s>",), ("<unk>",))]


def prob_of(table: NgramTable) -> dict[tuple[Gram, str], float]:
    """p(word | context) of every context and word, by the definition of back-off."""
    log_probs, log_backoffs = {}, defaultdict(float)
    for grams, of_grams, backoffs in zip(
        table.grams, table.log_probs, table.log_backoffs, strict=True
    ):
        for row, gram in enumerate(grams.tolist()):
            spelled = tuple(table.words[word] for word in gram)
            log_probs[spelled], log_backoffs[spelled] = float(of_grams[row]), float(backoffs[row])

    def log_prob(word: str, context: Gram) -> float:
        if (*context, word) in log_probs:
            return log_probs[*context, word]
        return log_backoffs[context] + log_prob(word, context[1:])

    predicted = [word for word in table.words if word != "<s>"]
    return {
        (context, word): math.exp(log_prob(word, context))
        for context in contexts_of(table)
        for word in predicted
    }


texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=7), min_size=1, max_size=12).filter(any)
prunings = st.lists(st.integers(0, 3), min_size=3, max_size=3).map(lambda c: [0, *sorted(c)])


@given(texts, st.integers(1, 4), prunings)
def test_estimate_is_the_textbook_and_sums_to_one(
    text: list[list[str]], order: int, prune: list[int]
) -> None:
    table = estimate(text, order, prune[:order]).table
    textbook = Textbook(text, order, prune)
    probs = prob_of(table)

    for (context, word), prob in probs.items():
        assert prob == pytest.approx(textbook.prob(word, context), rel=1e-9)
    for context, same in itertools.groupby(probs.items(), lambda entry: entry[0][0]):
        assert math.fsum(prob for _, prob in same) == pytest.approx(1, abs=1e-9), context


@given(texts, st.integers(1, 4), prunings)
def test_pruned_models_are_closed(text: list[list[str]], order: int, prune: list[int]) -> None:
    result = estimate(text, order, prune[:order])
    whole = estimate(text, order)
    counts = Textbook(text, order, prune).counts

    for length in range(1, order + 1):
        kept = {tuple(gram) for gram in result.table.grams[length - 1].tolist()}
        assert result.distinct_ngrams[length - 1] == len(whole.table.grams[length - 1])
        if length > 1:
            expected = {gram for gram, n in counts[length].items() if n > prune[length - 1]}
            assert {tuple(result.table.words[i] for i in gram) for gram in kept} == expected
            shorter = {tuple(gram) for gram in result.table.grams[length - 2].tolist()}
            assert {gram[1:] for gram in kept} | {gram[:-1] for gram in kept} <= shorter


def test_discounts_by_hand() -> None:
    # 1-grams: a, b, c once each; d, e twice; f three times; </s> seven times.
    text = [["a", "d"], ["b", "d"], ["c", "e"], ["e", "f"], ["f"], ["f"], []]
    result = estimate(text, 1)

    expected = [1 - 2 * (3 / 7) * 2 / 3, 2 - 3 * (3 / 7) * 1 / 2, 3]
    assert list(result.discounts[0][:3]) == pytest.approx(expected)
    probs = prob_of(result.table)
    one, two, three = result.discounts[0][:3]
    left_over = (3 * one + 2 * two + 2 * three) / 17
    assert probs[(), "<unk>"] == pytest.approx(left_over / 8)
    assert probs[(), "</s>"] == pytest.approx((7 - three) / 17 + left_over / 8)
    assert (result.sentences, result.running_words) == (7, 10)


def test_discounts_fall_back_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asr"):
        result = estimate([["yes"], ["no"]], 2)

    assert result.discounts == (FALLBACK, FALLBACK)
    assert "the discounts of order 2 cannot be estimated" in caplog.text
    assert "using 0.5, 1 and 1.5" in caplog.text


@pytest.mark.parametrize("name", GOLDEN)
def test_model_is_that_of_lmplz(name: str, tmp_path: Path) -> None:
    golden = GOLDEN[name]
    result = estimate(artificial_text(1)[: golden["sentences"]], golden["order"], golden["prune"])
    write_arpa(tmp_path / "lm.arpa.gz", result.table)
    model = read_arpa(tmp_path / "lm.arpa.gz")
    scores = [score_sentence(model, sentence) for sentence in artificial_text(2, 30)]

    assert [len(grams) for grams in result.table.grams] == golden["ngrams"]
    ours = np.array([score.log_prob for score in scores]) / math.log(10)
    np.testing.assert_allclose(ours, golden["log10_probs"], atol=1e-4)
    assert sum_scores(scores).perplexity == pytest.approx(golden["perplexity"], rel=1e-5)
    assert sum_scores(scores).perplexity_without_oov == pytest.approx(
        golden["perplexity_without_oov"], rel=1e-5
    )


def test_golden_settings_reach_every_branch() -> None:
    results: dict[str, Estimate] = {
        name: estimate(artificial_text(1)[: golden["sentences"]], golden["order"], golden["prune"])
        for name, golden in GOLDEN.items()
    }

    assert all(d.is_estimated for d in results["trigram"].discounts)
    assert [d.is_estimated for d in results["small"].discounts] == [True, False, False]
    pruned = results["pruned"]
    assert all(
        len(g) < n for g, n in zip(pruned.table.grams[1:], pruned.distinct_ngrams[1:], strict=True)
    )
    held_out = [word for sentence in artificial_text(2, 30) for word in sentence]
    assert set(held_out) - set(results["small"].table.words)


@pytest.mark.parametrize("text", [[], [[]], [[], []]])
def test_text_without_words_is_refused(text: list[list[str]]) -> None:
    with pytest.raises(TextError, match="no words"):
        estimate(text, 2)


@pytest.mark.parametrize("word", ["", "two words", "tab\t", "<s>", "</s>", "<unk>"])
def test_invalid_words_are_refused(word: str) -> None:
    with pytest.raises(TextError, match=r"expected (only )?words"):
        estimate([["good"], ["good", word]], 2)


@pytest.mark.parametrize(
    ("order", "prune", "message"),
    [
        (0, [0], "order: expected at least 1"),
        (3, [1], "found 1"),
        (3, [0, 2, 1], "found 0,2,1"),
        (2, [0, 0, 1], "up to 2 counts"),
        (2, [], "found none"),
    ],
)
def test_bad_settings_are_refused(order: int, prune: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        estimate([["a"]], order, prune)


@pytest.mark.slow
def test_a_million_words_take_seconds() -> None:
    text = artificial_text(3, 180_000)
    start = time.process_time()
    result = estimate(text, 3)
    assert result.running_words > 900_000
    assert time.process_time() - start < 20
