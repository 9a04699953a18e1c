"""A dev set decoded with settings: what is counted, whatever the threads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asr.corpus.manifest import Utterance
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion, FusionConfig
from asr.errors import ManifestError
from asr.files import sha256_of
from asr.inference.recognizer import Recognizer
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.language.word_list import parse_word_list
from asr.scoring.wer import score
from asr.tuning.choice import Tuning
from asr.tuning.dev_set import (
    DevEvaluator,
    DevSet,
    count_unknown_words,
    encode_dev_set,
    was_trained_on,
)
from tests.tuning.synthetic import TABLE, dev_set_of, emissions_of


def test_trials_are_scored_as_anything_else(dev: DevSet, tuning: Tuning) -> None:
    for trial in (tuning.trials[0], tuning.choice):
        truth = score(
            *({str(i): t for i, t in enumerate(x)} for x in (dev.references, trial.texts))
        )
        assert (trial.wer, trial.cer) == (truth.wer, truth.cer)


def test_what_nothing_allows_counts_as_deleted() -> None:
    silent = DevSet(("A BED",), (torch.zeros(0, len(TABLE)),), 1.0)
    model = compile_model(estimate([["CAB"]], 1).table)
    fusion = Fusion(TABLE, FusionConfig(closed_vocabulary=True), word_model=model)
    noise = DevSet(("A BED",), (emissions_of("A", 0, clarity=90.0),), 1.0)
    for one, decoder in ((silent, Decoder()), (noise, Decoder(fusion=fusion))):
        evaluator = DevEvaluator(one, TABLE)
        trial = evaluator.trial(decoder)
        assert (trial.texts, trial.wer) == (("",), 1.0)
        assert evaluator.raw_confidences(decoder) == ([], [])


def test_confidences_stand_beside_the_words(dev: DevSet, tuning: Tuning) -> None:
    confidences, correct = DevEvaluator(dev, TABLE).raw_confidences(tuning.choice.decoder)
    words = sum(len(text.split()) for text in tuning.choice.texts)
    assert len(confidences) == len(correct) == words
    assert np.mean(confidences) > 0.3
    assert all(0 <= confidence <= 1 for confidence in confidences)


def test_a_word_list_answers_with_a_text_or_none() -> None:
    dev = dev_set_of(["BAD", "CAN", "DEAN"], clarity=90.0)
    decoder = Decoder(fusion=Fusion(TABLE, automaton=parse_word_list("BAD\nCAN", TABLE)))
    for threads in (1, 3):
        bad, can, dean = DevEvaluator(dev, TABLE, threads).constrained_results(decoder)
        assert (bad.text, can.text) == ("BAD", "CAN")
        assert bad.log_ratio == pytest.approx(0.0, abs=1e-6)
        assert dean.text != "DEAN"
        assert dean.text is None or dean.log_ratio < -5


def test_a_subset_keeps_references_beside_their_emissions() -> None:
    dev = dev_set_of(["BAD", "A", "BED"], clarity=2.0)
    part = dev.subset([True, False, True])
    assert part.references == ("BAD", "BED")
    assert part.emissions == (dev.emissions[0], dev.emissions[2])
    assert part.audio_seconds == pytest.approx(0.04 * 12)
    assert dev.subset([False] * 3).audio_seconds == 0


def test_unknown_words_are_counted(decoder: Decoder) -> None:
    assert decoder.fusion is not None
    assert count_unknown_words(["A BED", "BAD BEAD", "CAN"], decoder.fusion) == 0
    # A prefix of a word, a longer word, characters that no token spells.
    assert count_unknown_words(["BE BEDA", "A XYZ", "BE A"], decoder.fusion) == 4


def test_a_manifest_that_was_trained_on_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text(name)
    hashes = {
        f"old/{name}.jsonl": sha256_of(tmp_path / f"{name}.jsonl") for name in ("train", "dev")
    }
    data = {"train": ["old/train.jsonl"], "dev": "old/dev.jsonl"}
    config = {"training": {"data": data, "manifest_sha256": hashes}}
    assert was_trained_on(config, tmp_path / "train.jsonl")
    assert not was_trained_on(config, tmp_path / "dev.jsonl")
    assert not was_trained_on({"training": {}}, tmp_path / "train.jsonl")


def test_a_dev_set_without_words_is_refused(tmp_path: Path) -> None:
    silence = Utterance("a", tmp_path / "a.wav", 1.0, "")
    nobody = Recognizer.__new__(Recognizer)
    with pytest.raises(ManifestError, match="none of the 1 dev utterances has a word"):
        encode_dev_set(nobody, [silence])
