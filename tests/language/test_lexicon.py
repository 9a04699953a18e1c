"""The trie of a language model's words and its look-ahead."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from asr.errors import TextError
from asr.language.automata.automaton import step
from asr.language.lexicon import Lexicon, build_lexicon
from asr.text.tokens import TokenTable
from tests.oracles_search import tiny_model

TABLE = TokenTable(tuple(" abc"))
TEXT = [["a", "abc"], ["ab", "a"], ["ca", "a"]]


def state_of(lexicon: Lexicon, beginning: str) -> int:
    state = 0
    for token in TABLE.encode(beginning):
        state = step(lexicon.trie, state, token)
    return state


def test_every_word_ends_in_its_state() -> None:
    model = tiny_model(TEXT, 2)
    lexicon = build_lexicon(model, TABLE)
    for word in ("a", "ab", "abc", "ca"):
        state = state_of(lexicon, word)
        assert lexicon.trie.accepting[state]
        assert lexicon.word[state] == model.word_id(word)
    assert lexicon.word[state_of(lexicon, "c")] == -1
    assert step(lexicon.trie, state_of(lexicon, "ca"), 1) == -1
    assert len(lexicon.word) == 1 + len({"a", "ab", "abc", "c", "ca"})


@pytest.mark.parametrize("beginning", ["", "a", "ab", "abc", "c"])
def test_look_ahead_is_the_best_word_that_can_come(beginning: str) -> None:
    model = tiny_model(TEXT, 2)
    lexicon = build_lexicon(model, TABLE)
    words = [word for word in ("a", "ab", "abc", "ca") if word.startswith(beginning)]
    best = max(model.arrays.unigram_log_prob[model.word_id(word)] for word in words)
    assert lexicon.best_log_prob[state_of(lexicon, beginning)] == best


def test_the_marks_are_no_words() -> None:
    table = TokenTable(tuple("/<>aknsu"))
    lexicon = build_lexicon(tiny_model([["a"], ["sun"]], 2), table)
    assert (
        np.flatnonzero(lexicon.trie.accepting).tolist()
        == np.flatnonzero(lexicon.word >= 0).tolist()
    )
    assert lexicon.trie.accepting.sum() == 2


def test_a_model_of_marks_alone_is_refused() -> None:
    model = replace(tiny_model([["a"]], 1), words=("</s>", "<s>", "<unk>"))
    with pytest.raises(TextError, match="language model: has only special words"):
        build_lexicon(model, TABLE)


def test_words_that_cannot_be_written_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model([*TEXT, ["x", "ä", "a'b"]], 2)
    with caplog.at_level(logging.WARNING):
        lexicon = build_lexicon(model, TABLE)
    [message] = [r.getMessage() for r in caplog.records if r.name == "asr.language.lexicon"]
    assert "3 of 7 words have characters" in message
    assert lexicon.trie.accepting.sum() == 4


def test_a_model_in_another_alphabet_is_refused() -> None:
    with pytest.raises(TextError, match=r"none of its 2 words .*'Ä'.*characters ' abc'"):
        build_lexicon(tiny_model([["Ä", "B'"]], 1), TABLE)


def test_words_in_another_case_are_the_same_words() -> None:
    lower, upper = tiny_model([*TEXT, ["Ca"], ["ab", "ca"]], 2), TokenTable(tuple(" ABC"))
    lexicon, same = build_lexicon(lower, upper), build_lexicon(lower, TABLE)
    assert lexicon.trie.accepting.tolist() == same.trie.accepting.tolist()
    assert lexicon.word.tolist() == same.word.tolist()
    assert lower.word_id("ca") in lexicon.word  # CA is the likelier of both
