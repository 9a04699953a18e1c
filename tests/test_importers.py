"""Kaldi data folders, and the corpus that comes as one."""

from pathlib import Path

import pytest
import torch

from asr.corpus.importers import read_kaldi
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AudioError, ManifestError
from asr.signal import audio
from recipes.speechocean762 import prepare


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two utterances of one speaker, in `train/`, beside their recordings."""
    train = tmp_path / "train"
    train.mkdir()
    for name, samples in (("a", 800), ("b", 1600)):
        audio.write(tmp_path / "wav" / f"{name}.wav", torch.zeros(samples), 16_000)
    (train / "wav.scp").write_text("b wav/b.wav\na\twav/a.wav\n\n")
    (train / "text").write_text("a  IT'S ONE \nb TWO THREE\n")
    (train / "utt2spk").write_text("a ann\nb ann\n")
    return tmp_path


@pytest.fixture(autouse=True)
def wav_folder(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir()


def test_utterances_stand_in_the_order_of_wav_scp(corpus: Path) -> None:
    assert read_kaldi(corpus / "train", corpus) == [
        Utterance("b", corpus / "wav" / "b.wav", 0.1, "TWO THREE", "ann"),
        Utterance("a", corpus / "wav" / "a.wav", 0.05, "IT'S ONE", "ann"),
    ]


def test_speakers_may_be_unknown(corpus: Path) -> None:
    (corpus / "train" / "utt2spk").unlink()
    assert {u.speaker for u in read_kaldi(corpus / "train", corpus)} == {None}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text", "a ONE\n", r"same utterances in wav.scp and text; 1 stand .*first b"),
        ("text", "a ONE\nb TWO\nc THREE\n", "first c"),
        ("text", "a ONE\nb\n", "line 2: expected a key and a value"),
        ("text", "a ONE\nb TWO\na ONE\n", "line 3: a second line of the key 'a'"),
        ("utt2spk", "a ann\n", "wav.scp and utt2spk"),
        ("wav.scp", "a sph2pipe a.sph |\nb wav/b.wav\n", "a: expected the path of a file"),
        ("segments", "a a 0.0 0.1\n", "expected whole recordings"),
    ],
)
def test_a_folder_that_no_manifest_can_say_is_refused(
    corpus: Path, name: str, content: str, message: str
) -> None:
    (corpus / "train" / name).write_text(content)
    with pytest.raises(ManifestError, match=message):
        read_kaldi(corpus / "train", corpus)


def test_text_in_another_encoding_is_refused(corpus: Path) -> None:
    (corpus / "train" / "text").write_bytes(b"a \xff\n")
    with pytest.raises(ManifestError, match="expected UTF-8 text"):
        read_kaldi(corpus / "train", corpus)


def test_a_missing_recording_is_named(corpus: Path) -> None:
    (corpus / "wav" / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"a\.wav"):
        read_kaldi(corpus / "train", corpus)


def test_speechocean_is_checked(corpus: Path) -> None:
    assert len(prepare.read_corpus(corpus, count=2)) == 2
    with pytest.raises(ManifestError, match="expected 2500 utterances, found 2"):
        prepare.read_corpus(corpus)
    (corpus / "train" / "text").write_text("a one\nb TWO\n")
    with pytest.raises(ManifestError, match="found 'one'"):
        prepare.read_corpus(corpus, count=2)


def test_another_folder_is_no_speechocean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(["--source", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "no speechocean762 here" in capsys.readouterr().err


def test_the_real_corpus_is_prepared(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "speechocean762"
    assert prepare.main(["--source", str(source), "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "train: 2500 utterances, 2.88 hours, 125 speakers\n"
    first = read_manifest(tmp_path / "train.jsonl")[0]
    assert (first.id, first.text, first.speaker) == ("000010011", "WE CALL IT BEAR", "0001")
    assert len(audio.read(first.audio_filepath, 16_000)[0]) == round(first.duration * 16_000)
