"""Corpora in the layouts of other tools, and the one that comes as a Kaldi folder."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from asr.corpus.import_audio import probe_once
from asr.corpus.importers import read_kaldi, read_librispeech
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.corpus.recordings import read_utterance
from asr.corpus.shards import write_shards
from asr.errors import AudioError, ManifestError
from asr.signal import audio
from recipes.speechocean762 import prepare
from tests.corpus.test_lhotse import CUT, cuts
from tests.corpus.test_table import COMMON_VOICE
from tests.support import Command, close_folder, run_recipe


@pytest.fixture(autouse=True)
def wav_folder(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir(exist_ok=True)


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
        ("text", "a ONE\n", r"same utterances in wav.scp and text; found 1 in .*first b"),
        ("text", "a ONE\nb TWO\nc THREE\n", "first c"),
        ("wav.scp", "a wav/a.wav\nb\n", "line 2: expected a key and a value"),
        ("text", "a ONE\nb TWO\na ONE\n", "line 3: expected each key once, found 'a' again"),
        ("utt2spk", "a ann\n", "wav.scp and utt2spk"),
        ("wav.scp", "a sph2pipe a.sph |\nb wav/b.wav\n", "a: expected the path of a file"),
        ("segments", "a a 0.0 0.1\n", r"same utterances in segments and text; found 1 .*first b"),
        (
            "segments",
            "a c 0 1\nb b 0 0.1\n",
            "segments: a: expected a recording of wav.scp, found c",
        ),
        ("segments", "a a 0 x\nb b 0 0.1\n", "a: expected a recording, a start and an end"),
        ("segments", "a a 0\nb b 0 0.1\n", "a: expected a recording, a start and an end"),
        ("segments", "a a 0 0.05 1\nb b 0 0.1\n", "and no channel, found a 0 0.05 1"),
        (
            "segments",
            "a a 0.04 0.04\nb b 0 0.1\n",
            r"a segment within 0\.050 s, found 0\.04 s to 0\.04 s",
        ),
        ("segments", "a a -0.1 0.04\nb b 0 0.1\n", r"found -0\.1 s to"),
        ("segments", "a a 0 0.56\nb b 0 0.1\n", r"found 0\.0 s to 0\.56 s"),
        ("segments", "a a 0.05 0.06\nb b 0 0.1\n", r"found 0\.05 s to"),
        ("segments", "a a nan 0.04\nb b 0 0.1\n", "found nan s to"),
    ],
)
def test_folders_that_a_manifest_cannot_express_are_refused(
    corpus: Path, name: str, content: str, message: str
) -> None:
    (corpus / "train" / name).write_text(content)
    with pytest.raises(ManifestError, match=message):
        read_kaldi(corpus / "train", corpus)


def test_segments_are_parts_of_recordings(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    (corpus / "train" / "segments").write_text(
        "b-1 b 0 0.025\nb-2 b 0.025 -1\na-1 a 0.01 0.06\na-2 a 0.0 0.05\n"
    )
    (corpus / "train" / "text").write_text("a-1 ONE\na-2 TWO\nb-1 THREE\nb-2 FOUR\n")
    (corpus / "train" / "utt2spk").unlink()
    caplog.set_level(logging.WARNING, "asr.import")

    utterances = read_kaldi(corpus / "train", corpus)

    assert [(u.id, u.audio_filepath.name, u.text, u.offset) for u in utterances] == [
        ("b-1", "b.wav", "THREE", 0.0),
        ("b-2", "b.wav", "FOUR", 0.025),
        ("a-1", "a.wav", "ONE", 0.01),
        ("a-2", "a.wav", "TWO", 0.0),
    ]
    lengths = [len(read_utterance(utterance)[0]) for utterance in utterances]
    assert lengths == [400, 1200, 640, 800]
    (message,) = caplog.messages
    assert "1 segments end after their recordings, by 0.010 s at most" in message


def test_an_id_alone_is_a_recording_without_speech(corpus: Path, chapters: Path) -> None:
    (corpus / "train" / "text").write_text("a ONE\nb\n")
    (chapters / "84" / "7" / "84-7.trans.txt").write_text("84-7-0000\n84-7-0001 ONE\n")
    assert [u.text for u in read_kaldi(corpus / "train", corpus)] == ["", "ONE"]
    assert [u.text for u in read_librispeech(chapters)][-2:] == ["", "ONE"]


def test_of_several_channels_one_is_chosen(corpus: Path) -> None:
    channels = torch.stack((torch.full((1600,), 0.5), torch.full((1600,), -0.25)), 1)
    soundfile.write(corpus / "wav" / "b.wav", channels.numpy(), 16_000)
    probe_once.cache_clear()
    (corpus / "train" / "utt2spk").unlink()
    with pytest.raises(ManifestError, match=r"b\.wav: expected .* one channel, found 2; say"):
        read_kaldi(corpus / "train", corpus)
    with pytest.raises(ManifestError, match="from 1 to 2, found 3"):
        read_kaldi(corpus / "train", corpus, 3)

    write_manifest(corpus / "two.jsonl", read_kaldi(corpus / "train", corpus, "mean"))
    write_manifest(corpus / "one.jsonl", read_kaldi(corpus / "train", corpus, 1))
    means, first = read_manifest(corpus / "two.jsonl"), read_manifest(corpus / "one.jsonl")
    assert [u.channel for u in (*means, *first)] == [None, None, 1, None]
    assert read_utterance(means[0])[0][0].item() == 0.125
    assert read_utterance(first[0])[0][0].item() == 0.5


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


def test_the_real_corpus_is_prepared(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "speechocean762"
    made = run_recipe(prepare.main, "--source", source, "-o", tmp_path)
    assert made.stdout == "train: 2500 utterances, 2.88 hours, 125 speakers\n"
    first = read_manifest(tmp_path / "train.jsonl")[0]
    assert (first.id, first.text, first.speaker) == ("000010011", "WE CALL IT BEAR", "0001")
    assert len(audio.read(first.audio_filepath, 16_000)[0]) == round(first.duration * 16_000)


# LibriSpeech


@pytest.fixture
def chapters(tmp_path: Path) -> Path:
    """Two speakers of two utterances each."""
    for speaker in ("84", "103"):
        folder = tmp_path / "libri" / speaker / "7"
        folder.mkdir(parents=True)
        lines = []
        for number in (1, 0):
            key = f"{speaker}-7-000{number}"
            audio.write(folder / f"{key}.flac", torch.zeros(1600), 16_000)
            lines.append(f"{key} SAID {number}\n")
        (folder / f"{speaker}-7.trans.txt").write_text("".join(lines))
    return tmp_path / "libri"


def test_librispeech_is_read(chapters: Path) -> None:
    utterances = read_librispeech(chapters)

    assert [u.id for u in utterances] == ["103-7-0000", "103-7-0001", "84-7-0000", "84-7-0001"]
    path = chapters / "84" / "7" / "84-7-0001.flac"
    assert utterances[-1] == Utterance("84-7-0001", path, 0.1, "SAID 1", "84")


def test_hidden_files_beside_librispeech_are_left_out(chapters: Path) -> None:
    utterances = read_librispeech(chapters)
    for name in ("84-7-0000.flac", "84-7.trans.txt"):
        (chapters / "84" / "7" / f"._{name}").write_bytes(b"\0\5\x16\7")
    assert read_librispeech(chapters) == utterances


def test_a_closed_folder_of_librispeech_is_refused(
    chapters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_folder(chapters / "84" / "7", monkeypatch)
    with pytest.raises(ManifestError, match="84/7: cannot list this folder"):
        read_librispeech(chapters)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "84-7-0000.flac").unlink(), "the recordings; found 1 in .*first 84-7-0000"),
        (lambda f: (f / "84-7.trans.txt").write_text("84-7-0000 A\n"), "first 84-7-0001"),
    ],
)
def test_librispeech_with_gaps_is_refused(
    chapters: Path, change: Callable[[Path], object], message: str
) -> None:
    change(chapters / "84" / "7")
    with pytest.raises(ManifestError, match=message):
        read_librispeech(chapters)


def test_a_folder_without_transcripts_is_no_librispeech(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"expected \*\.trans\.txt files"):
        read_librispeech(tmp_path)


@pytest.mark.slow
def test_half_of_dev_clean_is_read(shared_data: Path) -> None:
    utterances = read_librispeech(shared_data / "librispeech-dev-clean-half")

    assert len(utterances) == 1313
    assert len({u.speaker for u in utterances}) == 20
    assert sum(len(u.text.split()) for u in utterances) == 26_870
    assert 2.65 < sum(u.duration for u in utterances) / 3600 < 2.75


# The command


def test_command_writes_manifests(
    corpus: Path, chapters: Path, asr_command: Command, tmp_path: Path
) -> None:
    (corpus / "train.tsv").write_text(COMMON_VOICE)
    output = tmp_path / "lists" / "train.jsonl"
    for arguments, count in (
        (("kaldi", corpus / "train", "--root", corpus), 2),
        (("lhotse", cuts(corpus, CUT), "--root", corpus), 1),
        (("librispeech", chapters), 4),
        (("csv", corpus / "train.tsv", "--root", corpus / "wav"), 2),
    ):
        outcome = asr_command("import", *arguments, "-o", output)
        assert outcome.code == 0, outcome.stderr
        assert outcome.stdout.startswith(f"{output}: {count} utterances, 0.00 hours, ")
        assert len(read_manifest(output)) == count


def test_repeated_ids_and_empty_lists_are_refused(
    corpus: Path, asr_command: Command, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    twice = asr_command("import", "lhotse", cuts(corpus, CUT, CUT), "--root", corpus, "-o", output)
    assert "expected unique ids, found 'c1' twice" in twice.error
    (corpus / "twice.csv").write_text("path,sentence,id\nwav/a.wav,ONE,a\nwav/a.wav,TWO,b\n")
    table = corpus / "twice.csv", "--root", corpus, "--id_column", "id"
    whole = asr_command("import", "csv", *table, "-o", corpus / "two.jsonl")
    assert "2 utterances are the whole of a recording" in whole.messages
    assert "a.wav, twice" in whole.messages
    none = asr_command("import", "lhotse", cuts(corpus), "--root", corpus, "-o", output)
    assert "expected at least one utterance, found none" in none.error
    assert not output.exists()


def test_what_is_left_of_a_damaged_recording(corpus: Path, asr_command: Command) -> None:
    path = corpus / "wav" / "b.wav"
    whole, rate = audio.read(path)
    path.write_bytes(path.read_bytes()[:-200])
    arguments = ("import", "kaldi", corpus / "train", "--root", corpus, "-o", corpus / "new.jsonl")
    assert "b.wav: expected" in asr_command(*arguments).error
    assert not (corpus / "new.jsonl").exists()

    read = asr_command(*arguments, "--damaged", "read")
    assert read.code == 0
    assert "only what is left is imported of" in read.stderr
    damaged, sound = read_manifest(corpus / "new.jsonl")
    assert (damaged.damaged, sound.damaged) == (True, False)
    left, _ = read_utterance(damaged)
    assert len(left) == round(damaged.duration * rate) == len(whole) - 100
    assert torch.equal(left, whole[: len(left)])
    write_shards([damaged], corpus / "shards", 10**6)
    (packed,) = read_manifest(corpus / "shards" / "manifest.jsonl")
    assert not packed.damaged
    assert torch.equal(read_utterance(packed)[0], left)


def test_tags_stay_unless_told_otherwise(corpus: Path, asr_command: Command) -> None:
    (corpus / "train" / "text").write_text("b TWO <unk> THREE [noise]\na [noise]\n")
    output = corpus / "new.jsonl"
    arguments = ("import", "kaldi", corpus / "train", "--root", corpus, "-o", output)

    def texts(*options: str) -> list[str]:
        result = asr_command(*arguments, *options)
        assert result.code == 0
        kept = "have the tags" in result.stderr
        assert kept == ("drop" not in options and len(options) < 4)
        return [utterance.text for utterance in read_manifest(output)]

    assert texts() == ["TWO <unk> THREE [noise]", "[noise]"]
    assert texts("--replace", "<unk>=FIVE") == ["TWO FIVE THREE [noise]", "[noise]"]
    assert texts("--tags", "drop") == ["TWO THREE", ""]
    assert texts("--tags", "drop", "--replace", "<unk>=OH") == ["TWO OH THREE", ""]
    assert texts("--replace", "[noise]=", "--replace", "<unk>=") == ["TWO THREE", ""]
    error = asr_command(*arguments, "--replace", "<UNK>=").error
    assert "<UNK>: expected a tag that the texts have" in error
    assert "expected TAG=TEXT" in asr_command(*arguments, "--replace", "<unk>").stderr

    texts()
    again = corpus / "again.jsonl"
    rewritten = asr_command("import", "manifest", output, "-o", again, "--tags", "drop")
    assert rewritten.code == 0
    assert [(u.id, u.text) for u in read_manifest(again)] == [("b", "TWO THREE"), ("a", "")]
