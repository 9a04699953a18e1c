"""Recurrent language models as a user trains, measures, tunes and decodes with them."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from asr.checkpoint.bundle import load_bundle, save_bundle, update_metrics
from asr.checkpoint.language_model import load_language_model, save_language_model
from asr.cli.decoding import RESCORE_WEIGHT, DecodingOptions
from asr.corpus.manifest import read_manifest
from asr.decode.beam import SearchConfig, beam_search
from asr.decode.confidence import Calibration
from asr.decode.decoder import TunedSettings, tuned_settings, with_tuned_settings
from asr.decode.rescoring import RescoringConfig
from asr.files import sha256_of
from asr.language.arpa import write_arpa
from asr.language.kneser_ney import estimate
from asr.language.neural import NeuralConfig
from asr.language.neural_training import TrainingConfig, train_neural
from asr.recognizer import Recognizer
from tests.support import Command, Tones, run_python

TEXT = "see the sea\nthe sea saw me\nsee me\n" * 10
KEPT = ("features", "encoder", "tokens", "recipe", "seed", "training")


@pytest.fixture(scope="module", autouse=True)
def _compiled_search() -> None:
    """What is compiled here is not announced on the stderr of a command."""
    beam_search(torch.zeros(1, 2).log_softmax(dim=1), 2)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def model(text: Path, asr_command: Command) -> Path:
    path = text.with_name("lm.safetensors")
    options = ("--dev", text, "--epochs", "3", "--hidden", "8")
    assert asr_command("lm", "train-neural", text, "-o", path, *options).code == 0
    return path


# --- Train


def test_train_writes_the_model_and_prints_its_figures(text: Path) -> None:
    """In a process of its own, as a user runs it."""
    path = text.with_name("lm.safetensors")
    arguments = ("lm", "train-neural", text, text, "-o", path, "--epochs", "2", "--seed", "3")
    done = run_python("-m", "asr", *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == ["sentences", "vocabulary", "epoch", "perplexity"]
    figures = {name: float(figure) for name, figure in lines}
    assert (figures["sentences"], figures["vocabulary"]) == (54, 5)
    assert load_language_model(path).words == ("me", "saw", "sea", "see", "the")
    epochs = [line.split() for line in done.stderr.splitlines()]
    assert [words[:2] for words in epochs] == [["epoch", "1:"], ["epoch", "2:"]]
    best = epochs[int(figures["epoch"]) - 1]
    assert float(best[3]) == pytest.approx(figures["perplexity"], abs=1e-3)


def test_the_same_seed_writes_the_same_file(model: Path, text: Path, asr_command: Command) -> None:
    again = model.with_name("again.safetensors")
    options = ("--dev", text, "--epochs", "3", "--hidden", "8", "--seed")
    assert asr_command("lm", "train-neural", text, "-o", again, *options, "0").code == 0
    assert again.read_bytes() == model.read_bytes()
    assert asr_command("lm", "train-neural", text, "-o", again, *options, "1").code == 0
    assert again.read_bytes() != model.read_bytes()


def test_what_cannot_be_trained_is_refused(text: Path, asr_command: Command) -> None:
    output = text.with_name("lm.arpa")
    done = asr_command("lm", "train-neural", text, "-o", output)
    assert done.code == 2
    assert ".safetensors" in done.stderr
    output = text.with_name("lm.safetensors")
    for option, value in (("--seed", "-1"), ("--seed", str(2**70)), ("--hidden", "0")):
        done = asr_command("lm", "train-neural", text, "-o", output, option, value)
        assert (done.code, done.stdout) == (2, "")
        assert f"'{option}'" in done.stderr
    error = asr_command("lm", "train-neural", text, "-o", output, "--hidden", str(2**70)).error
    assert error == f"hidden: expected 1 to 4096, found {2**70}"
    output = text.with_name("gone") / "lm.safetensors"
    error = asr_command("lm", "train-neural", text, "-o", output).error
    assert error == f"{output}: its folder does not exist; create it first"
    text.write_text("see\n")
    output = text.with_name("lm.safetensors")
    error = asr_command("lm", "train-neural", text, "-o", output).error
    assert "expected at least 2 sentences" in error
    assert not output.exists()


# --- Score


def test_score_measures_it_as_it_does_n_grams(
    model: Path, text: Path, asr_command: Command
) -> None:
    text.write_text("see the sea\nnever me\n")
    figures = text.with_name("score.json")
    done = asr_command("lm", "score", model, text, "--by_sentence", "--json", figures)
    assert (done.code, done.stderr) == (0, "")
    scores = load_language_model(model).score_sentences([["see", "the", "sea"], ["never", "me"]])
    by_sentence = [line.split("\t") for line in done.stdout.splitlines()[:2]]
    assert [fields[1:] for fields in by_sentence] == [
        ["3", "0", "see the sea"],
        ["2", "1", "never me"],
    ]
    assert [float(fields[0]) for fields in by_sentence] == pytest.approx(
        [score.log_prob for score in scores], abs=1e-5
    )
    found = json.loads(figures.read_text())
    assert found["perplexity"] == pytest.approx(
        math.exp(-sum(score.log_prob for score in scores) / 7)
    )
    assert found["perplexity_without_oov"] == pytest.approx(
        math.exp(-sum(score.log_prob_known for score in scores) / 6)
    )
    assert found["oov_words"] == 1


def test_a_damaged_model_is_refused_by_every_command(
    model: Path, text: Path, tones: Tones, asr_command: Command
) -> None:
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    lm = text.with_name("lm.arpa")
    write_arpa(lm, estimate([["A"]], 1).table)
    with_it = ("--lm", lm, "--rescore", model)
    for arguments in (
        ("lm", "score", model, text),
        ("evaluate", tones.checkpoint, tones.test, *with_it),
        ("tune", tones.checkpoint, tones.corpus / "dev.jsonl", *with_it),
    ):
        done = asr_command(*arguments)
        assert (done.code, done.stdout) == (1, "")
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: {model}: damaged or altered since it was saved")


# --- Decode and tune


@pytest.fixture(scope="module")
def hesitant(tones: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is never sure, and often wrong: its last layer is shrunken and shaken."""
    bundle = load_bundle(tones.checkpoint)
    last = bundle.weights["output.weight"]
    noise = torch.randn(last.shape, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("neural") / "checkpoint"
    save_bundle(
        folder,
        weights={**bundle.weights, "output.weight": 0.3 * (last + 1.5 * last.std() * noise)},
        metrics={},
        **{name: bundle.config[name] for name in KEPT},
    )
    return folder


@pytest.fixture
def checkpoint(hesitant: Path, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(hesitant, copy)
    return copy


@pytest.fixture(scope="module")
def dev(tones: Tones) -> Path:
    return tones.corpus / "dev.jsonl"


@pytest.fixture(scope="module")
def lm(tones: Tones, hesitant: Path) -> Path:
    """A model of the training transcripts, to which most words of the dev set are unknown."""
    path = hesitant.with_name("words.arpa")
    texts = [u.text.split() for u in read_manifest(tones.corpus / "train.jsonl")]
    write_arpa(path, estimate(texts, 2).table)
    return path


@pytest.fixture(scope="module")
def by_heart(dev: Path, hesitant: Path) -> Path:
    """A recurrent model that knows the dev set's sentences by heart."""
    texts = [u.text.split() for u in read_manifest(dev)]
    config = TrainingConfig(epochs=40, rate=1e-2, weight_decay=0.0, unknown_chance=0.0)
    model = train_neural(texts, texts, NeuralConfig(hidden=32, dropout=0.0), config).model
    path = hesitant.with_name("heart.safetensors")
    save_language_model(path, model)
    return path


def test_a_second_pass_that_helps_is_kept_and_used(
    checkpoint: Path, dev: Path, lm: Path, by_heart: Path, asr_command: Command
) -> None:
    done = asr_command("tune", checkpoint, dev, "--lm", lm, "--rescore", by_heart)
    assert done.code == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("second pass: ")]
    settings = tuned_settings(load_bundle(checkpoint).metrics, lm)
    assert settings is not None
    assert settings.rescoring is not None
    weight = settings.rescoring.weight
    assert settings.rescoring == RescoringConfig(sha256_of(by_heart), weight)
    assert f", rescore_weight {weight}\n" in done.stdout
    figures = checkpoint.with_name("figures.json")
    evaluate = ("evaluate", checkpoint, dev, "--json", figures, "--lm", lm)
    errors = {}
    for name, options in {"first": (), "second": ("--rescore", by_heart)}.items():
        done = asr_command(*evaluate, *options)
        assert done.code == 0, done.stderr
        assert ("decoding as tuned" in done.stderr) == (name == "second")
        lacking = f"with --rescore and the model of SHA-256 {sha256_of(by_heart)[:12]}..."
        assert (lacking in done.stderr) == (name == "first")
        errors[name] = json.loads(figures.read_text())
    assert errors["second"]["wer"] < errors["first"]["wer"]
    expected = f"weight {weight:g}, dev WER {errors['second']['wer']:.2%}"
    assert line == f"second pass: {expected}, without it {errors['first']['wer']:.2%}"
    assert errors["second"]["decoding"]["rescore"] == str(by_heart)
    assert errors["second"]["decoding"]["rescore_weight"] == weight
    assert "rescore" not in errors["first"]["decoding"]


def test_a_second_pass_that_does_not_help_is_left_out(
    checkpoint: Path, dev: Path, lm: Path, model: Path, asr_command: Command
) -> None:
    """That of a model to which all these words are unknown."""
    done = asr_command("tune", checkpoint, dev, "--lm", lm, "--rescore", model)
    assert done.code == 0, done.stderr
    assert "; no gain: left out\n" in done.stdout
    assert "rescore_weight" not in done.stdout
    settings = tuned_settings(load_bundle(checkpoint).metrics, lm)
    assert settings is not None
    assert settings.rescoring is None


def test_what_is_said_comes_before_what_was_tuned(
    checkpoint: Path, dev: Path, lm: Path, by_heart: Path, model: Path, asr_command: Command
) -> None:
    settings = TunedSettings(
        lm_sha256=sha256_of(lm),
        search=SearchConfig(beam_size=8),
        rescoring=RescoringConfig(sha256_of(by_heart), 0.25),
    )
    update_metrics(checkpoint, with_tuned_settings({}, "words", settings))
    recognizer = Recognizer.load(checkpoint)
    for rescore, said, expected in (
        (by_heart, None, 0.25),
        (by_heart, 0.0, 0.0),
        (model, None, RESCORE_WEIGHT),
        (model, 0.3, 0.3),
    ):
        options = DecodingOptions(lm=lm, rescore=rescore, rescore_weight=said)
        decoder = options.decoder(recognizer)
        assert decoder.rescorer is not None
        assert decoder.rescorer.config.weight == expected
        assert decoder.search.beam_size == 8
    assert DecodingOptions(lm=lm).decoder(recognizer).rescorer is None


def test_only_a_second_pass_that_is_all_that_is_missing_is_warned_of(
    checkpoint: Path, lm: Path, by_heart: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rescoring = RescoringConfig(sha256_of(by_heart), 0.25)
    calibration = Calibration(0.5, 0.25)
    for rescoring_kept in (rescoring, None):
        settings = TunedSettings(
            lm_sha256=sha256_of(lm),
            search=SearchConfig(beam_size=8),
            rescoring=rescoring_kept,
            calibration=calibration,
        )
        update_metrics(checkpoint, with_tuned_settings({}, "words", settings))
        recognizer = Recognizer.load(checkpoint)
        for options, warned in (
            (DecodingOptions(lm=lm), rescoring_kept is not None),
            (DecodingOptions(lm=lm, rescore=by_heart), False),
            (DecodingOptions(lm=lm, rescore=model), False),
            (DecodingOptions(lm=lm, lm_weight=0.7), False),
            (DecodingOptions(lm=lm, beam_size=9), False),
            (DecodingOptions(lm=lm, hotwords=["A"]), False),
        ):
            caplog.clear()
            decoder = options.decoder(recognizer)
            assert ("confidences are not calibrated" in caplog.text) == warned
            assert decoder.calibration.is_identity or not warned


def test_a_weight_of_zero_transcribes_as_without(
    hesitant: Path, dev: Path, lm: Path, by_heart: Path, asr_command: Command
) -> None:
    recording = read_manifest(dev)[0].audio_filepath
    command = ("transcribe", hesitant, recording, "--nbest", "3", "-f", "json", "--lm", lm)
    found = [
        {**json.loads(asr_command(*command, *options).stdout), "processing_seconds": None}
        for options in ((), ("--rescore", by_heart, "--rescore_weight", "0"))
    ]
    assert found[0] == found[1]


def test_wrong_usage(tones: Tones, lm: Path, by_heart: Path, asr_command: Command) -> None:
    evaluate = ("evaluate", tones.checkpoint, tones.test)
    for arguments, message in (
        ((*evaluate, "--rescore", by_heart), "--rescore means nothing without --lm"),
        ((*evaluate, "--lm", lm, "--rescore_weight", "1"), "means nothing without --rescore"),
        ((*evaluate, "--lm", lm, "--rescore", by_heart, "--beam_size", "1"), "needs a beam"),
        (("tune", tones.checkpoint, tones.test, "--rescore", by_heart), "nothing without --lm"),
    ):
        done = asr_command(*arguments)
        assert (done.code, done.stdout) == (2, "")
        assert message in " ".join(done.stderr.replace("│", " ").split())
