"""Reading, writing and finding audio that is as it should be."""

import logging
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from asr.errors import AsrError, AudioError, ConfigError
from asr.signal import audio_file as decoding
from asr.signal.audio import RawFormat, find_audio, probe, read, write
from asr.signal.dsp import resample
from asr.signal.resampling import sinc_resample
from tests.support import close_folder


def tone(frames: int = 16000, rate: int = 16000, channels: int = 1) -> npt.NDArray[np.float64]:
    """A 440 Hz tone of amplitude 0.5, `(frames, channels)`, each channel weaker than the last."""
    mono = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    return np.stack([mono / (1 + c) for c in range(channels)], axis=1)


def store(path: Path, samples: npt.ArrayLike, rate: int, container: str, subtype: str) -> Path:
    soundfile.write(path, samples, rate, subtype, format=container)
    return path


LOSSLESS = [
    *[("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("AIFF", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
    *[("NIST", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_32")],
    *[("AU", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT")],
    *[("FLAC", subtype) for subtype in ("PCM_16", "PCM_24")],
    *[("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("W64", "FLOAT")],
]
EIGHT_BIT = [
    *[("WAV", "PCM_U8"), ("AIFF", "PCM_S8"), ("FLAC", "PCM_S8"), ("NIST", "PCM_S8")],
    *[("WAV", "ULAW"), ("NIST", "ALAW"), ("AIFF", "ULAW"), ("AU", "ULAW")],
    *[("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610")],
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "subtype"), LOSSLESS)
def test_lossless_formats_return_what_was_written(
    tmp_path: Path, container: str, subtype: str, channels: int
) -> None:
    samples = tone(channels=channels)
    path = store(tmp_path / "a.bin", samples, 16000, container, subtype)
    waveform, rate = read(path)
    assert (waveform.dtype, waveform.shape, rate) == (torch.float32, (16000,), 16000)
    np.testing.assert_allclose(waveform.numpy(), samples.mean(axis=1), atol=1 / 32768)
    info = probe(path)
    assert (info.container, info.subtype) == (container, subtype)
    assert (info.frames, info.channels, info.duration_seconds) == (16000, channels, 1.0)


@pytest.mark.parametrize(("container", "subtype"), EIGHT_BIT)
def test_coarse_formats_return_nearly_what_was_written(
    tmp_path: Path, container: str, subtype: str
) -> None:
    path = store(tmp_path / "a.bin", tone(), 16000, container, subtype)
    waveform, _ = read(path)
    assert len(waveform) == probe(path).frames >= 16000
    error = waveform.numpy()[:16000] - tone()[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.04  # 19 dB below the tone; GSM comes closest to it


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize(("container", "subtype"), LOSSY)
def test_lossy_formats_keep_length_and_signal(
    tmp_path: Path, container: str, subtype: str, rate: int
) -> None:
    samples = tone(rate * 2 + 17, rate)[:, 0]
    path = store(tmp_path / "speech.wav", samples, rate, container, subtype)  # any name will do
    waveform, found_rate = read(path)
    assert (len(waveform), found_rate) == (len(samples), rate)
    middle = slice(rate // 4, -rate // 4)
    correlation = np.corrcoef(waveform.numpy()[middle], samples[middle])[0, 1]
    assert correlation > 0.99


@pytest.mark.parametrize("fork", ["._", ".AppleDouble/"])
def test_resource_forks_in_the_current_folder_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork: str
) -> None:
    """libsndfile takes them for a part of an MP3 without a tag, which it then refuses."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.zeros(8000), 16000, "MPEG_LAYER_III", format="MP3")
    monkeypatch.chdir(tmp_path)
    (tmp_path / fork).mkdir() if fork.endswith("/") else (tmp_path / fork).write_bytes(bytes(300))
    expected = read(path)[0]
    assert len(expected) == 8000
    assert torch.equal(read("a.mp3")[0], expected)
    assert torch.equal(read("gone", content=path.read_bytes())[0], expected)
    path.write_bytes(b"no audio at all")
    with pytest.raises(AudioError, match="found something else"):
        read("a.mp3")


def test_mp3_under_a_wav_name(shared_data: Path) -> None:
    folder = shared_data / "librispeech-dev-clean-half"
    path = next(iter(sorted(folder.rglob("*.wav"))))
    info = probe(path)
    waveform, rate = read(path)
    assert (info.container, rate, len(waveform)) == ("MP3", 16000, info.frames)
    assert 0.01 < float(waveform.std()) < 0.5


def test_eight_channels_are_averaged(tmp_path: Path) -> None:
    samples = tone(1000, channels=8)
    waveform, _ = read(store(tmp_path / "a.wav", samples, 16000, "WAV", "FLOAT"))
    np.testing.assert_allclose(waveform.numpy(), samples.mean(axis=1), atol=1e-6)


def test_one_channel_may_be_chosen(tmp_path: Path) -> None:
    samples = tone(1000, channels=3)
    path = store(tmp_path / "a.wav", samples, 16000, "WAV", "FLOAT")
    for channel in (1, 3):
        waveform, _ = read(path, segment=(0.01, 0.02), channel=channel)
        np.testing.assert_allclose(waveform.numpy(), samples[160:480, channel - 1], atol=1e-6)
    for channel in (0, 4):
        with pytest.raises(AudioError, match=f"with a channel {channel}, found one of 3"):
            read(path, channel=channel)


@pytest.mark.parametrize("samples", [np.zeros(16000), np.array([0.25])])
def test_silence_and_a_single_sample_are_readable(
    tmp_path: Path, samples: npt.NDArray[np.float64]
) -> None:
    path = store(tmp_path / "a.wav", samples, 16000, "WAV", "PCM_16")
    np.testing.assert_array_equal(read(path)[0].numpy(), samples)
    assert read(path, sample_rate=8000)[0].shape == (math.ceil(len(samples) / 2),)


def test_floats_beyond_full_scale_are_left_as_they_are(tmp_path: Path) -> None:
    path = store(tmp_path / "a.wav", [3.0, -20000.0], 16000, "WAV", "FLOAT")
    assert read(path)[0].tolist() == [3.0, -20000.0]


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_headerless_files_need_their_format(tmp_path: Path, endian: str) -> None:
    path = tmp_path / "a.raw"
    order = "<i2" if endian == "LITTLE" else ">i2"
    path.write_bytes(np.array([[1, 3], [-100, -300]], order).tobytes())
    waveform, rate = read(path, raw=RawFormat(8000, channels=2, endian=endian))
    assert (rate, (waveform * 32768).tolist()) == (8000, [2.0, -200.0])
    with pytest.raises(AudioError, match="raw format"):
        read(path)
    with pytest.raises(AudioError, match=r"frames of 6 bytes.*found 8 bytes, 2 too many"):
        read(path, raw=RawFormat(8000, channels=3))


@pytest.mark.parametrize(
    "values",
    [{"sample_rate": 0}, {"channels": 0}, {"subtype": "PCM_17"}, {"endian": "MIDDLE"}],
)
def test_raw_formats_are_checked(values: dict[str, int | str]) -> None:
    with pytest.raises(ConfigError):
        RawFormat(**{"sample_rate": 16000, **values})  # type: ignore[arg-type]


def test_resampling_and_averaging_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    decoding.log_once.cache_clear()
    path = store(tmp_path / "a.wav", tone(4410, 44100, 3), 44100, "WAV", "PCM_16")
    with caplog.at_level(logging.INFO, "asr.audio"):
        waveform, rate = read(path, sample_rate=16000)
        read(path, sample_rate=16000)
    assert (rate, waveform.shape) == (16000, (1600,))
    assert len(caplog.messages) == 2
    assert any("44100 Hz" in said and "16000 Hz" in said for said in caplog.messages)
    assert any("3 channels" in said for said in caplog.messages)


@pytest.mark.parametrize("rate", [8000, 11111, 16000, 44100])
def test_a_file_is_resampled_as_its_whole_waveform(tmp_path: Path, rate: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (rate * 3 // 2, 2))
    path = store(tmp_path / "a.wav", samples, rate, "WAV", "FLOAT")
    waveform, found = read(path, 16000)
    assert (len(waveform), found) == (24000, 16000)
    interpolate = sinc_resample if rate == 11111 else resample
    torch.testing.assert_close(waveform, interpolate(read(path)[0], rate, 16000))


def test_settings_without_meaning_are_refused(tmp_path: Path) -> None:
    path = store(tmp_path / "a.wav", tone(), 16000, "WAV", "PCM_16")
    with pytest.raises(ConfigError, match="positive number of Hz, found 0"):
        read(path, sample_rate=0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_writing_is_exact_to_half_a_step_and_repeatable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    waveform = torch.linspace(-1, 1, 4001)
    write(path, waveform, 16000)
    once, rate = read(path)
    assert (rate, probe(path).subtype) == (16000, "PCM_16")
    assert float((once - waveform)[:-1].abs().max()) <= 0.5 / 32768
    assert float(once[-1]) == 32767 / 32768  # the one value that 16 bits cannot hold
    write(path, once, 16000)
    assert torch.equal(read(path)[0], once)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "waveform"),
    [
        ("a.mp3", torch.zeros(10)),
        ("a.wav", torch.tensor([1.5])),
        ("a.wav", torch.tensor([float("nan"), 0.0])),
        ("a.wav", torch.zeros(2, 10)),
    ],
)
def test_writing_refuses_what_it_cannot_keep(
    tmp_path: Path, name: str, waveform: torch.Tensor
) -> None:
    with pytest.raises(AudioError):
        write(tmp_path / name, waveform, 16000)
    assert list(tmp_path.iterdir()) == []


def test_writing_at_an_impossible_rate(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"sample rate.*found 0 Hz"):
        write(tmp_path / "a.flac", torch.zeros(10), 0)


def test_writing_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="create the folder"):
        write(tmp_path / "none" / "a.wav", torch.zeros(10), 16000)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b/2.wav", "b/1.FLAC", "a.opus", "notes.txt", ".hidden.wav", ".git/3.wav"]:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "tree"


def test_finding_audio(tree: Path) -> None:
    everything = [tree / "a.opus", tree / "b" / "1.FLAC", tree / "b" / "2.wav"]
    assert find_audio([tree]) == everything
    assert find_audio([str(tree / "b" / "2.wav"), tree]) == [everything[2], *everything[:2]]
    assert find_audio([f"{tree}/b/../a.opus", tree / "a.opus"]) == [tree / "b" / ".." / "a.opus"]
    assert find_audio([f"{tree}/**/*.wav"]) == [everything[2]]
    assert find_audio([f"{tree}/[ab]*"]) == everything
    assert find_audio([]) == []
    named = [tree / "notes.txt", tree / "missing.wav"]
    assert find_audio(named) == named


def test_a_closed_folder_stands_for_itself(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tree / "b"
    close_folder(closed, monkeypatch)
    assert find_audio([tree]) == [tree / "a.opus", closed]
    message = "b: expected a folder that can be listed, found permission denied"
    with pytest.raises(AudioError, match=message):
        probe(closed)
    with pytest.raises(AudioError, match=message):
        find_audio([closed])
    (tree / "a.opus").unlink()
    assert find_audio([tree]) == [closed]


def test_files_that_are_passed_over_are_counted(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    find_audio([tree])
    assert not caplog.text
    for name in (
        "x.wma",
        "y.WMA",
        "z.voc",
        "b/call",
        "b/notes.txt",
        "b/a.jsonl",
        "p.png",
        ".x.wma",
    ):
        (tree / name).touch()
    find_audio([tree])
    assert f"{tree}: 4 files are passed over" in caplog.text
    assert "(2 .wma, 1 without a suffix, 1 .voc)" in caplog.text


def test_a_name_with_brackets_is_no_glob(tree: Path) -> None:
    path = tree / "take [1].wav"
    path.touch()
    assert find_audio([path]) == [path]


def test_finding_nothing_is_an_error(tree: Path) -> None:
    with pytest.raises(AudioError, match="no file matches"):
        find_audio([f"{tree}/*.mp3"])
    (tree / "empty").mkdir()
    with pytest.raises(AudioError, match="none in this folder"):
        find_audio([tree / "empty"])
