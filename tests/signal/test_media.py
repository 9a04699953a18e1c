"""Files that FFmpeg reads: as they should be, truncated, damaged, and without PyAV."""

import io
import logging
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from asr.errors import AudioError, ConfigError, DamagedAudioError
from asr.signal.audio import Limits, find_audio, probe, read
from asr.signal.kept import KeptRecordings

av = pytest.importorskip("av")

KINDS = {
    "aac.m4a": ("ipod", "aac", {}),
    "alac.m4a": ("ipod", "alac", {}),
    "fragments.mp4": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "opus.mp4": ("mp4", "libopus", {}),
    "pcm.mov": ("mov", "pcm_s16le", {}),
    "amr.3gp": ("3gp", "libopencore_amrnb", {}),
    "nb.amr": ("amr", "libopencore_amrnb", {}),
    "opus.webm": ("webm", "libopus", {}),
    "live.webm": ("webm", "libopus", {"live": "1"}),
    "aac.mka": ("matroska", "aac", {}),
    "flac.mka": ("matroska", "flac", {}),
    "mp3.mkv": ("matroska", "libmp3lame", {}),
}
"""Name → FFmpeg's names of container and codec, and options of the container."""
LOSSLESS = ("alac.m4a", "flac.mka", "pcm.mov")
NO_LENGTH = ("nb.amr", "live.webm", "fragments.mp4")


def rate_of(name: str) -> int:
    return 8000 if "amr" in name else 16000


def signal(frames: int, rate: int, channels: int = 1) -> npt.NDArray[np.float32]:
    """A 440 Hz tone in noise `(frames, channels)`, each channel weaker than the last."""
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, frames)
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate) + noise
    return np.stack([tone / (1 + c) for c in range(channels)], axis=1).astype(np.float32)


