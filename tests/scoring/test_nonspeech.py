"""Words in the transcripts of utterances without speech."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.scoring.nonspeech import NonSpeech, nonspeech
from asr.scoring.wer import (
    align,
    summarise,
)

texts = st.text(alphabet="ab \t\u00e9", max_size=14)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8), texts)
def test_words_of_empty_references_are_counted(pairs: list[tuple[str, str]], written: str) -> None:
    references = {str(i): reference for i, (reference, _) in enumerate(pairs)} | {"n": "A", "s": ""}
    hypotheses = {str(i): hypothesis for i, (_, hypothesis) in enumerate(pairs)} | {"n": "A"}
    aligned = align(references, hypotheses | {"s": written})
    silent = [i for i, text in references.items() if not text.split()]
    words = [len((hypotheses | {"s": written})[i].split()) for i in silent]
    found = nonspeech(aligned, dict.fromkeys(references, 30.0))
    assert found == NonSpeech(len(silent), 30.0 * len(silent), sum(map(bool, words)), sum(words))
    assert found.words_per_minute == pytest.approx(2 * sum(words) / len(silent))
    without = summarise(align(references, {**hypotheses, "s": ""}))
    assert summarise(aligned).insertions == without.insertions + len(written.split())
    assert summarise(aligned).words == without.words


def test_utterances_that_failed_are_left_out() -> None:
    aligned = align({"a": "ONE", "b": "", "c": ""}, {"a": "ONE", "b": "TWO", "c": ""})
    assert nonspeech(aligned, {"a": 1.0, "b": 12.0}) == NonSpeech(1, 12.0, 1, 1)
    assert nonspeech(aligned, {"a": 1.0}) is None
    assert nonspeech(aligned[:1], {"a": 1.0}) is None
