"""The Mboshi recipe: its checks and splits on a generated corpus, and on the real one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import ManifestError
from recipes.mboshi import prepare as mboshi
from tests.support import run_recipe

TEXTS = {
    "train": {"abiayi_1": "wa bísí", "kouarata_1": "wó twεrε", "martial_1": "ya poo"},
    "dev": {"abiayi_2": "yá ndée", "martial_2": "sá"},
}


def write_wav(path: Path, seconds: float = 0.5) -> None:
    soundfile.write(path, np.zeros(round(16_000 * seconds)), 16_000)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for split, texts in TEXTS.items():
        folder = tmp_path / "corpus" / "full_corpus_newsplit" / split
        folder.mkdir(parents=True)
        for key, text in texts.items():
            write_wav(folder / f"{key}.wav")
            (folder / f"{key}.mb").write_text(text.title())
            (folder / f"{key}.mb.cleaned").write_text(f"{text}\n")
    return tmp_path / "corpus"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    source = tmp_path / "tables"
    (source / "audio").mkdir(parents=True)
    for split, texts in TEXTS.items():
        rows = [f"{key}\t{key.split('_')[0]}\t0.5\t{text}" for key, text in texts.items()]
        (source / f"{split}.tsv").write_text("id\tspeaker\tduration\ttext\n" + "\n".join(rows))
        for key in texts:
            write_wav(source / "audio" / f"{key}.wav")
    return source


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mboshi, "COUNTS", {name: len(texts) for name, texts in TEXTS.items()})
    monkeypatch.setattr(mboshi.split_corpus, "__defaults__", (1,))


@pytest.mark.parametrize("layout", ["published", "tables"])
def test_both_layouts(layout: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source, output = request.getfixturevalue(layout), tmp_path / "out"
    assert run_recipe(mboshi.main, "--source", source, "-o", output).code == 0
    found = {
        name: {one.id: one.text for one in read_manifest(output / f"{name}.jsonl")}
        for name in ("train", "dev", "test", "train-15", "open/train", "open/test", "open/martial")
    }
    assert found["train"] | found["dev"] == TEXTS["train"]
    assert len(found["dev"]) == 1
    assert found["test"] == TEXTS["dev"]
    assert found["train-15"] == found["train"]
    assert not any(key.startswith("martial") for key in found["open/train"])
    assert found["open/test"] == {"martial_2": "sá"}
    for name in ("train", "train-15", "open/train"):
        trimmed = read_manifest(output / "trimmed" / f"{name}.jsonl")
        assert {one.id: one.text for one in trimmed} == found[name]
    own = {key for key in TEXTS["train"] | TEXTS["dev"] if key.startswith("martial")}
    assert found["open/martial"].keys() == own > found["open/test"].keys()


def test_a_wrong_length_in_a_header_is_no_loss(published: Path) -> None:
    path = published / "full_corpus_newsplit" / "dev" / "martial_2.wav"
    content = bytearray(path.read_bytes())
    content[40:44] = (10**9).to_bytes(4, "little")
    path.write_bytes(content)
    *_, utterance = mboshi.read_split(published, "dev", 2)
    assert utterance.damaged
    assert utterance.duration == 0.5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("abiayi_2.mb.cleaned", "Wa", "expected words of"),
        ("abiayi_2.mb.cleaned", "wa  bísí", "expected words of"),
        ("other_2.mb.cleaned", "wa", "expected the 2 utterances of dev, found 3"),
    ],
)
def test_another_text_is_refused(published: Path, name: str, text: str, message: str) -> None:
    (published / "full_corpus_newsplit" / "dev" / name).write_text(text)
    with pytest.raises(ManifestError, match=message):
        mboshi.read_split(published, "dev", 2)


def test_a_missing_recording_is_refused(published: Path) -> None:
    (published / "full_corpus_newsplit" / "dev" / "martial_2.wav").unlink()
    with pytest.raises(ManifestError, match="martial_2: expected a recording of this name"):
        mboshi.read_split(published, "dev", 2)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    assert "no Mboshi corpus here" in run_recipe(mboshi.main, "--source", tmp_path).error


def of(texts: list[str], seconds: float = 30.0) -> list[Utterance]:
    return [Utterance(f"abiayi_{i}", Path("x"), seconds, text) for i, text in enumerate(texts)]


def test_sentences_of_dev_do_not_occur_in_train() -> None:
    train, dev = mboshi.cut_dev(of([*"abcdefgh", *"abc"]), 4)
    assert len(dev) == 4
    assert not {one.text for one in dev} & {one.text for one in train}
    assert len(train) == 7


def test_each_number_of_minutes_is_part_of_the_next() -> None:
    utterances = of(list("abcdefghijklmnopqrst"))
    parts = [{one.id for one in mboshi.first_minutes(utterances, minutes)} for minutes in (1, 4, 9)]
    assert [len(part) for part in parts] == [2, 8, 18]
    assert parts[0] < parts[1] < parts[2]


@pytest.mark.slow
def test_the_real_corpus(shared_data: Path) -> None:
    dev = mboshi.read_split(shared_data / "mboshi", "dev", 514)
    assert not any(one.damaged for one in dev)
    assert sum(one.duration for one in dev) == pytest.approx(0.44 * 3600, rel=0.01)
