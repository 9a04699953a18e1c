"""Recurrent language models: exact, learning, and kept whole."""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import Tensor

from asr.checkpoint.language_model import load_language_model, save_language_model
from asr.errors import AsrError, CheckpointError, ConfigError, TextError
from asr.language.kneser_ney import estimate
from asr.language.neural import BOUNDARY, UNKNOWN_WORD, NeuralConfig, NeuralModel
from asr.language.neural_training import TrainingConfig, train_neural
from asr.language.ngram import compile_model
from asr.language.perplexity import score_sentence, total
from tests.oracles import log_softmax

WORDS = ("ay", "bee", "sea", "dee")
SMALL = NeuralConfig(hidden=16, dropout=0.0)
QUICK = TrainingConfig(epochs=30, rate=2e-2, weight_decay=0.0)
MIRROR = [
    [first, *middle, first]
    for first in ("ay", "bee")
    for middle in itertools.product(("sea", "dee"), repeat=3)
] * 4
"""The last word is the first one: three words stand between them."""


def random_model(words: Sequence[str] = WORDS, layers: int = 1, seed: int = 0) -> NeuralModel:
    """Weights larger than at the beginning of training, so that differences show."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NeuralModel(words, NeuralConfig(hidden=8, layers=layers)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return model


# --- Scores


def by_steps(model: NeuralModel, sentence: Sequence[str]) -> list[float]:
    """The log-probability of each word and of the end, one step of the LSTM after the other."""
    weights: dict[str, NDArray[np.float64]] = {
        name: tensor.double().numpy() for name, tensor in model.state_dict().items()
    }

    def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-x))

    layers, hidden = model.config.layers, model.config.hidden
    states = [(np.zeros(hidden), np.zeros(hidden)) for _ in range(layers)]
    numbers = [2 + WORDS.index(word) if word in WORDS else UNKNOWN_WORD for word in sentence]
    log_probs = []
    for read, coming in itertools.pairwise([BOUNDARY, *numbers, BOUNDARY]):
        x = weights["embedding.weight"][read]
        for k, (h, c) in enumerate(states):
            gates = sum(
                weights[f"lstm.weight_{kind}_l{k}"] @ vector + weights[f"lstm.bias_{kind}_l{k}"]
                for kind, vector in (("ih", x), ("hh", h))
            )
            i, f, g, o = np.split(np.asarray(gates), 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            x = sigmoid(o) * np.tanh(c)
            states[k] = (x, c)
        logits = weights["embedding.weight"] @ x + weights["bias"]
        log_probs.append(log_softmax(logits[None])[0, coming])
    return [float(log_prob) for log_prob in log_probs]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    "sentence", [[], ["bee"], ["dee", "ay", "ay", "sea"], ["ay", "what", "bee", "ever"]]
)
def test_scores_are_those_of_one_step_after_the_other(sentence: list[str], layers: int) -> None:
    model = random_model(layers=layers)
    (score,) = model.score_sentences([sentence])
    expected = by_steps(model, sentence)
    known = [p for p, word in zip(expected, [*sentence, "ay"], strict=True) if word in WORDS]
    assert score.log_prob == pytest.approx(sum(expected), abs=1e-5)
    assert score.log_prob_known == pytest.approx(sum(known), abs=1e-5)
    assert (score.words, score.unknown) == (len(sentence), len(expected) - len(known))


@given(st.lists(st.lists(st.sampled_from([*WORDS, "what"]), max_size=9), max_size=70))
def test_a_sentence_scores_the_same_alone_and_in_a_batch(sentences: list[list[str]]) -> None:
    model = random_model()
    together = model.score_sentences(sentences)
    alone = [score for sentence in sentences for score in model.score_sentences([sentence])]
    assert [score.words for score in together] == [score.words for score in alone]
    np.testing.assert_allclose(
        [(score.log_prob, score.log_prob_known) for score in together],
        [(score.log_prob, score.log_prob_known) for score in alone],
        atol=1e-5,
    )


def test_what_comes_next_has_probability_one() -> None:
    model = random_model()
    inputs = torch.tensor([[BOUNDARY, 2, UNKNOWN_WORD, 5], [BOUNDARY, 4, 4, 3]])
    totals = model(inputs).exp().sum(dim=-1)
    torch.testing.assert_close(totals, torch.ones(2, 4))


def test_all_sentences_together_have_probability_one() -> None:
    """Those of up to two of its words and marks, and all that begin with three."""
    model = random_model(("ay", "bee"))
    words = ["ay", "bee", "what"]
    short = [list(s) for n in range(3) for s in itertools.product(words, repeat=n)]
    ended = sum(math.exp(score.log_prob) for score in model.score_sentences(short))
    begun = [list(s) for s in itertools.product(words, repeat=3)]
    with torch.inference_mode():
        log_probs = model.word_log_probs([model.encode(s) for s in begun])
    going_on = float(log_probs[:, :-1].sum(dim=1).exp().sum())
    assert ended + going_on == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 0}, "hidden: expected 1 to 4096, found 0"),
        ({"layers": 9}, "layers: expected 1 to 8, found 9"),
        ({"dropout": 1.0}, "dropout: expected 0 or more and below 1"),
    ],
)
def test_impossible_sizes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NeuralConfig(**settings)


# --- Training


def test_it_learns_what_is_too_far_apart_for_n_grams() -> None:
    """The best possible perplexity: one of 2 words first, three times one of 2, then all is sure.

    A 2-gram has to guess the last word, whatever it was told.
    """
    best = math.exp(4 * math.log(2) / 6)
    trained = train_neural(MIRROR, MIRROR, SMALL, QUICK)
    bigrams = compile_model(estimate(MIRROR, 2).table)
    by_bigrams = total(score_sentence(bigrams, sentence) for sentence in MIRROR).perplexity
    found = total(trained.model.score_sentences(MIRROR)).perplexity
    assert best - 1e-3 < found < best * 1.02
    assert by_bigrams > best * 1.1
    assert found == min(trained.perplexities) == trained.perplexities[trained.epoch]


def test_the_same_seed_gives_the_same_model() -> None:
    config = dataclasses.replace(QUICK, epochs=2)
    before = torch.random.get_rng_state()
    first, again, other = (
        train_neural(MIRROR, None, NeuralConfig(hidden=8, dropout=0.3), c)
        for c in (config, config, dataclasses.replace(config, seed=1))
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.perplexities == again.perplexities != other.perplexities
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


def test_the_epoch_that_foresees_the_held_out_best_is_kept() -> None:
    """Sentences that are learned by heart tell ever less about others."""
    held_out = [["sea", "ay"], ["dee", "dee", "bee"]]
    trained = train_neural(MIRROR, held_out, SMALL, dataclasses.replace(QUICK, patience=3))
    assert len(trained.perplexities) - 1 == trained.epoch + 3 < QUICK.epochs
    found = total(trained.model.score_sentences(held_out)).perplexity
    assert found == min(trained.perplexities)
    assert not trained.model.training


def test_without_other_sentences_a_tenth_is_held_out() -> None:
    config = dataclasses.replace(QUICK, epochs=1)
    assert train_neural(MIRROR, None, SMALL, config).sentences == 64 - 7
    own = [[f"only-in-{i}"] for i in range(20)]
    trained = train_neural(own, None, SMALL, config)
    assert len(trained.model.words) == trained.sentences == 18
    with pytest.raises(TextError, match="expected at least 2 sentences"):
        train_neural([["ay"]], None, SMALL, config)


def test_words_that_occur_once_teach_what_an_unknown_word_is() -> None:
    """An unknown word is as likely as the one of the names that it may be."""
    names = [["i", "am", f"name-{i}"] for i in range(40)] + [["i", "was"]] * 40
    learned, never = (
        train_neural(names, names, SMALL, dataclasses.replace(QUICK, unknown_chance=chance)).model
        for chance in (0.5, 0.0)
    )
    unknown = [["i", "am", "nobody"], ["i", "nobody"]]
    as_name, out_of_place = (score.log_prob for score in learned.score_sentences(unknown))
    (without,) = never.score_sentences(unknown[:1])
    assert as_name > without.log_prob + 1
    assert as_name > out_of_place + 1


def test_impossible_training_is_refused() -> None:
    with pytest.raises(ConfigError, match="epochs: expected 1 or more, found 0"):
        TrainingConfig(epochs=0)


# --- The file


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "lm.safetensors"
    save_language_model(path, random_model(("ay", "señor", "</w>"), layers=2))
    return path


def test_a_model_comes_back_as_it_was(kept: Path) -> None:
    model = load_language_model(kept)
    written = random_model(("ay", "señor", "</w>"), layers=2)
    sentences = [["señor", "ay"], [], ["what"]]
    assert (model.words, model.config) == (written.words, written.config)
    assert model.score_sentences(sentences) == written.score_sentences(sentences)
    before = kept.read_bytes()
    save_language_model(kept, model)
    assert kept.read_bytes() == before


def test_any_damage_is_seen(kept: Path) -> None:
    content = kept.read_bytes()
    for place in {*range(0, len(content), 97), *range(9, 140, 7), len(content) - 1}:
        damaged = bytearray(content)
        damaged[place] ^= 1
        kept.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"lm\.safetensors: "):
            load_language_model(kept)


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1])
def test_a_file_that_was_cut_short_is_refused(kept: Path, length: int) -> None:
    kept.write_bytes(kept.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"lm\.safetensors: "):
        load_language_model(kept)


def resealed(description: dict[str, Any], weights: dict[str, Tensor]) -> bytes:
    """A file whose digest is right, whatever it says."""
    key, empty = "asr_language_model", b"0" * 64
    description = {"format_version": 1, "sha256": empty.decode()} | description
    content = save_tensors(weights, metadata={key: json.dumps(description)})
    digest = hashlib.sha256(content.replace(empty, b"", 1)).hexdigest()
    return content.replace(empty, digest.encode(), 1)


CONFIG = {"hidden": 8, "layers": 1, "dropout": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2; this program reads up to 1: upgrade asr"),
        ({"words": list("abc")}, "do not make one model"),
        ({"words": [1, 2, 3, 4]}, "'words' holds something other than text"),
        ({"words": "abcd"}, "'words' has the wrong type"),
        ({"config": CONFIG | {"hidden": 4096}}, "do not make one model"),
        ({"config": CONFIG | {"hidden": 1e9}}, "expected int"),
        ({"config": CONFIG | {"depth": 1}}, "unknown key 'depth'"),
        ({"extra": 1}, "unknown keys: 'extra'"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path, weights = tmp_path / "lm.safetensors", random_model().state_dict()
    sound = {"config": CONFIG, "words": list(WORDS)}
    path.write_bytes(resealed(sound, weights))
    load_language_model(path)
    path.write_bytes(resealed(sound | changes, weights))
    with pytest.raises(CheckpointError, match=message):
        load_language_model(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "lm.safetensors", random_model()
    with torch.no_grad():
        model.bias[2] = math.nan
    save_language_model(path, model)
    with pytest.raises(CheckpointError, match="a weight is NaN or infinite"):
        load_language_model(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    with pytest.raises(CheckpointError, match="no such file; expected a recurrent"):
        load_language_model(path)
    with pytest.raises(CheckpointError, match="expected a file, found something else; expected a"):
        load_language_model(tmp_path)
    for content in (save_tensors(random_model().state_dict()), b"\\data\\\nngram 1=3\n"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="found another or a damaged file"):
            load_language_model(path)
    with pytest.raises(AsrError, match="create the folder first"):
        save_language_model(tmp_path / "gone" / "lm.safetensors", random_model())
