"""The speechocean762 recipe: its checks on a generated corpus and on the real one."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.corpus.manifest import read_manifest
from asr.errors import ManifestError
from recipes.speechocean762 import prepare as speechocean
from tests.support import run_recipe

TEXTS = {"a1": "WE CALL IT BEAR", "a2": "ZERO THREE", "b1": "I'M NOT"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three utterances of two speakers."""
    source = tmp_path / "corpus"
    (source / "train").mkdir(parents=True)
    for key in TEXTS:
        soundfile.write(source / f"{key}.wav", np.zeros(1600), 16000)
    lines = {
        "wav.scp": [f"{key}\t{key}.wav" for key in TEXTS],
        "text": [f"{key}\t{text}" for key, text in TEXTS.items()],
        "utt2spk": [f"{key} {key[0]}" for key in TEXTS],
        "spk2age": ["b 30", "a\t6", "c 40"],
    }
    for name, own in lines.items():
        (source / "train" / name).write_text("".join(f"{line}\n" for line in own))
    return source


def test_utterances_and_ages_are_written(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speechocean.read_corpus, "__defaults__", (3,))
    output = tmp_path / "out"
    made = run_recipe(speechocean.main, "--source", source, "-o", output)
    assert "train: 3 utterances, 0.00 hours, 2 speakers" in made.stdout
    utterances = read_manifest(output / "train.jsonl")
    assert {u.id: u.text for u in utterances} == TEXTS
    assert {u.id: u.speaker for u in utterances} == {"a1": "a", "a2": "a", "b1": "b"}
    assert json.loads((output / "ages.json").read_text()) == {"a": 6, "b": 30}


def test_a_wrong_number_of_utterances_is_refused(source: Path) -> None:
    with pytest.raises(ManifestError, match="expected 2500 utterances, found 3"):
        speechocean.read_corpus(source)


@pytest.mark.parametrize("text", ["we call", "A  B", "ÉTÉ", "A1"])
def test_unexpected_transcripts_are_refused(source: Path, text: str) -> None:
    path = source / "train" / "text"
    path.write_text(path.read_text().replace("ZERO THREE", text))
    with pytest.raises(ManifestError, match="a2: expected words of A–Z and '"):
        speechocean.read_corpus(source, 3)


def test_a_speaker_without_an_age_is_named(source: Path) -> None:
    with pytest.raises(ManifestError, match="expected an age for every speaker, found none for d"):
        speechocean.read_ages(source, {"a", "d"})


@pytest.mark.parametrize("line", ["a six", "a", "a 6 7", "a -6", ""])
def test_an_invalid_age_is_refused_with_its_line(source: Path, line: str) -> None:
    (source / "train" / "spk2age").write_text(f"b 30\n{line}\n")
    with pytest.raises(ManifestError, match="spk2age, line 2: expected SPEAKER AGE"):
        speechocean.read_ages(source, {"b"})


def test_a_missing_list_of_ages_is_named(source: Path) -> None:
    (source / "train" / "spk2age").unlink()
    with pytest.raises(ManifestError, match="spk2age: cannot read"):
        speechocean.read_ages(source, set())


def test_a_folder_without_the_corpus_is_refused(tmp_path: Path) -> None:
    refused = run_recipe(speechocean.main, "--source", tmp_path)
    assert "no speechocean762 here; expected train/wav.scp" in refused.error


def test_the_real_corpus_has_an_age_for_each_speaker(shared_data: Path) -> None:
    source = shared_data / "speechocean762"
    lines = (source / "train" / "utt2spk").read_text().splitlines()
    utterances = Counter(line.split()[1] for line in lines)
    ages = speechocean.read_ages(source, utterances)
    assert (len(ages), sum(utterances.values())) == (125, speechocean.UTTERANCES)
    assert 55 < sum(age < 16 for age in ages.values()) < 70