def encode(name: str, frames: int = 0, channels: int = 1, pictures: bool = False) -> bytes:
    """A file of these kinds; two seconds and a bit, if nothing else is said."""
    container, codec, options = KINDS[name]
    rate = rate_of(name)
    samples = signal(frames or 2 * rate + 17, rate, channels)
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        if pictures:
            video = output.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        layout = ("mono", "stereo")[channels - 1]
        sound = output.add_stream(codec, rate=rate, layout=layout)
        if pictures:
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            for packet in [*(p for _ in range(50) for p in video.encode(image)), *video.encode()]:
                output.mux(packet)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for packet in [*sound.encode(frame), *sound.encode()]:
            output.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_containers_keep_length_and_signal(tmp_path: Path, name: str, channels: int) -> None:
    if "amr" in name and channels == 2:
        pytest.skip("AMR has one channel")
    rate = rate_of(name)
    expected = signal(2 * rate + 17, rate, channels).mean(axis=1)
    path = tmp_path / "speech.wav"  # any name will do
    path.write_bytes(encode(name, channels=channels))
    waveform, found = read(path, rate)
    assert torch.equal(read("memory", rate, content=path.read_bytes())[0], waveform)
    assert (found, waveform.dtype) == (rate, torch.float32)
    if name in LOSSLESS:
        assert len(waveform) == len(expected)
        np.testing.assert_allclose(waveform.numpy(), expected, atol=2 / 32768)
    # Encoders fill up their last packet; not all containers say by how much, and at the start.
    assert -0.02 < len(waveform) / rate - len(expected) / rate < 0.15
    spectrum = np.abs(np.fft.rfft(waveform.numpy()[rate // 2 : rate * 3 // 2]))
    assert np.argmax(spectrum) == 440
    info = probe(path)
    assert (info.channels, info.frames) == (channels, len(read(path)[0]))
    assert info.container == {"mp4": "MP4"}.get(name[-3:], info.container)
    assert info.duration_seconds == pytest.approx(len(waveform) / rate, abs=1e-3)


def test_the_sound_of_a_film(tmp_path: Path) -> None:
    for name in ("fragments.mp4", "aac.m4a", "aac.mka", "mp3.mkv"):
        path = tmp_path / name
        path.write_bytes(encode(name, pictures=True))
        sound = read(path)[0]
        path.write_bytes(encode(name))
        torch.testing.assert_close(sound, read(path)[0])


def test_a_film_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        for packet in [*video.encode(image), *video.encode()]:
            output.mux(packet)
    with pytest.raises(AudioError, match="expected sound in this MP4 file, found none"):
        read(path)


def test_a_second_track_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.mka"
    with av.open(str(path), "w", format="matroska") as output:
        tracks = [output.add_stream("flac", rate=16000, layout="mono") for _ in range(2)]
        for gain, track in zip((1.0, 0.0), tracks, strict=True):
            samples = gain * signal(8000, 16000).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), "flt", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
            for packet in [*track.encode(frame), *track.encode()]:
                output.mux(packet)
    assert float(read(path)[0].std()) > 0.1
    assert f"{path}: 2 tracks of sound, of which the first is read" in caplog.text


def test_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(encode("alac.m4a"))
    whole, rate = read(path)
    part, _ = read(path, segment=(0.5, 0.25))
    assert torch.equal(part, whole[rate // 2 : rate * 3 // 4])
    with pytest.raises(AudioError, match="damage after 32017 decoded frames"):
        read(path, segment=(1.9, 1.0))


@pytest.mark.parametrize("name", KINDS)
def test_segments_of_a_kept_recording(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encode(name))
    expected, rate = read(path, segment=(0.5, 0.25))
    source = KeptRecordings(least_seconds=0).open(path)
    assert source is not None
    pieces, kept_rate = source.waveform(None, (0.5, 0.25))
    assert torch.equal(torch.cat(list(pieces)), expected)
    assert kept_rate == rate
    with pytest.raises(AudioError, match=r"expected a segment from 1\.9 s to 2\.9 s"):
        source.waveform(None, (1.9, 1.0))[0].__next__()


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    path.write_bytes(encode("opus.webm", channels=2))
    with pytest.raises(AudioError, match="at most 1 s of audio"):
        read(path, limits=Limits(max_duration_seconds=1))
    with pytest.raises(AudioError, match="at most 1 channels, found 2"):
        read(path, limits=Limits(max_channels=1))
    with pytest.raises(AudioError, match="1000 to 16000 Hz, found 48000"):
        read(path, limits=Limits(max_sample_rate=16000))
    with pytest.raises(ConfigError):
        read(path, sample_rate=0)


@pytest.mark.parametrize("name", KINDS)
def test_truncation_is_never_silent(tmp_path: Path, name: str) -> None:
    content = encode(name)
    path = tmp_path / name
    rng = np.random.default_rng(0)
    path.write_bytes(content)
    whole, _ = read(path)
    for keep in [*rng.integers(16, len(content), 20), *(len(content) - rng.integers(1, 40, 5))]:
        path.write_bytes(content[:keep])
        if name == "nb.amr" and (keep - 6) % 13 == 0:
            continue  # AMR states no length: between two frames nothing tells
        with pytest.raises(AudioError):
            read(path)
    path.write_bytes(content[: len(content) * 7 // 10])
    damage: list[str] = []
    try:
        left, _ = read(path, damage=damage)
    except AudioError as error:  # its index was at the end
        assert name.endswith((".m4a", ".mp4", ".mov", ".3gp"))
        assert "moov" in str(error) or "Invalid data" in str(error)  # noqa: PT017
    else:
        assert 0.4 * len(whole) < len(left) < 0.8 * len(whole)
        assert str(path) in damage[0]


@pytest.mark.parametrize("name", KINDS)
def test_one_damaged_byte_shortens_nothing_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    content = bytearray(encode(name))
    path = tmp_path / name
    path.write_bytes(content)
    whole, rate = read(path)
    rng = np.random.default_rng(3)
    ends = [rng.integers(0, 1000, 15), len(content) - 1 - rng.integers(0, 1000, 15)]
    for position in np.concatenate([*ends, rng.integers(0, len(content), 10)]):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        caplog.clear()
        try:
            found, found_rate = read(path)
        except AudioError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 (either outcome is right)
        else:
            # What is shorter than a packet is the rounding of what the boxes state.
            is_whole = len(found) / found_rate > len(whole) / rate - 0.1
            assert is_whole or "if nobody cut it, it is damaged" in caplog.text, position
        read_what_is_left(path)


def read_what_is_left(path: Path) -> None:
    damage: list[str] = []
    try:
        left, _ = read(path, damage=damage)
    except AudioError:
        return
    assert bool(torch.isfinite(left).all())
    assert all(problem.startswith(str(path)) for problem in damage)


def test_damage_within_is_passed_over_on_request(tmp_path: Path) -> None:
    content = bytearray(encode("aac.m4a"))
    content[5000:5200] = bytes(200)
    path = tmp_path / "a.m4a"
    path.write_bytes(content)
    with pytest.raises(DamagedAudioError, match=r"a packet that cannot be decoded .* after 0\.\d"):
        read(path)
    damage: list[str] = []
    left, rate = read(path, damage=damage)
    assert len(damage) == 1
    assert 1.7 < len(left) / rate < 2.05


@pytest.mark.parametrize("head", [b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"#!AMR\n"])
def test_heads_without_a_body(refused: Callable[[bytes, str], None], head: bytes) -> None:
    for rest in (b"", bytes(100), b"\xff" * 100, b"The quick brown fox " * 50):
        refused(head + rest, "expected ")


@pytest.mark.parametrize("name", ["aac.m4a", "opus.webm", "nb.amr"])
def test_without_pyav_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(encode(name))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"run `pip install 'ctc-asr\[media\]'`, or convert it"):
        read(path)


def test_playlists_and_references_open_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(encode("aac.m4a"))
    for text in ("#EXTM3U\n#EXTINF:1,\na.m4a\n", "ffconcat version 1.0\nfile a.m4a\n"):
        for name in ("list.m3u8", "list.m4a", "list.mp4"):
            (tmp_path / name).write_text(text)
            with pytest.raises(AudioError, match="found something else"):
                read(tmp_path / name)


def test_folders_hold_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in KINDS:
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        assert find_audio([tmp_path]) == sorted(tmp_path / name for name in KINDS)
    assert not caplog.text
