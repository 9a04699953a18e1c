"""Decoding tuned for a checkpoint: what is refused, and what is written."""

import dataclasses
import gzip
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from asr.checkpoint.checkpoint import LANGUAGE_MODEL, load_checkpoint
from asr.corpus.manifest import read_manifest, write_manifest
from asr.decode.decoder import TunedSettings, tuned_settings
from asr.decode.fusion import FusionConfig
from asr.errors import AudioError, CheckpointError, ConfigError, ManifestError
from asr.files import sha256_of
from asr.language.confusable import letter_costs
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.tuning.choice import Tuning
from asr.tuning.tune import (
    LanguageModelFile,
    TuningResult,
    check_writable,
    copy_settings,
    save_result,
    tune_checkpoint,
)
from tests.support import Tones


@pytest.fixture
def checkpoint(tones: Tones, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(tones.checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def dev(tones: Tones) -> Path:
    return tones.corpus / "dev.jsonl"


@pytest.fixture
def lm(dev: Path, tmp_path: Path) -> Path:
    path = tmp_path / "my.arpa"
    write_arpa(path, estimate([u.text.split() for u in read_manifest(dev)], 2).table)
    return path


def result_of(checkpoint: Path, lm: Path, word_bonus: float) -> TuningResult:
    content = gzip.compress(lm.read_bytes(), mtime=0)
    sha256, source = hashlib.sha256(content).hexdigest(), sha256_of(lm)
    settings = TunedSettings(
        sha256, fusion=FusionConfig(word_bonus=word_bonus), lm_source_sha256=source
    )
    file = LanguageModelFile(lm, content, sha256, source)
    return TuningResult(checkpoint, LANGUAGE_MODEL, settings, file)


@pytest.mark.usefixtures("few_trials")
def test_model_and_settings_are_written_together(checkpoint: Path, dev: Path, lm: Path) -> None:
    result = tune_checkpoint(checkpoint, dev, lm=lm)
    assert not (checkpoint / LANGUAGE_MODEL).exists()
    save_result(result)
    own = checkpoint / LANGUAGE_MODEL
    assert gzip.decompress(own.read_bytes()) == lm.read_bytes()
    metrics = load_checkpoint(checkpoint).metrics
    for path in (lm, own):
        settings = tuned_settings(metrics, path)
        assert settings is not None
        assert settings == result.settings
        assert settings.lm_sha256 == sha256_of(own)
        assert settings.lm_source_sha256 == sha256_of(lm)
    assert tuned_settings(metrics) is None

    before = own.read_bytes()
    again = tune_checkpoint(checkpoint, dev)  # the checkpoint's own
    assert again.settings == result.settings
    assert again.lm is not None
    assert again.lm.content is None
    save_result(again)
    assert own.read_bytes() == before

    assert tune_checkpoint(checkpoint, dev, lm=str(lm)).lm == result.lm  # the same bytes again
    without = tune_checkpoint(checkpoint, dev, lm="none")
    assert (without.name, without.lm, without.settings.lm_sha256) == ("none", None, None)
    save_result(without)
    metrics = load_checkpoint(checkpoint).metrics
    costs, tokens = result.letter_costs, load_checkpoint(checkpoint).tokens
    kept = letter_costs(metrics, tokens)
    assert costs is not None
    assert kept is not None
    assert abs(kept - costs).max() < 0.051
    assert tuned_settings(metrics) == without.settings
    assert tuned_settings(metrics, own) == result.settings


@pytest.mark.usefixtures("few_trials")
def test_a_compressed_model_is_copied_as_it_is(checkpoint: Path, dev: Path, lm: Path) -> None:
    packed = lm.with_name("packed.gz")
    packed.write_bytes(gzip.compress(lm.read_bytes(), compresslevel=1))
    result = tune_checkpoint(checkpoint, dev, lm=packed)
    assert result.lm is not None
    assert result.lm.content == packed.read_bytes()
    assert result.settings.lm_sha256 == result.settings.lm_source_sha256 == sha256_of(packed)


@pytest.mark.usefixtures("few_trials")
def test_a_word_list_is_tuned_with_its_rejection(
    checkpoint: Path, dev: Path, tmp_path: Path
) -> None:
    utterances = read_manifest(dev)
    words = sorted({word for u in utterances[:4] for word in u.text.split()})
    listed = tmp_path / "words.txt"
    listed.write_text("\n".join(words))
    inside = [u for u in utterances if set(u.text.split()) <= set(words)]
    outside = [dataclasses.replace(u, text="") for u in utterances if u not in inside][:3]
    outside = outside or [dataclasses.replace(u, text="") for u in utterances[:3]]
    manifest = tmp_path / "mixed.jsonl"
    write_manifest(
        manifest,
        [
            dataclasses.replace(u, id=str(i), audio_filepath=u.audio_filepath.resolve())
            for i, u in enumerate(inside + outside)
        ],
    )
    result = tune_checkpoint(checkpoint, manifest, lexicon=listed)
    assert result.name == "words.txt"
    assert result.lm is None
    assert result.rejection is not None
    assert (result.rejection.inside, result.rejection.outside) == (len(inside), len(outside))
    assert result.settings.reject_below == result.rejection.reject_below
    assert result.settings.reject_below is not None
    save_result(result)
    metrics = load_checkpoint(checkpoint).metrics
    assert tuned_settings(metrics, constraint=listed) == result.settings
    assert tuned_settings(metrics) is None

    grammar = tmp_path / "words.jsgf"
    grammar.write_text(f"#JSGF V1.0;\ngrammar words;\npublic <words> = ({' | '.join(words)})+;\n")
    alone = tmp_path / "inside.jsonl"
    write_manifest(alone, [u for u in read_manifest(manifest) if u.text])
    result = tune_checkpoint(checkpoint, alone, grammar=grammar)
    assert result.name == "words.jsgf"
    assert result.settings.reject_below is None
    assert result.settings.constraint_sha256 == sha256_of(grammar)


def test_a_dev_set_without_allowed_sentences_is_refused(
    checkpoint: Path, dev: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text(read_manifest(dev)[0].text.split()[0][0] * 9)
    with pytest.raises(ManifestError, match=r"dev\.jsonl: none of the \d+ transcripts is a sent"):
        tune_checkpoint(checkpoint, dev, lexicon=listed)


def test_what_the_model_cannot_write_is_refused_before_decoding(
    checkpoint: Path, dev: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def changed(count: int) -> Path:
        """The dev set with `count` transcripts in lower case, and nothing that can be read."""
        broken = tmp_path / "broken.wav"
        broken.write_bytes(b"no audio")
        utterances = [replace(u, audio_filepath=broken) for u in read_manifest(dev)]
        texts = [u.text.lower() if i < count else u.text for i, u in enumerate(utterances)]
        pairs = zip(utterances, texts, strict=True)
        path = tmp_path / f"{count}.jsonl"
        write_manifest(path, [replace(u, text=text) for u, text in pairs])
        return path

    total = len(read_manifest(dev))
    for count in (1, total):
        with pytest.raises(ManifestError) as error:
            tune_checkpoint(checkpoint, changed(count))
        assert f"{count} of {total} references" in str(error.value)
        assert "convert the transcripts to upper case" in str(error.value)

    listed = tmp_path / "words.txt"
    listed.write_text(read_manifest(dev)[1].text.replace(" ", "\n"))
    with pytest.raises(ManifestError, match="to upper case"):
        tune_checkpoint(checkpoint, changed(total), lexicon=listed)
    with pytest.raises(AudioError):  # with a word list some may be other utterances
        tune_checkpoint(checkpoint, changed(1), lexicon=listed)
    assert "words.txt is taken not to allow them" in caplog.text


def test_a_choice_where_nearly_all_is_wrong_is_not_kept(checkpoint: Path, lm: Path) -> None:
    kept = result_of(checkpoint, lm, 1.25)
    save_result(kept)
    before = load_checkpoint(checkpoint).metrics
    chance = cast(Tuning, SimpleNamespace(choice=SimpleNamespace(wer=0.97)))
    with pytest.raises(ManifestError, match=r"^nothing was kept: .* 97% of the words are wrong"):
        save_result(replace(result_of(checkpoint, lm, 9.0), tuning=chance))
    assert load_checkpoint(checkpoint).metrics == before


def test_contradictions_are_refused(checkpoint: Path, dev: Path, lm: Path) -> None:
    with pytest.raises(ConfigError, match=r"^closed_vocabulary: has no effect"):
        tune_checkpoint(checkpoint, dev, closed_vocabulary=True)
    with pytest.raises(ConfigError, match=r"^lexicon: expected a lexicon or a grammar"):
        tune_checkpoint(checkpoint, dev, grammar=Path("a"), lexicon=Path("b"))
    with pytest.raises(ConfigError, match=r"^lm: cannot be tuned together with a grammar"):
        tune_checkpoint(checkpoint, dev, grammar=Path("a"), lm=lm)
    with pytest.raises(ConfigError, match=r"^lexicon: settings are kept under the file's name"):
        tune_checkpoint(checkpoint, dev, lexicon=Path("none"))


def test_settings_are_copied_with_the_language_model(checkpoint: Path, lm: Path) -> None:
    other = Path(shutil.copytree(checkpoint, checkpoint.with_name("other")))
    with pytest.raises(CheckpointError, match="without a language model to copy, found 0"):
        copy_settings(checkpoint, other)
    save_result(result_of(other, lm, 1.25))
    save_result(copy_settings(checkpoint, other))
    own = checkpoint / LANGUAGE_MODEL
    assert own.read_bytes() == (other / LANGUAGE_MODEL).read_bytes()
    copied = tuned_settings(load_checkpoint(checkpoint).metrics, lm)
    assert copied == tuned_settings(load_checkpoint(other).metrics, lm)
    assert copied is not None
    assert copied.fusion.word_bonus == 1.25

    larger = lm.with_name("larger.arpa")
    larger.write_text(lm.read_text() + "\n")
    save_result(copy_settings(checkpoint, other, larger))
    assert gzip.decompress(own.read_bytes()) == larger.read_bytes()
    copied = tuned_settings(load_checkpoint(checkpoint).metrics, larger)
    assert copied is not None
    assert copied.fusion.word_bonus == 1.25
    assert tuned_settings(load_checkpoint(checkpoint).metrics, lm) is None  # it is no longer there
    with pytest.raises(CheckpointError, match="one choice of `asr tune` without a language model"):
        copy_settings(checkpoint, other, "none")


def test_of_several_models_the_settings_of_the_one_named_are_copied(
    checkpoint: Path, lm: Path
) -> None:
    other = Path(shutil.copytree(checkpoint, checkpoint.with_name("other")))
    second = lm.with_name("second.arpa")
    second.write_text(lm.read_text() + "\n")
    save_result(dataclasses.replace(result_of(other, second, 2.0), name="second.arpa"))
    save_result(result_of(other, lm, 1.0))
    for given, bonus in ((lm, 1.0), (second, 2.0), ("auto", 1.0)):
        assert copy_settings(checkpoint, other, given).settings.fusion.word_bonus == bonus
    third = lm.with_name("third.arpa")
    third.write_text(lm.read_text() + "\n\n")
    with pytest.raises(CheckpointError, match="with a language model to copy, found 2"):
        copy_settings(checkpoint, other, third)


def test_a_shipped_checkpoint_is_not_changed_by_its_name(checkpoint: Path) -> None:
    check_writable(checkpoint)
    with pytest.raises(CheckpointError, match="a shipped checkpoint"):
        check_writable(Path("english"))
