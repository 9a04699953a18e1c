"""Which decoder the options make for a checkpoint, and what is refused."""

import dataclasses
import logging
import math
import shutil
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest

import asr
from asr.checkpoint.checkpoint import LANGUAGE_MODEL, load_checkpoint, update_metrics
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.beam import SearchConfig
from asr.decode.confidence import Calibration
from asr.decode.decoder import (
    CONSTRAINED,
    LIST_PRIOR_WEIGHT,
    REJECT_BELOW,
    TunedSettings,
    with_tuned_settings,
)
from asr.decode.priors import LOG_PRIORS, PRIOR_WEIGHT
from asr.errors import AsrError, CheckpointError, ConfigError, TextError
from asr.files import sha256_of
from asr.inference.options import HOTWORD_BOOST, WIDE_BEAM, DecodingKeywords, DecodingOptions
from asr.language.confusable import LETTER_COSTS, with_letter_costs
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from tests.support import Tones


@pytest.fixture
def utterance(tones: Tones) -> Utterance:
    return read_manifest(tones.test)[0]


def keep_priors(folder: Path) -> tuple[float, ...]:
    checkpoint = load_checkpoint(folder)
    priors = (-0.5, *[-3.0] * (len(checkpoint.tokens) - 1))
    update_metrics(folder, {**checkpoint.metrics, LOG_PRIORS: list(priors)})
    return priors


def keep_settings(folder: Path, name: str, settings: TunedSettings) -> None:
    metrics = load_checkpoint(folder).metrics
    update_metrics(folder, with_tuned_settings(metrics, name, settings))


