"""Search, language models and constraints over grapheme clusters: as over letters, one for one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.decode.beam import LARGEST_BEAM, SearchConfig, search
from asr.decode.decoder import build_decoder, is_of_characters
from asr.language.automata.automaton import spelling_trie
from asr.language.grammar.compiler import compile_grammar, parse_grammar
from asr.language.hotwords import build_hotwords
from asr.language.lexicon import build_lexicon
from asr.language.ngram.model import NgramModel
from asr.language.ngram.table import SPECIAL_WORDS
from asr.language.spelling import speller, spelling_error, word_trie
from asr.language.word_list import parse_word_list
from asr.text.tokens import TokenTable
from tests.oracles_search import Sources, best_hypotheses, emissions_over, sources, tiny_model

CLUSTERS = {" ": " ", "a": "x", "b": "x\u030c", "c": "ọ\u0301", "é": "x\u0301", "'": "\u0915\u093f"}
"""In the order of the letters. Three begin alike: taken apart, they would be other words."""
LETTERS = TokenTable(tuple(" abc"))
TABLE = TokenTable(tuple(map(CLUSTERS.__getitem__, LETTERS.characters)), "graphemes")
WORDS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8)


def spelt(text: str) -> str:
    """A text of letters in clusters."""
    return "".join(map(CLUSTERS.__getitem__, text))


def model_in_clusters(model: NgramModel | None) -> NgramModel | None:
    if model is None:
        return None
    kept = (*SPECIAL_WORDS, "<space>")
    words = tuple(word if word in kept else spelt(word) for word in model.words)
    return NgramModel(model.order, words, model.arrays)


def in_clusters(world: Sources) -> Sources:
    return dataclasses.replace(
        world,
        table=TokenTable(tuple(map(spelt, world.table.characters)), "graphemes"),
        word_model=model_in_clusters(world.word_model),
        character_model=model_in_clusters(world.character_model),
        hotwords={spelt(phrase): boost for phrase, boost in world.hotwords.items()},
    )


def assert_same(one: object, other: object) -> None:
    """Assert that arrays, in tuples of any depth, are equal."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        for part, counterpart in zip(one, other, strict=True):
            assert_same(part, counterpart)
    else:
        assert np.array_equal(one, other)  # type: ignore[arg-type]


@given(sources(), st.integers(0, 10**6), st.integers(1, 10), st.sampled_from([2, 12]))
def test_search_is_that_over_letters(world: Sources, seed: int, frames: int, beam: int) -> None:
    log_probs = torch.from_numpy(emissions_over(seed, frames, world.table, 2.0))
    config = SearchConfig(beam, nbest=beam)
    expected = search(log_probs, config, world.fusion())
    assert search(log_probs, config, in_clusters(world).fusion()) == expected


@given(st.integers(0, 10**6), st.sampled_from([0.5, 2.0, 6.0]))
def test_unbounded_search_equals_enumeration(seed: int, peakiness: float) -> None:
    text = [[spelt(word) for word in words] for words in [["a", "b"], ["ab", "a"], ["ba", "é"]]]
    table = TokenTable((" ", "x", "x\u030c"), "graphemes")
    characters = [["x", "x\u030c", "<space>", "x"]]
    world = Sources(
        table,
        word_model=tiny_model(text, 2),
        character_model=tiny_model(characters, 2),
        automaton=parse_word_list("\n".join(map(spelt, ["a", "b", "ab", "ba"])), table),
        hotwords={"x\u030c": 2.0, "x x\u030c": -1.0},
    )
    log_probs = emissions_over(seed, 4, table, peakiness)
    found = search(
        torch.from_numpy(log_probs), SearchConfig(LARGEST_BEAM, nbest=LARGEST_BEAM), world.fusion()
    )
    expected = best_hypotheses(log_probs, world)
    assert {h.tokens: h.log_score for h in found} == pytest.approx(expected, abs=1e-9)


@given(WORDS)
def test_tries_and_word_lists_are_those_of_letters(words: list[str]) -> None:
    words = sorted(set(words), reverse=True)
    clusters = list(map(spelt, words))
    assert_same(word_trie(clusters, TABLE), word_trie(words, LETTERS))
    assert_same(word_trie(clusters, TABLE), spelling_trie(list(map(TABLE.encode, clusters))))
    one, other = "\n".join(clusters), "\n".join(words)
    assert_same(parse_word_list(one, TABLE), parse_word_list(other, LETTERS))


def test_grammars_lexicons_and_hot_words_are_those_of_letters() -> None:
    rules = "#JSGF V1.0; public <s> = ({} | {} {}) [{}] <t>*; <t> = {};"
    words = ["a", "bb", "a", "c", "ab"]
    assert_same(
        compile_grammar(parse_grammar(rules.format(*map(spelt, words))), TABLE),
        compile_grammar(parse_grammar(rules.format(*words)), LETTERS),
    )
    model = tiny_model([["ab", "c", "aé"], ["b"]], 2)
    other = model_in_clusters(model)
    assert other
    assert_same(build_lexicon(other, TABLE), build_lexicon(model, LETTERS))
    phrases = {"ab c": 2.0, "b": -1.0}
    in_clusters = {spelt(phrase): boost for phrase, boost in phrases.items()}
    assert_same(build_hotwords(in_clusters, TABLE), build_hotwords(phrases, LETTERS))


def test_a_part_of_a_cluster_is_another_letter() -> None:
    can_spell = speller(TABLE)
    assert can_spell("xx\u030cọ\u0301")
    assert not any(map(can_spell, ["ọ", "x\u0301", "x ", "\u030cx"]))
    assert spelling_error("x\u0301ọ", TABLE) == "'x\u0301ọ' has 'x\u0301', 'ọ'"


def test_kind_of_a_model_in_a_table_without_a_space() -> None:
    model = tiny_model([["x", "x\u030c"]], 2)
    graphemes = TokenTable(("x", "x\u030c"), "graphemes")
    assert is_of_characters(model, graphemes)
    assert not is_of_characters(model, TokenTable(("x", "\u030c")))
    assert not is_of_characters(tiny_model([["xx\u030c"]], 2), graphemes)


def test_models_of_code_points_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model([["x", "\u030c", "<space>"]], 2)
    Sources(TABLE, character_model=model).fusion()
    assert "lacks 2 of the recogniser's 4 graphemes: x\u030c ọ\u0301" in caplog.text


def test_words_are_spelt_in_clusters_by_every_source(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("xx\u030c\n", encoding="utf-8")
    log_probs = torch.from_numpy(emissions_over(0, 6, TABLE, 1.0))
    decoder = build_decoder(TABLE, SearchConfig(8, nbest=8), lexicon=tmp_path / "words.txt")
    texts = {TABLE.decode(h.tokens) for h in decoder(log_probs)}
    assert texts <= {" ".join(["xx\u030c"] * n) for n in range(4)}
    assert len(texts) > 1
