"""Audio files that are broken, lie or are no audio: one clear error, little memory, no guess."""

import io
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.errors import AudioError, DamagedAudioError
from asr.signal.audio import Limits, RawFormat, probe, read

RATE = 16000
UNCOMPRESSED = [
    *[("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "DOUBLE"), ("WAV", "IMA_ADPCM")],
    *[("WAV", "GSM610"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16")],
    *[
        ("W64", "PCM_16"),
        ("W64", "IMA_ADPCM"),
        ("AIFF", "FLOAT"),
        ("NIST", "PCM_16"),
        ("NIST", "ULAW"),
        ("AU", "PCM_16"),
        ("AU", "ULAW"),
    ],
]
COMPRESSED = [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")]


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(7).uniform(-0.3, 0.3, frames)


def encode(container: str, subtype: str, frames: int = 32000, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(frames), rate, subtype, format=container)
    return file.getvalue()


def wav(
    frames: int = 100,
    rate: int = RATE,
    channels: int = 1,
    data_bytes: int | None = None,
    riff_bytes: int | None = None,
) -> bytes:
    """A 16-bit WAV by hand, whose header may say anything."""
    data = np.arange(frames * max(1, channels), dtype="<i2").tobytes()
    form = struct.pack(
        "<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2 % 2**16, 16
    )
    stated = len(data) if data_bytes is None else data_bytes
    riff = 36 + len(data) if riff_bytes is None else riff_bytes
    return b"".join(
        [
            struct.pack("<4sI4s", b"RIFF", riff, b"WAVE"),
            struct.pack("<4sI", b"fmt ", len(form)) + form,
            struct.pack("<4sI", b"data", stated) + data,
        ]
    )


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"The quick brown fox.\n" * 500, "something else"),
        ("The quick brown fox.\n".encode("utf-16") * 500, "something else"),
        (b'{"id": "a"}', "something else"),
        (b"RIFF", "something else"),
        (wav(0), r"none \(0 frames\)"),
        (wav(100, data_bytes=0), r"0 bytes of audio as its header.*found 200 other bytes behind"),
        (wav(100, rate=1_000_000), r"1000 to 384000 Hz, found 1000000 Hz"),
        (wav(100, rate=1), "1 Hz in its header"),
        (wav(100, rate=0), "something else"),
        (wav(100, channels=0), "something else"),
        (wav(100, channels=33), "at most 32 channels, found 33"),
        (wav(100, channels=60000), "something else"),
        (wav(100, data_bytes=2**30 - 2**17), r"536805376 frames.*, found 100 in"),
        (wav(100, data_bytes=218), r"109 frames.*, found 100 in"),
    ],
)
def test_hostile_and_empty_files(
    refused: Callable[[bytes, str], None], data: bytes, pattern: str
) -> None:
    refused(data, pattern)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(refused: Callable[[bytes, str], None], value: float) -> None:
    file = io.BytesIO()
    samples = np.zeros((3000, 2))
    samples[1234, 1] = value
    soundfile.write(file, samples, RATE, "FLOAT", format="WAV")
    refused(file.getvalue(), "NaN or infinity at frame 1234")
    file = io.BytesIO()
    soundfile.write(file, np.full(10, 1e300), RATE, "DOUBLE", format="WAV")
    refused(file.getvalue(), "infinity at frame 0")


def test_samples_of_absurd_size(tmp_path: Path, refused: Callable[[bytes, str], None]) -> None:
    samples = np.zeros(300_000)
    for size, sound in ((2.0**31, True), (1e10, True), (3e25, False), (-1e11, False)):
        file = io.BytesIO()
        samples[290_000] = size
        soundfile.write(file, samples, RATE, "FLOAT", format="WAV")
        if sound:
            (tmp_path / "a.wav").write_bytes(file.getvalue())
            assert read(tmp_path / "a.wav")[0][290_000] == size
        else:
            refused(file.getvalue(), "size 1e.10 at most, .*found -?[13]e.[12][15] at frame 290000")


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(RATE * 2, channels=2))
    assert read(path, limits=Limits(max_duration_seconds=2, max_channels=2))[1] == RATE
    with pytest.raises(AudioError, match=r"at most 1 s of audio, found 2 s \(32000 frames\)"):
        probe(path, limits=Limits(max_duration_seconds=1))
    with pytest.raises(AudioError, match="at most 1 channels, found 2"):
        read(path, limits=Limits(max_channels=1))
    with pytest.raises(AudioError, match="1000 to 8000 Hz"):
        read(path, limits=Limits(max_sample_rate=8000))
    path.write_bytes(bytes(610))
    with pytest.raises(AudioError, match="at most 32 channels"):
        read(path, raw=RawFormat(RATE, channels=61, subtype="PCM_U8"))


def test_other_containers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode("CAF", "PCM_16"))
    with pytest.raises(AudioError, match="found the container CAF"):
        read(path)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    for path, found in [
        (tmp_path / "missing.wav", "no such file"),
        (Path("nul\0.wav"), "null"),
        (tmp_path, "a folder"),
        (pipe, "a pipe"),
        (Path("/dev/zero"), "device"),
    ]:
        for action in (read, probe):
            with pytest.raises(AudioError, match=found):
                action(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav())
    path.chmod(0)
    with pytest.raises(AudioError, match="permission denied"):
        read(path)


