"""Audio files that are broken, lie or are no audio: one clear error, little memory, no guess."""

import io
import os
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

from asr.errors import AudioError
from asr.signal.audio import Limits, RawFormat, probe, read
from asr.signal.containers import mpeg

RATE = 16000
UNCOMPRESSED = [
    *[("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "DOUBLE"), ("WAV", "IMA_ADPCM")],
    *[("WAV", "GSM610"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("AIFF", "PCM_16")],
    *[("AIFF", "FLOAT"), ("NIST", "PCM_16"), ("NIST", "ULAW"), ("AU", "PCM_16"), ("AU", "ULAW")],
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


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes, str], None]:
    """Check that a file of these bytes is refused by name, by `read`, in a few megabytes."""

    def check(data: bytes, pattern: str) -> None:
        path = tmp_path / "speech.wav"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(AudioError, match=pattern) as caught:
                read(path)
            assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        finally:
            tracemalloc.stop()
        message = str(caught.value)
        assert message.startswith(f"{path}: expected ")
        assert ", found " in message
        assert "; " in message

    return check


@pytest.mark.parametrize("fraction", [0.5, 0.97])
@pytest.mark.parametrize(("container", "subtype"), UNCOMPRESSED)
def test_truncated_uncompressed_files(
    refused: Callable[[bytes, str], None], container: str, subtype: str, fraction: float
) -> None:
    whole = encode(container, subtype)
    unit = r"\d+ compressed blocks" if subtype in ("IMA_ADPCM", "GSM610") else "32000 frames"
    unit = r"\d+ bytes" if (container, subtype) == ("AIFF", "FLOAT") else unit
    refused(whole[: int(len(whole) * fraction)], rf"expected {unit}.*, found \d+ in the file's")


def test_the_counts_of_a_truncated_file(refused: Callable[[bytes, str], None]) -> None:
    refused(wav(1000)[:-501], r"expected 1000 frames.*, found 749 in the file's 1543 bytes")


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.97])
@pytest.mark.parametrize(("container", "subtype"), COMPRESSED)
def test_truncated_compressed_files(
    refused: Callable[[bytes, str], None], container: str, subtype: str, fraction: float
) -> None:
    whole = encode(container, subtype)
    refused(whole[: int(len(whole) * fraction)], "truncated")


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"The quick brown fox.\n" * 500, "something else"),
        ("The quick brown fox.\n".encode("utf-16") * 500, "something else"),
        (b'{"id": "a"}', "something else"),
        (b"RIFF", "something else"),
        (wav(0), r"none \(0 frames\)"),
        (wav(100, data_bytes=0), r"none \(0 frames\)"),
        (wav(100, rate=1_000_000), r"1000 to 384000 Hz, found 1000000 Hz"),
        (wav(100, rate=1), "1 Hz in its header"),
        (wav(100, rate=0), "something else"),
        (wav(100, channels=0), "something else"),
        (wav(100, channels=33), "at most 32 channels, found 33"),
        (wav(100, channels=60000), "something else"),
        (wav(100, data_bytes=0x7FFFFFF0), r"1073741816 frames.*, found 100 in"),
        (wav(100, data_bytes=202), r"101 frames.*, found 100 in"),
    ],
)
def test_hostile_and_empty_files(
    refused: Callable[[bytes, str], None], data: bytes, pattern: str
) -> None:
    refused(data, pattern)


@pytest.mark.parametrize("riff_bytes", [0, 1, 36, 2**31, 2**32 - 1])
def test_the_length_of_the_riff_chunk_does_not_matter(tmp_path: Path, riff_bytes: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100, riff_bytes=riff_bytes))
    assert (read(path)[0] * 32768).tolist() == list(range(100))


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFF000])
def test_a_streamed_wav_is_read_and_the_doubt_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stated: int
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100, data_bytes=stated))
    assert len(read(path)[0]) == 100
    assert "does not state a length" in caplog.text


def test_headers_without_a_count(tmp_path: Path) -> None:
    au = bytearray(encode("AU", "PCM_16", 1000))
    au[8:12] = b"\xff" * 4
    sphere = encode("NIST", "PCM_16", 1000)
    uncounted = sphere.replace(b"sample_count -i 1000\n", b"end_head\n;;;;;;;;;;;\n")
    for data in (bytes(au), uncounted):
        (tmp_path / "a.wav").write_bytes(data)
        np.testing.assert_allclose(read(tmp_path / "a.wav")[0].numpy(), noise(1000), atol=2**-15)


def test_other_chunks_and_trailing_bytes_are_passed_over(tmp_path: Path) -> None:
    whole = wav(100)
    odd = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
    (tmp_path / "a.wav").write_bytes(whole[:36] + odd + whole[36:] + odd)
    assert (read(tmp_path / "a.wav")[0] * 32768).tolist() == list(range(100))


