"""`asr tune`: the choice is printed, kept in the checkpoint and used from there."""

import dataclasses
import gzip
import json
import shutil
from pathlib import Path

import pytest

from asr.checkpoint.checkpoint import load_checkpoint, update_metrics
from asr.corpus.manifest import read_manifest, write_manifest
from asr.decode.decoder import (
    LIST_PRIOR_WEIGHT,
    TunedSettings,
    tuned_settings,
    with_tuned_settings,
)
from asr.decode.fusion import FusionConfig
from asr.decode.priors import LOG_PRIORS
from asr.files import sha256_of
from asr.language.confusable import LETTER_COSTS
from recipes.an4.language import prepare_language
from recipes.tones.prepare import COUNTS
from tests.support import Command, Tones


@pytest.fixture
def checkpoint(tones: Tones, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(tones.checkpoint, copy)
    return copy


@pytest.fixture
def dev(tones: Tones, tmp_path: Path) -> Path:
    """A few utterances: the search for settings decodes them hundreds of times."""
    write_manifest(tmp_path / "dev.jsonl", read_manifest(tones.corpus / "dev.jsonl")[:10])
    return tmp_path / "dev.jsonl"


@pytest.fixture(scope="module")
def lm(tones: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the training transcripts, as the AN4 recipe makes it."""
    folder = tmp_path_factory.mktemp("language")
    for split in ("train", "dev"):
        shutil.copy(tones.corpus / f"{split}.jsonl", folder)
    result = prepare_language(folder, order=2)
    words = (folder / "words.txt").read_text().split()
    assert words == sorted(set(words))
    assert (folder / "train.txt").read_text().count("\n") == result.sentences == COUNTS["train"]
    return folder / "lm.arpa.gz"


def test_the_choice_is_kept_and_used(
    dev: Path, checkpoint: Path, lm: Path, tmp_path: Path, asr_command: Command
) -> None:
    before = load_checkpoint(checkpoint)
    outcome = asr_command("tune", checkpoint, dev, "--lm", lm, "--plot", tmp_path / "plot.png")
    assert outcome.code == 0, outcome.stderr
    assert "choice: beam_size " in outcome.stdout
    assert "dev WER " in outcome.stdout
    assert outcome.stdout.endswith(f"kept in {checkpoint}: decoding.lm.arpa.gz\n")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    after = load_checkpoint(checkpoint)  # whole and sealed anew
    settings = tuned_settings(after.metrics, lm)
    assert settings is not None
    assert settings.lm_sha256 == sha256_of(checkpoint / "lm.arpa.gz")
    assert {key: after.metrics[key] for key in before.metrics} == before.metrics
    figures = tmp_path / "figures.json"
    evaluated = asr_command("evaluate", checkpoint, dev, "--lm", lm, "--json", figures)
    assert evaluated.code == 0, evaluated.stderr
    used = json.loads(figures.read_text())
    assert used["decoding"]["lm_weight"] == settings.fusion.lm_weight
    assert used["decoding"]["beam_size"] == settings.search.beam_size
    assert f"dev WER {used['wer']:.2%}, CER {used['cer']:.2%}" in outcome.stdout


def test_a_dry_run_changes_nothing(
    dev: Path, checkpoint: Path, lm: Path, asr_command: Command
) -> None:
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    outcome = asr_command("tune", checkpoint, dev, "--lm", lm, "--closed_vocabulary", "--dry_run")
    assert outcome.code == 0, outcome.stderr
    assert "closed_vocabulary True" in outcome.stdout
    assert "kept in" not in outcome.stdout
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before


def test_without_a_model_beam_and_calibration_are_found(
    dev: Path, checkpoint: Path, asr_command: Command
) -> None:
    outcome = asr_command("tune", checkpoint, dev)
    assert outcome.code == 0, outcome.stderr
    assert "lm_weight" not in outcome.stdout
    assert "calibration error of word confidences: " in outcome.stdout
    metrics = load_checkpoint(checkpoint).metrics
    assert tuned_settings(metrics) is not None
    weight = metrics[LIST_PRIOR_WEIGHT]
    assert f"prior_weight of grammars and lists not tuned: {weight:g}" in outcome.stdout
    taught = checkpoint.with_name("on-all")
    shutil.copytree(checkpoint, taught)
    update_metrics(taught, {})
    outcome = asr_command("tune", taught, "--like", checkpoint)
    assert outcome.code == 0, outcome.stderr
    copied = load_checkpoint(taught).metrics
    assert (copied[LIST_PRIOR_WEIGHT], copied[LOG_PRIORS]) == (weight, metrics[LOG_PRIORS])
    assert copied[LETTER_COSTS] == metrics[LETTER_COSTS]
    update_metrics(
        checkpoint, {name: metrics[name] for name in metrics if name != LIST_PRIOR_WEIGHT}
    )
    assert asr_command("tune", taught, "--like", checkpoint).code == 0
    assert load_checkpoint(taught).metrics[LIST_PRIOR_WEIGHT] == weight


def test_a_choice_is_taken_over(
    checkpoint: Path, lm: Path, tmp_path: Path, asr_command: Command
) -> None:
    taught = tmp_path / "on-all"
    shutil.copytree(checkpoint, taught)
    other = tmp_path / "other.arpa"
    other.write_bytes(gzip.decompress(lm.read_bytes()))
    refused = asr_command("tune", taught, "--like", checkpoint, "--lm", other)
    assert refused.code == 1
    assert (
        f"{checkpoint}: expected one choice of `asr tune` with a language model" in refused.stderr
    )
    chosen = TunedSettings(lm_sha256=sha256_of(lm), fusion=FusionConfig(word_bonus=1.25))
    metrics = load_checkpoint(checkpoint).metrics
    update_metrics(checkpoint, with_tuned_settings(metrics, "lm.arpa.gz", chosen))
    tried = asr_command("tune", taught, "--like", checkpoint, "--lm", other, "--dry_run")
    assert tried.code == 0, tried.stderr
    assert "word_bonus 1.25" in tried.stdout
    assert tuned_settings(load_checkpoint(taught).metrics, other) is None
    outcome = asr_command("tune", taught, "--like", checkpoint, "--lm", other)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.endswith(f"kept in {taught}: decoding.lm.arpa.gz\n")
    kept = tuned_settings(load_checkpoint(taught).metrics, other)
    assert kept == dataclasses.replace(
        chosen,
        lm_sha256=sha256_of(taught / "lm.arpa.gz"),
        lm_source_sha256=sha256_of(other),
    )
    without = asr_command("tune", taught, "--like", checkpoint, "--lm", "none")
    assert without.code == 1
    assert "without a language model to copy, found 0" in without.stderr


def test_tuning_on_what_was_trained_on_is_warned_of(
    tones: Tones, checkpoint: Path, asr_command: Command
) -> None:
    gone = checkpoint.with_name("gone.arpa")  # which ends the command after the warning
    for split, known in (("train", True), ("dev", False)):
        manifest = tones.corpus / f"{split}.jsonl"
        outcome = asr_command("tune", checkpoint, manifest, "--lm", gone)
        assert (f"{checkpoint} was trained on {manifest}" in outcome.stderr) == known
        assert outcome.stderr.endswith("expected an ARPA language model\n")


def test_wrong_usage(tones: Tones, checkpoint: Path, tmp_path: Path, asr_command: Command) -> None:
    dev = tones.corpus / "dev.jsonl"
    closed = asr_command("tune", checkpoint, dev, "--closed_vocabulary")
    assert closed.code == 2
    assert "--closed_vocabulary: has no effect without a language model" in closed.stderr
    nothing = asr_command("tune", checkpoint)
    assert nothing.code == 2
    assert "expected a DEV_MANIFEST to tune on, or --like" in nothing.stderr
    both = asr_command("tune", checkpoint, dev, "--like", checkpoint)
    assert (both.code, "--like: tunes nothing" in both.stderr) == (2, True)
    shipped = asr_command("tune", "english", dev)
    assert "a shipped checkpoint, which is not changed by its name" in shipped.error
    missing = asr_command("tune", checkpoint, dev, "--lm", tmp_path / "gone.arpa")
    assert missing.error.startswith(f"{tmp_path / 'gone.arpa'}: cannot read")
    plot = asr_command("tune", checkpoint, dev, "--plot", tmp_path / "gone" / "plot.png")
    assert "its folder does not exist" in plot.error
    for name in ("plot", "plot.xyz", "plot.png.gz"):
        plot = asr_command("tune", checkpoint, dev, "--plot", tmp_path / name)
        assert (plot.code, plot.stdout) == (2, "")
        assert "expected a name ending in .pdf, .png or .svg" in plot.stderr.replace("│", "")
        assert not (tmp_path / name).exists()


def test_a_manifest_without_words_is_named(
    tones: Tones, checkpoint: Path, tmp_path: Path, asr_command: Command
) -> None:
    silent = tmp_path / "silent.jsonl"
    utterances = read_manifest(tones.corpus / "dev.jsonl")[:2]
    write_manifest(silent, [dataclasses.replace(u, text="") for u in utterances])
    error = asr_command("tune", checkpoint, silent).error
    assert error.startswith(f"{silent}: none of the 2 dev utterances has a word; expected at least")
