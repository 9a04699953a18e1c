"""The emissions that decoders are compared on are what the benchmark says they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asr.decode.greedy import greedy_search
from asr.errors import TextError
from asr.model.loss import ctc_loss
from asr.text.tokens import BLANK
from tests.benchmarks.emissions import TABLE, EmissionConfig, emit, emit_tokens
from tests.benchmarks.english import English, from_files, passages
from tests.benchmarks.speech import Speech, synthetic

SENTENCES = """
it was the best of times it was the worst of times it was the age of wisdom
the quick brown fox jumps over the lazy dog and doesn't look back at all
a recogniser that hears letters one by one will mistake those that sound alike
speech is heard in frames of forty milliseconds with silence in between them
""".strip().splitlines()
CLEAR = EmissionConfig(noise=0.01, faint=0.0, ghost=0.0, floor=1e-6)


def spoken(count: int, seed: int, config: EmissionConfig | None = None) -> Speech:
    generator = np.random.default_rng(seed)
    texts = [" ".join(generator.permutation(SENTENCES)) for _ in range(count)]
    emissions = [emit(text, 600, generator, config) for text in texts]
    return Speech(TABLE, emissions, texts, 0.04)


@pytest.fixture(scope="module")
def speech() -> Speech:
    return spoken(24, seed=0)


def frames_of(speech: Speech) -> NDArray[np.float64]:
    return np.exp(np.concatenate(speech.emissions).astype(np.float64))


def test_frames_are_distributions(speech: Speech) -> None:
    assert all(e.shape == (600, 29) and e.dtype == np.float32 for e in speech.emissions)
    assert np.isfinite(np.concatenate(speech.emissions)).all()
    assert frames_of(speech).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_greedy_decoding_errs_as_promised(speech: Speech) -> None:
    assert 0.08 < speech.character_error_rate(speech.greedy) < 0.12
    assert 0.38 < speech.word_error_rate(speech.greedy) < 0.52


def test_emissions_are_peaky(speech: Speech) -> None:
    blank = frames_of(speech)[:, BLANK]
    assert np.mean(blank[blank > 0.5] > 0.999) > 0.8
    assert np.mean((blank < 0.01) | (blank > 0.99)) > 0.85


def test_what_is_said_stays_possible(speech: Speech) -> None:
    """The truth is worse than the best path by no more than a language model can make up for."""
    for emissions, text in zip(speech.emissions, speech.references, strict=True):
        log_probs, target = torch.from_numpy(emissions)[None], torch.tensor([TABLE.encode(text)])
        lengths = torch.tensor([len(emissions)]), torch.tensor([target.shape[1]])
        truth = -float(ctc_loss(log_probs, lengths[0], target, lengths[1]))
        best = greedy_search(log_probs[0]).log_score
        assert -2.0 < (truth - best) / len(text.split()) < 1.0


def test_confusions_are_among_sound_alikes() -> None:
    heard = emit(400 * "m o t ", 6000, np.random.default_rng(0)).argmax(axis=1)
    counts = np.bincount(heard, minlength=len(TABLE))
    alike = counts[TABLE.encode("n" + "ae" + "bdp")].sum()
    said = counts[TABLE.encode("m ot")].sum() + counts[BLANK]
    assert alike > 4 * (counts.sum() - said - alike) > 0


def test_equal_generators_make_equal_emissions() -> None:
    once, again, other = spoken(2, seed=1), spoken(2, seed=1), spoken(2, seed=2)
    assert all(map(np.array_equal, once.emissions, again.emissions))
    assert not np.array_equal(once.emissions[0], other.emissions[0])


def test_clear_speech_is_read_without_error() -> None:
    speech = spoken(3, seed=3, config=CLEAR)
    assert speech.greedy == speech.references


def test_text_that_just_fits() -> None:
    generator = np.random.default_rng(0)
    for text, frames in (("abc", 3), ("aabb", 6)):
        emissions = emit(text, frames, generator, CLEAR)
        assert TABLE.decode(greedy_search(torch.from_numpy(emissions)).tokens) == text
    with pytest.raises(AssertionError, match="do not fit"):
        emit("aabb", 5, generator)
    with pytest.raises(TextError, match="É"):
        emit("É", 10, generator)


@pytest.mark.parametrize("tokens", [29, 500])
def test_random_tokens(tokens: int) -> None:
    emissions = emit_tokens(tokens, 200, np.random.default_rng(0))
    assert emissions.shape == (200, tokens)
    assert np.exp(emissions.astype(np.float64)).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert 60 < (emissions.argmax(axis=1) != BLANK).sum() < 140


def test_passages_keep_every_sentence() -> None:
    document = ["one two", "three", "four five six", "seven"]
    made = list(passages(document, 10))
    assert made == ["one two three", "four five six", "seven"]


def test_sentences_of_a_file(tmp_path: Path) -> None:
    prose = [f"This is the sentence that has number {a}{b} in it." for a in "abcd" for b in "efgh"]
    numbered = [line.replace("has", f"has {word}") for line in prose for word in "iklmnop"]
    file = tmp_path / "a.txt"
    file.write_text("\n\n".join(["x = 3.", "Too short.", *(f"{s} {s}" for s in numbered)]))
    read = from_files([file])
    sentences = [sentence for document in read.known + read.uttered for sentence in document]
    assert len(sentences) == len(set(sentences)) == len(numbered)
    assert sentences[0] == "this is the sentence that has i number ae in it"
    assert list(map(len, read.uttered)) == [12]

    file.write_text("\n\n".join(prose * 20))
    with pytest.raises(TextError, match="expected 100 sentences or more, found 16"):
        from_files([file])


def test_no_document_is_tested_and_tuned_on() -> None:
    generator = np.random.default_rng(0)
    words = " ".join(SENTENCES).split()
    documents = [
        [f"{' '.join(generator.choice(words, 12))} d{'x' * i}" for _ in range(60)]
        for i in range(1, 11)
    ]
    material = synthetic(English(known=[SENTENCES * 10, *documents], uttered=documents), 6)
    marks = [
        {word for text in speech.references for word in text.split() if word.startswith("dx")}
        for speech in (material.test, material.tuning)
    ]
    assert [len(speech.emissions) for speech in (material.test, material.tuning)] == [6, 3]
    assert [len(found) for found in marks] == [6, 3]
    assert not marks[0] & marks[1]
    assert all(300 <= len(e) <= 1000 for e in material.test.emissions + material.tuning.emissions)
    with pytest.raises(TextError, match="ask for fewer utterances"):
        synthetic(English(known=[SENTENCES], uttered=documents), 60)