def test_text_with_an_audio_suffix_is_never_decoded(tmp_path: Path) -> None:
    """libsndfile alone would take some of these suffixes for headerless formats."""
    for suffix in (".vox", ".gsm", ".snd", ".au", ".mp3", ".sph", ".raw"):
        path = tmp_path / f"notes{suffix}"
        path.write_bytes(b"The quick brown fox jumps over the lazy dog.\n" * 100)
        with pytest.raises(AudioError):
            read(path)


TRUNCATED = [
    ("WAV", "PCM_16", "expected 32000 frames as its header declares, found"),
    ("AIFF", "PCM_16", "expected 32000 frames as its header declares, found"),
    ("FLAC", "PCM_16", r"expected 32000 frames \(2.00 s\), found damage after"),
    ("OGG", "VORBIS", "expected an Ogg stream with an end-of-stream page"),
    ("OGG", "OPUS", "expected an Ogg stream with an end-of-stream page"),
    ("MP3", "MPEG_LAYER_III", "expected 32000 frames as its length tag declares, found"),
]


@pytest.mark.parametrize(("container", "subtype", "message"), TRUNCATED)
def test_what_is_left_of_a_truncated_recording(
    tmp_path: Path, container: str, subtype: str, message: str
) -> None:
    path = tmp_path / "a"
    content = encode(container, subtype)
    path.write_bytes(content)
    whole, _ = read(path)
    path.write_bytes(content[: len(content) * 7 // 10])
    with pytest.raises(DamagedAudioError, match=message):
        read(path)
    damage: list[str] = []
    left, _ = read(path, damage=damage)
    assert 0.4 * len(whole) < len(left) < 0.8 * len(whole)
    assert torch.equal(left, whole[: len(left)]) or container in ("OGG", "MP3")
    assert re.search(f"^{path}: {message}", damage[0])


def test_a_sound_recording_has_no_damage(tmp_path: Path) -> None:
    damage: list[str] = []
    for container, subtype, _ in TRUNCATED:
        path = tmp_path / "a"
        path.write_bytes(encode(container, subtype))
        assert torch.equal(read(path, damage=damage)[0], read(path)[0])
    assert damage == []


def test_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(encode("FLAC", "PCM_16")[:100])
    with pytest.raises(DamagedAudioError, match="damage after 0 decoded frames"):
        read(path, damage=[])


def read_or_refuse(path: Path) -> None:
    """Whatever the bytes: a finite waveform or an AudioError, and in a few megabytes."""
    tracemalloc.start()
    try:
        waveform, rate = read(path, sample_rate=RATE)
        assert rate == RATE
        assert waveform.dtype == torch.float32
        assert bool(torch.isfinite(waveform).all())
    except AudioError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 (either outcome is right)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_files_that_once_crashed_a_parser(shared_data: Path) -> None:
    paths = sorted((shared_data / "odd-audio" / "hound").rglob("*.wav"))
    assert len(paths) >= 20
    for path in paths:
        read_or_refuse(path)
        if "fuzz" not in path.parts:
            assert len(read(path)[0]) == probe(path).frames > 0


@given(
    frames=st.integers(0, 300),
    rate=st.integers(0, 2**32 - 1),
    channels=st.integers(0, 64),
    data_bytes=st.none() | st.integers(0, 2**32 - 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_wav_header(
    tmp_path: Path, frames: int, rate: int, channels: int, data_bytes: int | None
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(frames, rate, channels, data_bytes))
    honest = 1000 <= rate <= 384_000 and 1 <= channels <= 32 and frames > 0 and data_bytes is None
    if honest:
        assert len(read(path)[0]) == frames
    else:
        read_or_refuse(path)


WHOLE = {
    kind: encode(*kind, frames=4000)
    for kind in [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("NIST", "PCM_16"), *COMPRESSED]
}


@given(
    kind=st.sampled_from(sorted(WHOLE)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    head_edits=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_altered_files_read_or_are_refused(
    tmp_path: Path,
    kind: tuple[str, str],
    edits: list[tuple[float, int]],
    head_edits: list[tuple[int, int]],
    keep: float,
) -> None:
    data = bytearray(WHOLE[kind])
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    for index, value in head_edits:
        data[index] = value
    path = tmp_path / "a.wav"
    path.write_bytes(data[: round(keep * len(data))])
    read_or_refuse(path)
