"""Next-word prediction: what models see, the units of their figures, and the whole part."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.corpus.manifest import Utterance, write_manifest
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.language.ngram.perplexity import score_sentence, sum_scores
from recipes.recurrent import next_word
from recipes.recurrent.experiments import Plan, Results
from recipes.recurrent.next_word import FEED_FORWARD, LanguageModel, Text

SENTENCES = [text.split() for text in ("A B C", "B A", "C C A B A", "A", "B C A")]
TEXT = Text(SENTENCES, SENTENCES[:2], SENTENCES[2:], ("</s>", "<unk>", "A", "B", "C"))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few sentences instead of AN4."""
    for split, repeats in (("train", 5), ("dev", 1)):
        utterances = [
            Utterance(str(number), tmp_path / "no.wav", 1.0, " ".join(words))
            for number, words in enumerate(SENTENCES * repeats)
        ]
        write_manifest(tmp_path / f"{split}.jsonl", utterances)
    monkeypatch.setattr(next_word, "FOLDER", tmp_path)
    monkeypatch.setattr(next_word, "PARAMETERS", 8000)
    monkeypatch.setattr(next_word, "EPOCHS", 2)


def test_sentences_end_with_the_end_and_unknown_words_are_unk() -> None:
    words, lengths = TEXT.encode([["A", "Z"], ["C"]])
    assert words.tolist() == [[2, 1, 0], [4, 0, 0]]
    assert lengths.tolist() == [3, 2]


@pytest.mark.parametrize("kind", [FEED_FORWARD, "lstm", "ligru"])
def test_sentences_are_scored_alone_as_in_a_batch(kind: str) -> None:
    torch.manual_seed(0)
    model = LanguageModel(kind, len(TEXT.words), 8)
    together = next_word.scores_of(model, TEXT, SENTENCES)
    alone = [next_word.scores_of(model, TEXT, [sentence]) for sentence in SENTENCES]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    assert len(together) == sum(len(sentence) + 1 for sentence in SENTENCES)


@pytest.mark.parametrize(("kind", "changed"), [(FEED_FORWARD, [0, 1, 2]), ("elman", range(5))])
def test_what_a_network_sees_of_a_sentence(kind: str, changed: list[int]) -> None:
    """The first word counts for itself, and for those that see it."""
    torch.manual_seed(0)
    model = LanguageModel(kind, len(TEXT.words), 8)
    first, second = (next_word.scores_of(model, TEXT, [[word, *"ABC"]]) for word in ("A", "C"))
    assert [place for place in range(5) if first[place] != second[place]] == list(changed)


def test_ngrams_are_measured_as_the_product_measures_them() -> None:
    model = compile_model(estimate(TEXT.train, 3).table)
    scores = next_word.ngram_scores(model, TEXT.dev)
    expected = sum_scores(score_sentence(model, sentence) for sentence in TEXT.dev)
    assert next_word.in_unit("words", next_word.nats(scores)) == pytest.approx(expected.perplexity)
    assert next_word.in_unit("characters", math.log(8)) == pytest.approx(3)


def test_one_seed_makes_one_network(corpus: None) -> None:
    first, second = (next_word.measure("gru", "words", 1, {}) for _ in range(2))
    assert first["nats"] == second["nats"]
    assert first["parameters"] == pytest.approx(next_word.PARAMETERS, rel=0.1)


def test_the_mean_of_equal_models_is_the_model(corpus: None) -> None:
    text = next_word.read_text("words")
    model, _ = next_word.train("mingru", text, 0)
    own = next_word.scores_of(model, text, text.dev)
    found = next_word.measure("mingru", "words", 0, {"3": own.tolist()})
    assert found["mixed"]["3"] == pytest.approx(found["nats"])


def test_the_part_keeps_its_results_and_reports_them(corpus: None, tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    assert next_word.report(results, tmp_path / "figures") == ""
    next_word.run(Plan(results, ["elman"], seeds=1))
    kept = results.finished("next_word")
    names = {
        f"{unit}-{kind}"
        for unit in ("words", "characters")
        for kind in ("ngram", "elman-s0", "feed-forward-s0")
    }
    assert set(kept) == names
    next_word.run(Plan(results, ["elman"], seeds=1))
    assert results.finished("next_word") == kept
    report = next_word.report(results, tmp_path / "figures")
    assert "| elman |" in report
    assert "| 3-gram |" in report
    assert "perplexity per word" in report
    assert "bits per character" in report
    assert 0 < (tmp_path / "figures" / "next_word.png").stat().st_size < 300_000
