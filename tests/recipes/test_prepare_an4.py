"""The AN4 recipe: layouts, checks and splits, on generated corpora and on the real one."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AudioError, ManifestError
from recipes.an4 import prepare as an4
from tests.support import run_recipe

TRAIN = [
    f"{speaker}/an{n}-{speaker}-b" for speaker in ("fabc", "fdef", "mabc", "mdef") for n in (1, 2)
]
TEST = ["fxyz/an1-fxyz-b", "mxyz/an2-mxyz-b", "mxyz/an3-mxyz-b"]
COUNTS = {"train": 8, "test": 3}
LAYOUTS = ("wav", "sph", "raw")


def tone(index: int, samples: int = 1600) -> NDArray[np.int16]:
    """A different low tone for each index: smooth in the correct byte order, like speech."""
    time = np.arange(samples) / an4.SAMPLE_RATE
    wave: NDArray[np.float64] = 3000 * np.sin(2 * np.pi * (100 + 10 * index) * time)
    return np.rint(wave).astype(np.int16)


def write_audio(path: Path, waveform: NDArray[np.int16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".raw":
        path.write_bytes(waveform.astype(">i2").tobytes())
    else:
        kind = {".wav": "WAV", ".sph": "NIST"}[path.suffix]
        soundfile.write(path, waveform, an4.SAMPLE_RATE, subtype="PCM_16", format=kind)


def make_corpus(root: Path, layout: str = "wav", markers: bool = True) -> Path:
    """Write a small corpus of 8 train and 3 test utterances in one of the published layouts."""
    (root / "etc").mkdir(parents=True)
    for split, folder, ids in (("train", "an4_clstk", TRAIN), ("test", "an4test_clstk", TEST)):
        texts = []
        for index, name in enumerate(ids):
            write_audio(root / "wav" / folder / f"{name}.{layout}", tone(index))
            text = ("YES", "A B C", "ENTER SIX")[index % 3]
            text = f"<s> {text} </s>" if markers and split == "train" else text
            texts.append(f"{text} ({name.split('/')[1]})\n")
        lines = "".join(f"{folder}/{name}\n" for name in ids)
        (root / "etc" / f"an4_{split}.fileids").write_text(lines)
        (root / "etc" / f"an4_{split}.transcription").write_text("".join(texts))
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def run(root: Path, output: Path, raw_endian: str = "big") -> dict[str, list[Utterance]]:
    return an4.prepare(root, output, COUNTS, dev_utterances=4, raw_endian=raw_endian)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_manifests(tmp_path: Path, layout: str) -> None:
    splits = run(make_corpus(tmp_path / "an4", layout), tmp_path / "out")
    assert {split: len(members) for split, members in splits.items()} == {
        "train": 4,
        "dev": 4,
        "test": 3,
    }
    waveforms = {}
    for split in splits:
        for utterance in read_manifest(tmp_path / "out" / f"{split}.jsonl"):
            waveform, rate = soundfile.read(utterance.audio_filepath, dtype="int16")
            assert rate == an4.SAMPLE_RATE
            assert utterance.duration == pytest.approx(0.1)
            assert utterance.speaker == utterance.id.split("-")[1]
            waveforms[utterance.id] = waveform
    for ids in (TRAIN, TEST):
        for index, name in enumerate(ids):
            np.testing.assert_array_equal(waveforms[name.split("/")[1]], tone(index))
    texts = {u.id: u.text for members in splits.values() for u in members}
    assert texts["an2-fabc-b"] == "A B C"
    assert texts["an3-mxyz-b"] == "ENTER SIX"


def test_recordings_are_referenced_in_place_but_raw_ones_are_converted(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        root = make_corpus(tmp_path / layout / "an4", layout)
        output = tmp_path / layout / "out"
        path = run(root, output)["test"][0].audio_filepath
        assert path.is_relative_to(output if layout == "raw" else root)


def test_source_may_be_the_parent_and_sentence_markers_may_be_missing(tmp_path: Path) -> None:
    make_corpus(tmp_path / "an4", markers=False)
    splits = run(tmp_path, tmp_path / "out")
    assert {u.text for u in splits["train"]} <= {"YES", "A B C", "ENTER SIX"}


def test_windows_text_files_are_read(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4")
    for path in (root / "etc").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(run(root, tmp_path / "out")["test"]) == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("an4_train.fileids", "an4_clstk/fabc/an1-fabc-b\n", "", "'an1-fabc-b' is not in"),
        (
            "an4_train.fileids",
            "an2-fabc-b",
            "an1-fabc-b",
            "line 2: the id 'an1-fabc-b' is already in",
        ),
        ("an4_train.fileids", "an2-fabc-b", "an9-fabc-b", "line 2: .* no transcript"),
        ("an4_train.fileids", "an4_clstk/fabc", "../../etc", "line 1: expected FOLDER/SPEAKER/ID"),
        ("an4_test.transcription", "YES", "yes", "line 1: expected words of A–Z.* found 'yes'"),
        ("an4_test.transcription", "YES ", "", "line 1: expected words of A–Z.* found ''"),
        ("an4_test.transcription", "A B", "A  B", "line 2: expected words of A–Z"),
        ("an4_test.transcription", " (an1-fxyz-b)", "", "line 1: expected '<s> TEXT </s>"),
        ("an4_test.transcription", "an2-mxyz-b", "an1-fxyz-b", "line 2: a second transcript"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    root = make_corpus(tmp_path / "an4")
    edit(root / "etc" / file, old, new)
    with pytest.raises(ManifestError, match=message) as caught:
        run(root, tmp_path / "out")
    assert file.split("_")[1].split(".")[0] in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_wrong_number_of_utterances_is_refused(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4")
    with pytest.raises(
        ManifestError, match="expected the official 948 utterances of train, found 8"
    ):
        an4.prepare(root, tmp_path / "out")


def test_missing_corpus_list_and_recording_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no AN4 corpus here"):
        run(tmp_path, tmp_path / "out")
    root = make_corpus(tmp_path / "an4")
    (root / "wav" / "an4_clstk" / "fabc" / "an2-fabc-b.wav").unlink()
    with pytest.raises(ManifestError, match=r"an4_train.fileids, line 2: no recording"):
        run(root, tmp_path / "out")
    (root / "etc" / "an4_test.transcription").unlink()
    with pytest.raises(ManifestError, match=r"an4_test.transcription: cannot read"):
        run(root, tmp_path / "out")


def test_a_speaker_in_both_train_and_test_is_refused(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4")
    edit(root / "etc" / "an4_test.fileids", "fxyz/", "fabc2/")
    with pytest.raises(ManifestError, match=r"both train and test: \['fabc'\]"):
        run(root, tmp_path / "out")


def test_other_sample_rates_and_empty_recordings_are_refused(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4")
    path = root / "wav" / "an4test_clstk" / f"{TEST[0]}.wav"
    soundfile.write(path, tone(0), 8000)
    with pytest.raises(AudioError, match=f"{path.name}.*8000"):
        run(root, tmp_path / "out")
    soundfile.write(path, tone(0, samples=0), an4.SAMPLE_RATE)
    with pytest.raises(AudioError, match=path.name):
        run(root, tmp_path / "out")


def test_shorten_compressed_sphere_is_refused_with_advice(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4", "sph")
    path = root / "wav" / "an4test_clstk" / f"{TEST[0]}.sph"
    plain, packed = b"sample_coding -s3 pcm\n", b"sample_coding -s26 pcm,embedded-shorten-v2.00\n"
    header = path.read_bytes()
    assert plain in header
    path.write_bytes(header.replace(plain, packed))
    with pytest.raises(AudioError, match=r"an1-fxyz-b.sph.*shorten.*sph2pipe"):
        run(root, tmp_path / "out")


def test_raw_byte_order_is_checked_and_can_be_given(tmp_path: Path) -> None:
    root = make_corpus(tmp_path / "an4", "raw")
    for path in root.rglob("*.raw"):
        path.write_bytes(np.frombuffer(path.read_bytes(), ">i2").astype("<i2").tobytes())
    with pytest.raises(AudioError, match="--raw_endian little"):
        run(root, tmp_path / "out")
    first = run(root, tmp_path / "out", raw_endian="little")["test"][0]
    np.testing.assert_array_equal(soundfile.read(first.audio_filepath, dtype="int16")[0], tone(0))


@pytest.mark.parametrize("data", [b"", b"abc"])
def test_raw_with_incomplete_samples_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=rf"x.raw.*{len(data)} bytes"):
        an4.convert_raw(path, tmp_path / "x.wav", "big")


def speakers(**counts: int) -> Sequence[str]:
    return [code for code, count in counts.items() for _ in range(count)]


def test_dev_persons_are_the_first_suitable_subset_by_hash() -> None:
    codes = [f"f{letter}" for letter in "abcdefgh"]
    order = sorted(codes, key=lambda code: hashlib.sha256(code.encode()).digest())
    everyone = speakers(**dict.fromkeys(codes, 13), mx=26)
    assert an4.choose_dev(everyone, 52) == {*order[:2], "mx"}
    assert an4.choose_dev(everyone[::-1], 52) == an4.choose_dev(everyone, 52)


def test_dev_finds_the_one_subset_that_fits() -> None:
    assert an4.choose_dev(speakers(fa=13, fb=9, fc=14, fd=12, ma=23), 46) == {"fb", "fc", "ma"}


def test_dev_keeps_the_codes_of_one_person_together() -> None:
    assert an4.choose_dev(speakers(fa=1, fa2=2, mb=3), 6) == {"fa", "mb"}


def test_an_impossible_dev_set_is_an_error() -> None:
    with pytest.raises(ManifestError, match="starts with 'm' has exactly 2 utterances"):
        an4.choose_dev(speakers(fa=2, mb=3), 4)


def test_command_line_reports_errors(tmp_path: Path) -> None:
    assert "no AN4 corpus here" in run_recipe(an4.main, "--source", tmp_path).error
    for arguments in ([], ["--download", "--source", tmp_path]):
        refused = run_recipe(an4.main, *arguments)
        assert (refused.code, "a folder, or --download" in refused.stderr) == (2, True)


def test_download_unpacks_and_prepares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_corpus(tmp_path / "fetched" / "an4")
    calls: list[Path] = []

    def fetch(urls: Sequence[str], path: Path, sha256: str) -> Path:
        assert all(url.endswith("an4_sphere.tar.gz") for url in urls)
        assert len(sha256) == 64
        calls.append(path)
        return path

    monkeypatch.setattr(an4, "download_first", fetch)
    monkeypatch.setattr(an4, "unpack", lambda archive, folder: source.parent)
    prepare = an4.prepare
    monkeypatch.setattr(
        an4,
        "prepare",
        lambda source, output, raw_endian: prepare(source, output, COUNTS, 4, raw_endian),
    )
    assert run_recipe(an4.main, "--download", "-o", tmp_path / "out").code == 0
    assert calls == [tmp_path / "out" / "download" / "an4_sphere.tar.gz"]


def test_the_real_corpus(shared_data: Path, tmp_path: Path) -> None:
    made = run_recipe(an4.main, "--source", shared_data / "an4", "-o", tmp_path)
    splits = {
        split: read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")
    }
    assert [len(members) for members in splits.values()] == [848, 100, 130]
    persons = [{an4.person(u.speaker or "") for u in members} for members in splits.values()]
    assert sum(map(len, persons)) == len(set.union(*persons))
    assert sum(u.id.split("-")[1].startswith("f") for u in splits["dev"]) == 50
    assert sum(len(u.text.split()) for u in splits["test"]) == 773
    assert sum(len(u.text) for u in splits["test"]) == 2565
    table = [line.split() for line in made.stdout.splitlines()]
    assert table[3] == ["test", "130", "0.099", "773", "2565", "69", "10"]