@pytest.fixture
def own(tones: Tones, tmp_path: Path) -> Path:
    """A checkpoint with a language model of its own that was tuned."""
    folder = shutil.copytree(tones.checkpoint, tmp_path / "own")
    sentences = [u.text.split() for u in read_manifest(tones.test)]
    write_arpa(folder / LANGUAGE_MODEL, estimate(sentences, 2).table)
    settings = TunedSettings(
        lm_sha256=sha256_of(folder / LANGUAGE_MODEL),
        search=SearchConfig(beam_size=6),
        calibration=Calibration(0.5, 0.25),
    )
    keep_settings(folder, LANGUAGE_MODEL, settings)
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size: expected at least 1"),
        ({"beam_size": 2.5}, "beam_size: expected a whole number"),
        ({"beam_size": True}, "beam_size: expected a whole number"),
        ({"nbest": 0}, "nbest: expected at least 1"),
        ({"beam_size": 2, "nbest": 3}, "nbest: expected 1 to 2"),
        ({"lm": 3}, "lm: expected the path of a file"),
        ({"lm": "x.arpa", "beam_size": 1}, "lm: expected a beam to use x.arpa with"),
        ({"lm_weight": float("nan")}, "lm_weight: expected a finite number"),
        ({"lm_weight": -1.0}, "lm_weight: expected 0 or more"),
        ({"lm": None, "lm_weight": 1.0}, "lm_weight: has no effect without a language model"),
        ({"beam_size": 1, "closed_vocabulary": True}, "closed_vocabulary: has no effect"),
        ({"grammar": "x.jsgf", "unknown_penalty": -1.0}, "unknown_penalty: has no effect"),
        ({"word_bonus": float("inf")}, "word_bonus: expected a finite number"),
        ({"unknown_penalty": 1.0}, "unknown_penalty: expected 0 or less"),
        ({"reject_below": -1.0}, "reject_below: has no effect"),
        ({"grammar": "x", "reject_below": 1.0}, "reject_below: expected 0 or less"),
        ({"no_speech_below": -1.0}, "no_speech_below: expected 0 or more"),
        ({"grammar": "x", "no_speech_below": 1.0}, "no_speech_below: has no effect with a grammar"),
        ({"prior_weight": -1.0}, "prior_weight: expected 0 or more"),
        ({"prior_weight": math.nan}, "prior_weight: expected a finite number"),
        ({"lexicon": "a", "grammar": "b"}, "lexicon: expected a lexicon or a grammar"),
        ({"grammar": ""}, "grammar: expected the path of a file"),
        ({"hotwords": "HELLO"}, "hotwords: expected words with their boosts"),
        ({"hotwords": {"A": "much"}}, "hotwords: expected a finite boost of 'A'"),
        ({"hotwords": {" ": 1.0}}, "hotwords: expected a word or phrase"),
    ],
)
def test_wrong_values_name_the_option(own: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        asr.load(own).prepare(**options)


def test_an_option_that_needs_a_language_model_where_there_is_none(tones: Tones) -> None:
    with pytest.raises(ConfigError, match=r"^lm_weight: .* has none of its own; name one with lm"):
        asr.load(tones.checkpoint).prepare(lm_weight=1.0)


def test_own_language_model_is_the_default(own: Path) -> None:
    recognizer = asr.load(own)
    decoding = recognizer.prepare()
    assert decoding.lm == own / LANGUAGE_MODEL
    assert decoding.lm_is_own
    assert decoding.is_tuned
    assert decoding.decoder.search.beam_size == 6
    assert decoding.decoder.calibration == Calibration(0.5, 0.25)
    for without in ({"lm": None}, {"lm": "none"}, {"beam_size": 1}):
        assert recognizer.prepare(**without).decoder.is_greedy


def test_a_grammar_or_lexicon_takes_the_place_of_the_own_model(own: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("A\n")
    decoding = asr.load(own).prepare(lexicon=words)
    assert (decoding.lm, decoding.is_tuned) == (None, False)
    assert decoding.decoder.search == dataclasses.replace(CONSTRAINED, prior_weight=PRIOR_WEIGHT)
    assert asr.load(own).prepare(lexicon=words, lm=own / LANGUAGE_MODEL).lm == own / LANGUAGE_MODEL


def test_rejection_as_tuned_with_a_grammar(own: Path, tmp_path: Path) -> None:
    grammar, other = tmp_path / "a.jsgf", tmp_path / "b.jsgf"
    grammar.write_text("public <c> = A | B;")
    other.write_text("public <c> = A;")
    settings = TunedSettings(
        search=SearchConfig(beam_size=5), constraint_sha256=sha256_of(grammar), reject_below=-0.25
    )
    keep_settings(own, "a.jsgf", settings)
    recognizer = asr.load(own)
    tuned = recognizer.prepare(grammar=grammar)
    assert tuned.is_tuned
    assert (tuned.decoder.search.beam_size, tuned.decoder.reject_below) == (5, -0.25)
    assert recognizer.prepare(grammar=grammar, reject_below=-1.0).decoder.reject_below == -1.0
    assert recognizer.prepare(grammar=other).decoder.reject_below is None
    assert recognizer.prepare().lm_is_own


def test_sentences_of_a_list_that_are_hard_to_tell_apart_are_named(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = load_checkpoint(own)
    size = len(checkpoint.tokens)
    costs = np.full((size, size), 9.0) - np.diag(np.full(size, 9.0))
    a, b = checkpoint.tokens.encode("AB")
    costs[a, b] = 0.5
    update_metrics(own, with_letter_costs(checkpoint.metrics, costs))
    assert "letter_costs" not in (own / "README.md").read_text()
    for name, text in (("list.txt", "A\nB\nB  B\n"), ("list.jsgf", "public <c> = A | B | B B;")):
        (tmp_path / name).write_text(text)
        caplog.clear()
        asr.load(own).prepare(grammar=tmp_path / name)
        assert f"{name}: hard to tell apart are 'A' and 'B' (0.5); the number" in caplog.text
    (tmp_path / "any.jsgf").write_text("public <c> = A+ | B;")
    caplog.clear()
    asr.load(own).prepare(grammar=tmp_path / "any.jsgf")
    assert "hard to tell apart" not in caplog.text
    update_metrics(own, {**checkpoint.metrics, LETTER_COSTS: ["0"]})
    with pytest.raises(CheckpointError, match="letter_costs: expected"):
        asr.load(own).prepare(grammar=tmp_path / "list.txt")


def test_a_grammar_is_read_once(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "unused.jsgf").write_text("public <c> = A; <t> = B;")
    asr.load(own).prepare(grammar=tmp_path / "unused.jsgf")
    assert caplog.text.count("no public rule uses <t>") == 1


def test_a_checkpoint_may_reject_with_any_grammar(own: Path, tmp_path: Path) -> None:
    """The threshold of a grammar that was tuned, and one that is given, come first."""
    grammar, other = tmp_path / "a.txt", tmp_path / "b.txt"
    grammar.write_text("A\nB\n")
    other.write_text("A\n")
    tuned = TunedSettings(constraint_sha256=sha256_of(grammar), reject_below=-0.25)
    keep_settings(own, "a.txt", tuned)
    update_metrics(own, {**load_checkpoint(own).metrics, REJECT_BELOW: -1.5})
    recognizer = asr.load(own)
    assert recognizer.prepare(grammar=grammar).decoder.reject_below == -0.25
    found = recognizer.prepare(grammar=other)
    assert found.decoder.reject_below == -1.5
    assert found.summary().endswith(", rejecting what fits worse than -1.5")
    assert recognizer.prepare(grammar=other, reject_below=-9.0).decoder.reject_below == -9.0
    assert recognizer.prepare(grammar=other, beam_size=1).decoder.reject_below == -1.5
    assert recognizer.prepare().decoder.reject_below is None
    for wrong in (0.5, "low", True):
        update_metrics(own, {**load_checkpoint(own).metrics, REJECT_BELOW: wrong})
        with pytest.raises(CheckpointError, match="reject_below: expected a number of 0 or less"):
            asr.load(own).prepare(grammar=other)


def test_a_checkpoint_may_have_a_prior_weight_for_any_grammar(own: Path, tmp_path: Path) -> None:
    grammar, other = tmp_path / "a.txt", tmp_path / "b.txt"
    grammar.write_text("A\nB\n")
    other.write_text("A\n")
    tuned = TunedSettings(
        search=SearchConfig(beam_size=5, prior_weight=0.25), constraint_sha256=sha256_of(grammar)
    )
    keep_settings(own, "a.txt", tuned)
    keep_priors(own)
    update_metrics(own, {**load_checkpoint(own).metrics, LIST_PRIOR_WEIGHT: 0.75})
    recognizer = asr.load(own)

    def weight(**options: Unpack[DecodingKeywords]) -> float:
        return recognizer.prepare(**options).decoder.search.prior_weight

    assert recognizer.prepare(grammar=grammar).is_tuned
    assert weight(grammar=grammar) == 0.25
    assert weight(grammar=other) == weight(grammar=other, beam_size=9) == 0.75
    assert weight(grammar=grammar, prior_weight=0) == weight(grammar=other, prior_weight=0) == 0
    assert weight() == weight(beam_size=9) == 0
    alone = recognizer.prepare(lm="none", prior_weight=1).decoder
    assert (alone.search.prior_weight, alone.search.beam_size) == (1, WIDE_BEAM)
    for wrong in (-0.5, "high", True):
        update_metrics(own, {**load_checkpoint(own).metrics, LIST_PRIOR_WEIGHT: wrong})
        with pytest.raises(CheckpointError, match="prior_weight: expected a number of 0 or more"):
            asr.load(own).prepare(grammar=other)


def test_priors_count_half_with_a_language_model_that_was_not_tuned(
    own: Path, tmp_path: Path
) -> None:
    lm = tmp_path / "other.arpa"
    write_arpa(lm, estimate([["A"]], 1).table)
    metrics = load_checkpoint(own).metrics
    del metrics[LOG_PRIORS]
    update_metrics(own, metrics)
    assert asr.load(own).prepare(lm=lm).decoder.search.prior_weight == 0
    with pytest.raises(ConfigError, match="prior_weight: expected a checkpoint with label priors"):
        asr.load(own).prepare(lm=lm, prior_weight=0.5)
    priors = keep_priors(own)
    recognizer = asr.load(own)
    decoder = recognizer.prepare(lm=lm).decoder
    assert (decoder.search.prior_weight, decoder.log_priors) == (PRIOR_WEIGHT, priors)
    assert recognizer.prepare(lm=lm, prior_weight=0).decoder.search.prior_weight == 0
    grammar = tmp_path / "a.txt"
    grammar.write_text("A\n")
    assert recognizer.prepare(grammar=grammar).decoder.search.prior_weight == PRIOR_WEIGHT
    assert recognizer.prepare(lm=lm).decoder.search.beam_size == WIDE_BEAM
    assert recognizer.prepare(lm="none").decoder.is_greedy
    update_metrics(own, {**load_checkpoint(own).metrics, LOG_PRIORS: [-1.0]})
    with pytest.raises(CheckpointError, match="log_priors: expected 11 numbers of -100 to 0"):
        asr.load(own).prepare(lm=lm)


def test_a_model_is_known_by_the_file_it_was_copied_from(own: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.arpa"
    source.write_bytes(b"")
    write_arpa(source, estimate([["A"]], 1).table)
    settings = TunedSettings(
        lm_sha256=sha256_of(own / LANGUAGE_MODEL),
        lm_source_sha256=sha256_of(source),
        search=SearchConfig(beam_size=3),
    )
    keep_settings(own, LANGUAGE_MODEL, settings)
    decoding = asr.load(own).prepare(lm=source)
    assert decoding.is_tuned
    assert not decoding.lm_is_own
    assert decoding.decoder.search.beam_size == 3


def test_hot_words_go_with_the_own_model(own: Path) -> None:
    decoding = asr.load(own).prepare(hotwords=["A", "B  A"])
    assert decoding.lm_is_own
    assert not decoding.is_tuned
    assert decoding.decoder.calibration.is_identity
    assert decoding.options.hotwords == {"A": HOTWORD_BOOST, "B A": HOTWORD_BOOST}
    with pytest.raises(TextError, match="hot word 'k'"):
        asr.load(own).prepare(hotwords={"k": 1.0})


def test_own_language_model_that_is_not_as_recorded(own: Path, utterance: Utterance) -> None:
    path = own / LANGUAGE_MODEL
    path.write_bytes(path.read_bytes() + b"\0")
    recognizer = asr.load(own)
    with pytest.raises(CheckpointError, match=rf"{path}: .*--lm none"):
        recognizer.transcribe(utterance.audio_filepath)
    path.unlink()
    with pytest.raises(CheckpointError, match=rf"{path}: missing"):
        recognizer.transcribe(utterance.audio_filepath)
    assert recognizer.transcribe(utterance.audio_filepath, lm=None).text


def test_own_language_model_of_other_characters(own: Path) -> None:
    write_arpa(own / LANGUAGE_MODEL, estimate([["привет", "мир"]], 1).table)
    keep_settings(own, LANGUAGE_MODEL, TunedSettings(lm_sha256=sha256_of(own / LANGUAGE_MODEL)))
    with pytest.raises(CheckpointError, match=rf"{own / LANGUAGE_MODEL}: .*lm none"):
        asr.load(own).prepare()


def test_own_language_model_that_was_not_tuned_is_used_with_defaults(
    tones: Tones, tmp_path: Path
) -> None:
    folder = shutil.copytree(tones.checkpoint, tmp_path / "untuned")
    write_arpa(folder / LANGUAGE_MODEL, estimate([["A", "B"]], 1).table)
    decoding = asr.load(folder).prepare()
    assert decoding.lm_is_own
    assert not decoding.is_tuned
    assert decoding.summary().endswith("own lm.arpa.gz, not tuned: see `asr tune`")


def test_preparing_again_reads_files_only_when_they_changed(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("A\n")
    recognizer = asr.load(own)
    with caplog.at_level(logging.INFO, "asr.inference"):
        first = recognizer.prepare(lexicon=words)
        assert recognizer.prepare(lexicon=str(words)) is first
        assert len(caplog.records) == 1
        words.write_text("A\nBB\n")
        assert recognizer.prepare(lexicon=words) is not first
        assert recognizer.prepare() is not first
    assert len(caplog.records) == 3


def test_a_decoder_and_options_together_are_refused(own: Path, utterance: Utterance) -> None:
    recognizer = asr.load(own)
    decoder = recognizer.prepare().decoder
    with pytest.raises(ConfigError, match="nbest: expected a decoder or decoding options"):
        recognizer.transcribe(utterance.audio_filepath, decoder=decoder, nbest=2)


def test_options_are_equal_by_what_they_say() -> None:
    assert DecodingOptions(lm="none") == DecodingOptions(lm=None)
    assert DecodingOptions(lm="a.arpa") == DecodingOptions(lm=Path("a.arpa"))
    assert DecodingOptions(hotwords=["A"]) == DecodingOptions(hotwords={"A": HOTWORD_BOOST})
    assert issubclass(ConfigError, AsrError)