def test_a_big_endian_wav(tmp_path: Path) -> None:
    form = struct.pack(">HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)
    head = b"RIFX" + struct.pack(">I4s4sI", 44, b"WAVE", b"fmt ", 16) + form
    (tmp_path / "a.wav").write_bytes(head + struct.pack(">4sI4h", b"data", 8, 1, 2, 3, 4))
    assert (read(tmp_path / "a.wav")[0] * 32768).tolist() == [1, 2, 3, 4]
    (tmp_path / "a.wav").write_bytes(head + struct.pack(">4sI4h", b"data", 80, 1, 2, 3, 4))
    with pytest.raises(AudioError, match="expected 40 frames"):
        read(tmp_path / "a.wav")


def test_counts_in_sphere_and_aiff_headers(refused: Callable[[bytes, str], None]) -> None:
    sphere = encode("NIST", "PCM_16")
    refused(sphere.replace(b"sample_count -i 32000", b"sample_count -i 99999"), "99999 frames")
    shorten = sphere.replace(b"s3 pcm\n", b"s26 pcm,embedded-shorten-v2.00\n", 1)
    refused(shorten, "something else")
    aiff = bytearray(encode("AIFF", "PCM_16"))
    frames_at = aiff.index(b"COMM") + 10
    aiff[frames_at : frames_at + 4] = struct.pack(">I", 2**31)
    refused(bytes(aiff), "2147483648 frames")


def flac_with_count(count: int) -> bytes:
    """A FLAC of 32000 frames whose STREAMINFO (36 bits from byte 21.5 on) states another count."""
    flac = bytearray(encode("FLAC", "PCM_16"))
    flac[21] = flac[21] & 0xF0 | count >> 32
    flac[22:26] = struct.pack(">I", count & 0xFFFFFFFF)
    return bytes(flac)


def test_a_flac_that_declares_too_much(refused: Callable[[bytes, str], None]) -> None:
    refused(flac_with_count(2**36 - 1), "header that declares 68719476735")
    refused(flac_with_count(32001), "expected 32001 frames, found damage after 32000")
    refused(flac_with_count(10**8), "at most 14400 s of audio|expected 100000000 frames")


def test_a_streamed_flac_is_counted_by_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac_with_count(0))
    assert probe(path).frames == 32000
    assert probe(path).duration_seconds == 2.0
    np.testing.assert_allclose(read(path)[0].numpy(), noise(32000), atol=1 / 32768)
    with pytest.raises(AudioError, match="at most 1 s of audio, found more than 16000 frames"):
        probe(path, limits=Limits(max_duration_seconds=1))


def mp3_frames(data: bytes, count: int) -> int:
    """Where the frame after the first `count` starts."""
    position = 0
    for _ in range(count):
        position = data.index(data[:2], position + 4)
    return position


def test_an_mp3_without_its_tag_or_joined_from_two(
    tmp_path: Path, refused: Callable[[bytes, str], None]
) -> None:
    file = io.BytesIO()
    loudness = np.repeat([0.001, 1.0], 80000)
    soundfile.write(file, noise(160000) * loudness, RATE, "MPEG_LAYER_III", format="MP3")
    mp3 = file.getvalue()
    refused(mp3 + mp3, "joined from several")
    refused(mp3[mp3_frames(mp3, 1) :], "joined from several or lost its tag")

    steady = io.BytesIO()
    constant = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
    soundfile.write(steady, noise(32000), RATE, "MPEG_LAYER_III", format="MP3", **constant)
    path = tmp_path / "a.mp3"
    tagged = steady.getvalue()
    untagged = tagged[mp3_frames(tagged, 1) :]
    id3 = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)
    for data in (untagged, id3 + untagged, untagged + b"TAG" + bytes(125)):
        path.write_bytes(data)
        assert len(read(path)[0]) == probe(path).frames >= 32000


@pytest.mark.parametrize(
    ("header", "frame_bytes", "samples"),
    [
        (0xFFFB9000, 417, 1152),  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz
        (0xFFFB9200, 418, 1152),  # the same with a byte of padding
        (0xFFFDA400, 576, 1152),  # MPEG-1 layer II, 192 kbit/s, 48 kHz
        (0xFFFF1800, 48, 384),  # MPEG-1 layer I, 32 kbit/s, 32 kHz
        (0xFFF31800, 36, 576),  # MPEG-2 layer III, 8 kbit/s, 16 kHz
        (0xFFE31800, 72, 576),  # MPEG-2.5 layer III, 8 kbit/s, 8 kHz
    ],
)
def test_mpeg_frames_are_counted(header: int, frame_bytes: int, samples: int) -> None:
    frame = header.to_bytes(4, "big") + bytes(frame_bytes - 4)
    assert mpeg.walk(io.BytesIO(frame * 5)) == mpeg.Walk(5 * samples, samples, False)
    cut = frame * 5 + frame[:-1]
    assert mpeg.walk(io.BytesIO(cut)) == mpeg.Walk(5 * samples, samples, False)
    for gap in (b"\xff", b"TAG" + bytes(125), b"\xff\xfb\x90" * 99, bytes(70000)):
        broken = bytes(99) + frame * 5 + gap + frame * 3
        assert mpeg.walk(io.BytesIO(broken)) == mpeg.Walk(8 * samples, samples, False)


@pytest.mark.parametrize("data", [b"", bytes(100), b"\xff\xfb\x00\x00" * 500, b"\xff" * 70000])
def test_no_mpeg_frames(data: bytes) -> None:
    assert mpeg.walk(io.BytesIO(data)) is None


def test_an_ogg_joined_from_two(refused: Callable[[bytes, str], None]) -> None:
    first, second = encode("OGG", "OPUS"), bytearray(encode("OGG", "OPUS", 1000))
    if first[14:18] == second[14:18]:  # serial numbers are drawn by chance
        pytest.skip("both streams drew the same serial number")
    refused(first + bytes(second), "several, of which only the first")


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
    path.write_bytes(encode("W64", "PCM_16"))
    with pytest.raises(AudioError, match="found the container W64"):
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
