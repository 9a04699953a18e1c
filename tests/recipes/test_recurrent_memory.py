"""Slot filling: the sentences decide labels as they say, and models see what they should."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from recipes.recurrent import memory
from recipes.recurrent.experiments import Plan, Results
from recipes.recurrent.memory import MODELS, PARAMETERS, Tagger, middle, place_of, report, run
from recipes.recurrent.sentences import (
    CITIES,
    FRAMES,
    PARTS,
    SIDES,
    VOCABULARY,
    Word,
    clause,
    some_pair,
    some_sentence,
)


def texts(sentence: list[Word]) -> list[str]:
    return [word.text for word in sentence]


def test_a_clause_labels_its_city_and_knows_where_the_deciding_word_is() -> None:
    aside = [Word("on"), Word("May", "date"), Word("2nd", "date")]
    near = clause(FRAMES["before"][0], "departure", "Taipei", aside)
    assert texts(near) == "I leave Taipei on May 2nd".split()
    assert near[2] == Word("Taipei", "departure", 1)
    assert [word.label for word in near[3:]] == ["other", "date", "date"]
    after = clause(FRAMES["after"][0], "destination", "Osaka", aside)
    assert texts(after) == "Osaka is where I arrive on May 2nd".split()
    assert after[0] == Word("Osaka", "destination", -4)


def test_sentences_are_in_the_vocabulary_and_neither_city_nor_side_tells_the_label() -> None:
    source = random.Random(0)
    words = [word for _ in range(4000) for word in some_sentence(source)]
    assert {word.text for word in words} <= set(VOCABULARY)
    found = Counter((w.text, w.distance < 0, w.label) for w in words if w.label in PARTS)
    for city in CITIES:
        for after in (False, True):
            one, other = (found[city, after, part] for part in PARTS)
            assert 0.4 < one / (one + other) < 0.6


@pytest.mark.parametrize("side", SIDES)
def test_a_pair_has_the_same_words_and_other_labels(side: str) -> None:
    source = random.Random(1)
    for _ in range(20):
        first, second = some_pair(source, side)
        assert sorted(texts(first)) == sorted(texts(second))
        labels = [{w.text: w.label for w in words if w.label in PARTS} for words in (first, second)]
        assert len(labels[0]) == 2
        assert all(labels[0][city] != labels[1][city] for city in labels[0])
        places = {place_of(word) for word in first if word.label in PARTS}
        assert places <= ({"after"} if side == "after" else {"near", "far"})


@pytest.mark.parametrize("name", MODELS)
def test_layers_keep_to_the_budget_and_padding_changes_no_label(name: str) -> None:
    size = sum(parameter.numel() for parameter in middle(name).parameters())
    assert abs(size - PARAMETERS) < 0.1 * PARAMETERS
    torch.manual_seed(0)
    model, source = Tagger(name), random.Random(2)
    sentences = [some_sentence(source) for _ in range(5)]
    assert model.label(sentences) == [model.label([words])[0] for words in sentences]


def test_the_feed_forward_net_never_tells_a_pair_apart() -> None:
    torch.manual_seed(0)
    model = Tagger("feed_forward")
    first, second = some_pair(random.Random(3), "before")
    one, other = model.label([first, second])
    by_word = dict(zip(texts(first), one, strict=True))
    assert [by_word[text] for text in texts(second)] == other


def test_runs_only_what_is_asked_for_and_reports_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"STEPS": 2, "TEST_SENTENCES": 20, "TEST_PAIRS": 4}.items():
        monkeypatch.setattr(memory, name, value)
    results = Results(tmp_path / "results")
    assert report(results, tmp_path) == ""
    run(Plan(results, ["lstm", "gru"], seeds=1))
    assert set(results.finished("memory")) == {"feed_forward-s0", "lstm-s0", "lstm_both-s0"}
    again = Results(tmp_path / "again")
    run(Plan(again, ["lstm"], seeds=1))
    assert again.finished("memory") == results.finished("memory")
    text = report(results, tmp_path / "figures")
    assert "| LSTM, both directions |" in text
    assert "Elman" not in text
    assert (tmp_path / "figures" / "memory.png").stat().st_size < 300_000
