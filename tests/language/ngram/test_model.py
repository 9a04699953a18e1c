"""N-gram models: scores by definition and as KenLM computes them."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from asr.errors import TextError
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model, read_arpa, score_word
from asr.language.ngram.table import NgramTable
from tests.oracles_ngram import (
    GOLDEN,
    SMALL,
    Definition,
    artificial_text,
    log10_prob,
    sentences,
    tables,
    written,
)


@given(tables(), sentences)
def test_scores_are_by_definition(table: NgramTable, sentence: list[str]) -> None:
    model = compile_model(table)
    expected = Definition(table).word_log_probs(sentence, table.order)

    np.testing.assert_allclose(model.word_log_probs(sentence), expected, atol=1e-12)
    assert model.log_prob(sentence) == pytest.approx(math.fsum(expected), abs=1e-12)


@pytest.mark.parametrize("sentence", GOLDEN)
def test_scores_are_kenlms(sentence: str, tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))

    assert log10_prob(model, sentence) == pytest.approx(GOLDEN[sentence], abs=1e-6)


def test_scores_are_those_of_kenlm_here(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    text = artificial_text(1)
    path = tmp_path / "lm.arpa"
    table = estimate(text, 4, (0, 0, 1)).table
    # Some tools prune n-grams that longer ones end in, which kenlm reads too.
    used = {tuple(gram[:-1]) for gram in table.grams[2].tolist()}
    kept = np.array([tuple(gram) in used or gram[0] % 2 == 0 for gram in table.grams[1].tolist()])
    table = NgramTable(
        table.words,
        *(
            (columns[0], columns[1][kept], *columns[2:])
            for columns in (table.grams, table.log_probs, table.log_backoffs)
        ),
    )
    write_arpa(path, table)
    model, theirs = read_arpa(path), kenlm.Model(str(path))

    for sentence in (*text[:100], *artificial_text(2, 300), ["oov"], ["w1", "oov", "w1"]):
        expected = [log10 for log10, _, _ in theirs.full_scores(" ".join(sentence))]
        ours = model.word_log_probs(sentence) / math.log(10)
        np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_sentence_marks(begins: bool, ends: bool, tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))
    expected = (-0.2 if begins else -0.5) + (-0.55 if begins else -0.4) * ends

    assert model.log_prob("yes", begins, ends) == pytest.approx(expected * math.log(10))
    with pytest.raises(TextError, match="</s>"):
        model.log_prob("yes </s>", begins, ends)


def test_unknown_words(tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))
    closed = read_arpa(written(tmp_path, SMALL.replace("<unk>", "maybe"), "closed.arpa"))
    shouted = read_arpa(written(tmp_path, SMALL.replace("<unk>", "<UNK>"), "shouted.arpa"))

    assert (model.word_id("foo"), model.word_id("no"), model.end_word) == (4, 3, 1)
    assert (closed.word_id("foo"), closed.unknown_word, shouted.word_id("foo")) == (-1, -1, 4)
    assert closed.log_prob("yes foo") == -math.inf
    assert score_word(closed.arrays, closed.start_state, -1) == (-math.inf, 0)


def test_states_are_as_few_as_tell_contexts_apart(tmp_path: Path) -> None:
    arrays = read_arpa(written(tmp_path, SMALL)).arrays

    # Nothing; <s>, yes, no; <s> yes, no yes. After `yes no`, without back-off, as after `no`.
    assert len(arrays.log_backoff) == 6
