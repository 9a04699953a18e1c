"""The FSDD recipe: checks, splits and digit strings, on a generated corpus and on the real one."""

import hashlib
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AudioError, ManifestError
from recipes.fsdd import prepare as fsdd
from tests.support import run_recipe

SPEAKERS = ("ann", "bob")
RECORDINGS = 9
DIGITS = range(10)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, nine recordings of each digit: 20 ms that tell which one it is, then silence.

    The silence makes the gaps of the strings silent, so that a test can find the digits in them.
    """
    folder = tmp_path_factory.mktemp("fsdd") / "recordings"
    folder.mkdir()
    for speaker in SPEAKERS:
        for digit in DIGITS:
            for number in range(RECORDINGS):
                waveform = np.zeros(320 + 10 * digit, np.int16)
                waveform[:160] = code(speaker, digit, number)
                soundfile.write(folder / f"{digit}_{speaker}_{number}.wav", waveform, 8000)
    return folder.parent


def codes_in(waveform: NDArray[np.int16]) -> list[int]:
    """The codes of the digits of a string, in order."""
    starts = np.flatnonzero((waveform[1:] != 0) & (waveform[:-1] == 0)) + 1
    return [int(waveform[start]) for start in starts]


def code(speaker: str, digit: int, number: int) -> int:
    return 10_000 + 1000 * SPEAKERS.index(speaker) + 10 * digit + number * 100


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out")
    fsdd.write_corpus(fsdd.read_corpus(source, SPEAKERS, RECORDINGS), output, seed=0)
    return output


def numbers(utterances: list[Utterance]) -> set[int]:
    return {int(utterance.id.split("_")[2]) for utterance in utterances}


def test_isolated_digits_are_split_by_recording(prepared: Path) -> None:
    train, dev, test = (read_manifest(prepared / f"{s}.jsonl") for s in ("train", "dev", "test"))
    assert (numbers(train), numbers(dev), numbers(test)) == ({7, 8}, {5, 6}, {0, 1, 2, 3, 4})
    assert (len(train), len(dev), len(test)) == (40, 40, 100)
    for utterance in train + dev + test:
        digit, speaker, _ = utterance.id.split("_")
        assert utterance.text == fsdd.WORDS[int(digit)]
        assert utterance.speaker == speaker
        assert utterance.duration == pytest.approx((320 + 10 * int(digit)) / 8000)


@pytest.mark.parametrize("prefix", ["", "strings_"])
def test_the_left_out_speaker_is_only_in_test(prepared: Path, prefix: str) -> None:
    folder = prepared / "loso" / "bob"
    train, dev, test = (
        read_manifest(folder / f"{prefix}{split}.jsonl") for split in ("train", "dev", "test")
    )
    assert {u.speaker for u in test} == {"bob"}
    assert {u.speaker for u in train + dev} == {"ann"}
    assert sum(len(u.text.split()) for u in test) == 90
    if not prefix:
        assert (numbers(train), numbers(dev)) == ({5, 6, 7, 8}, {0, 1, 2, 3, 4})


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_strings_hold_the_recordings_of_their_split(prepared: Path, split: str) -> None:
    strings = read_manifest(prepared / f"strings_{split}.jsonl")
    used: Counter[int] = Counter()
    for string in strings:
        waveform, rate = soundfile.read(string.audio_filepath, dtype="int16")
        assert rate == 8000
        assert string.duration == pytest.approx(len(waveform) / rate, abs=1e-6)
        codes = codes_in(waveform)
        words = [fsdd.WORDS[value // 10 % 10] for value in codes]
        assert " ".join(words) == string.text
        assert {SPEAKERS[(value - 10_000) // 1000] for value in codes} == {string.speaker}
        used.update(codes)
        assert fsdd.SHORTEST <= len(words) <= fsdd.LONGEST
    expected = {
        code(speaker, digit, number)
        for speaker in SPEAKERS
        for digit in DIGITS
        for number in fsdd.SPLITS[split]
        if number < RECORDINGS
    }
    assert used == dict.fromkeys(expected, fsdd.STRING_ROUNDS[split])


def test_strings_depend_on_name_and_seed_alone(source: Path, tmp_path: Path) -> None:
    corpus = fsdd.read_corpus(source, SPEAKERS, RECORDINGS)
    digits = [r.utterance for r in corpus if r.utterance.speaker == "ann" and r.number == 0]

    def digest(folder: str, name: str, seed: int) -> str:
        strings = fsdd.make_strings(digits, tmp_path / folder, name, 2, seed)
        content = b"".join(string.audio_filepath.read_bytes() for string in strings)
        return hashlib.sha256(content).hexdigest()

    assert digest("a", "x", 0) == digest("b", "x", 0)
    assert len({digest("c", *key) for key in (("x", 0), ("x", 1), ("y", 0))}) == 3


@given(left=st.integers(2, 40), seed=st.integers(0, 1000))
def test_lengths_use_every_digit(left: int, seed: int) -> None:
    generator = random.Random(seed)
    while left:
        length = fsdd.draw_length(left, generator)
        assert fsdd.SHORTEST <= length <= fsdd.LONGEST
        left -= length
        assert left >= 0


def test_gaps_are_short_and_as_quiet_as_the_speech() -> None:
    noise = torch.Generator().manual_seed(0)
    loud = 0.1 * torch.randn(4000, generator=noise)
    loud[800:1600] = 0.001 * torch.randn(800, generator=noise)
    joined = fsdd.join([loud, loud], random.Random(0))
    start = next(s for s in range(len(joined)) if torch.equal(joined[s : s + 4000], loud))
    shortest, longest = (round(seconds * 8000) for seconds in fsdd.GAP_SECONDS)
    assert shortest <= start <= longest
    assert 3 * shortest <= len(joined) - 8000 <= 3 * longest
    assert 0.0005 < joined[:start].square().mean().sqrt() < 0.0015


def test_a_recording_shorter_than_ten_milliseconds_can_be_joined() -> None:
    joined = fsdd.join([torch.full((20,), 0.5), torch.zeros(100)], random.Random(0))
    assert joined.count_nonzero() == 20


def test_recordings_are_found_in_three_folder_layouts(source: Path) -> None:
    for folder in (source, source / "recordings", source.parent):
        assert fsdd.find_recordings(folder) == source / "recordings"


@pytest.fixture
def copy(source: Path, tmp_path: Path) -> Path:
    """The smallest corpus that passes: one recording of each digit by each speaker."""
    for path in (source / "recordings").glob("*_0.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(fsdd.read_corpus(tmp_path, SPEAKERS, 1)) == 20
    return tmp_path


def test_missing_and_unknown_recordings_are_named(copy: Path) -> None:
    with pytest.raises(ManifestError, match=r"20 recordings are missing \(first 0_ann_1.wav\)"):
        fsdd.read_corpus(copy, SPEAKERS, 2)
    with pytest.raises(ManifestError, match=r"10 recordings are unknown \(first 0_bob_0.wav\)"):
        fsdd.read_corpus(copy, ("ann",), 1)
    (copy / "ten_ann_0.wav").write_bytes(b"")
    with pytest.raises(ManifestError, match=r"ten_ann_0.wav: expected a name DIGIT_SPEAKER_NUMBER"):
        fsdd.read_corpus(copy, SPEAKERS, 1)


def test_unexpected_audio_formats_are_refused(copy: Path) -> None:
    path = copy / "3_bob_0.wav"
    for rate, channels, subtype in ((16000, 1, "PCM_16"), (8000, 2, "PCM_16"), (8000, 1, "FLOAT")):
        soundfile.write(path, np.full((800, channels), 0.1), rate, subtype=subtype)
        with pytest.raises(AudioError, match=f"3_bob_0.wav.*found .*{rate} Hz.*{subtype}"):
            fsdd.read_corpus(copy, SPEAKERS, 1)
    path.write_text("not audio")
    with pytest.raises(AudioError, match=r"3_bob_0.wav"):
        fsdd.read_corpus(copy, SPEAKERS, 1)


def test_command_line_reports_errors(tmp_path: Path) -> None:
    assert "no recordings here" in run_recipe(fsdd.main, "--source", tmp_path).error
    for arguments in ([], ["--download", "--source", tmp_path]):
        refused = run_recipe(fsdd.main, *arguments)
        assert (refused.code, "a folder, or --download" in refused.stderr) == (2, True)


def test_download_checks_size_and_sum(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, path: Path, size: int, sha256: str) -> Path:
        assert url.endswith(".zip")
        assert size > 10_000_000
        assert len(sha256) == 64
        return path

    monkeypatch.setattr(fsdd, "download", fetch)
    monkeypatch.setattr(fsdd, "unpack", lambda archive, folder: source)
    refused = run_recipe(fsdd.main, "--download", "-o", tmp_path)
    assert "expected 50 of each digit by each of george, jackson" in refused.error


def test_the_real_corpus(shared_data: Path) -> None:
    corpus = fsdd.read_corpus(shared_data / "fsdd")
    counts = Counter(
        split for r in corpus for split, members in fsdd.SPLITS.items() if r.number in members
    )
    assert counts == {"train": 2580, "dev": 120, "test": 300}
    assert len({r.utterance.id for r in corpus}) == 3000


@pytest.mark.slow
def test_the_real_corpus_is_prepared(shared_data: Path, tmp_path: Path) -> None:
    made = run_recipe(fsdd.main, "--source", shared_data / "fsdd", "-o", tmp_path)
    table = {line.split()[0]: line.split()[1:] for line in made.stdout.splitlines()}
    assert table["strings_test"][2:] == ["1500", "6"]
    for speaker in fsdd.SPEAKERS:
        assert len(read_manifest(tmp_path / "loso" / speaker / "test.jsonl")) == 500
