"""Files whose declared length does not agree with their content are refused, others read."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.errors import AudioError
from asr.signal.audio import Limits, probe, read
from tests.signal.test_audio_file import COMPRESSED, RATE, UNCOMPRESSED, encode, noise, wav


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


@pytest.mark.parametrize("riff_bytes", [0, 1, 36, 2**31, 2**32 - 1])
def test_the_length_of_the_riff_chunk_does_not_matter(tmp_path: Path, riff_bytes: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100, riff_bytes=riff_bytes))
    assert (read(path)[0] * 32768).tolist() == list(range(100))


# What ffmpeg, sox, arecord (2³⁰ samples, 2³¹ bytes less a header) and others leave in pipes.
@pytest.mark.parametrize(
    "stated",
    [0xFFFFFFFF, 0xFFFFFFD0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFFFDB, 0x40000000],
)
def test_a_streamed_wav_is_read_and_the_doubt_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stated: int
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100, data_bytes=stated))
    assert len(read(path)[0]) == 100
    assert "does not state a length" in caplog.text


@pytest.mark.parametrize("missing", [1, 2, 16])
def test_a_few_missing_bytes_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: int
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100)[:-missing])
    frames = 100 - (missing + 1) // 2
    assert (read(path)[0] * 32768).tolist() == list(range(frames))
    assert f"the last {missing} bytes that the header declares are missing" in caplog.text


LENGTHS = {
    "WAV": (b"data", 4, "<I", 2),
    "WAVEX": (b"data", 4, "<I", 2),
    "RF64": (b"ds64", 16, "<Q", 2),
    "AU": (b".snd", 8, ">I", 2),
    "AIFF": (b"COMM", 10, ">I", 1),
}
"""Where a container states its length: a mark, the place from it on, the form, bytes a unit."""


@pytest.mark.parametrize("container", [*LENGTHS, "NIST"])
@pytest.mark.parametrize("frames", [0, 1, 8000, 31990])
def test_a_header_that_states_less_than_there_is(
    refused: Callable[[bytes, str], None], container: str, frames: int
) -> None:
    content = bytearray(encode(container, "PCM_16"))
    if container == "NIST":
        content = content.replace(b"count -i 32000", f"count -i {frames:05}".encode())
    else:
        mark, behind, form, unit = LENGTHS[container]
        place = content.index(mark) + behind
        struct.pack_into(form, content, place, frames * unit)
    if container == "AIFF":  # which states it twice
        struct.pack_into(">I", content, content.index(b"SSND") + 4, frames * 2 + 8)
    refused(bytes(content), "other bytes behind them|by another part")


@pytest.mark.parametrize("container", ["WAV", "AU", "NIST"])
def test_two_recordings_in_one_file(refused: Callable[[bytes, str], None], container: str) -> None:
    one = encode(container, "PCM_16", 3000)
    refused(one + one, "files were joined|No .RIFF. chunk marker")


TAILS = {
    "a chunk": struct.pack("<4sI", b"LIST", 3) + b"abc\0",
    "chunks": struct.pack("<4sI4s", b"id3 ", 4, b"ID3\4") + struct.pack("<4sI", b"JUNK", 0),
    "an ID3 tag": b"TAG" + bytes(125),
    "an APE tag": b"APETAGEX" + bytes(range(200)),
    "zeros": bytes(70_000),
    "a byte": b"x",
}


@pytest.mark.parametrize("tail", TAILS)
def test_what_may_follow_the_audio(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(100) + TAILS[tail])
    assert (read(path)[0] * 32768).tolist() == list(range(100))


def test_a_chunk_after_an_odd_number_of_bytes_may_be_padded_or_not(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    odd = encode("WAV", "PCM_U8", 101)
    assert len(odd) % 2 == 0  # padded
    for whole in (odd, odd[:-1]):
        path.write_bytes(whole + TAILS["a chunk"])
        assert len(read(path)[0]) == 101


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
    aiff[frames_at : frames_at + 4] = struct.pack(">I", 2**24)
    refused(bytes(aiff), "16777216 frames")


def flac_with_count(count: int) -> bytes:
    """A FLAC of 32000 frames whose STREAMINFO (36 bits from byte 21.5 on) states another count."""
    flac = bytearray(encode("FLAC", "PCM_16"))
    flac[21] = flac[21] & 0xF0 | count >> 32
    flac[22:26] = struct.pack(">I", count & 0xFFFFFFFF)
    return bytes(flac)


def test_a_flac_that_declares_too_much(refused: Callable[[bytes, str], None]) -> None:
    refused(flac_with_count(2**36 - 1), "header that declares 68719476735")
    refused(flac_with_count(32001), r"expected 32001 frames \(2.00 s\), found damage after 32000")
    refused(flac_with_count(10**8), "at most 14400 s of audio|expected 100000000 frames")


@pytest.mark.parametrize("count", [1, 8000, 31999])
def test_a_flac_that_declares_too_little(refused: Callable[[bytes, str], None], count: int) -> None:
    refused(flac_with_count(count), f"whose MD5 checksum.*, found {count} frames with another")


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_lost_from_a_flac(
    tmp_path: Path, refused: Callable[[bytes, str], None], subtype: str, channels: int
) -> None:
    file = io.BytesIO()
    samples = np.random.default_rng(1).uniform(-1, 1, (40000, channels))
    soundfile.write(file, samples, RATE, subtype, format="FLAC")
    whole, path = file.getvalue(), tmp_path / "a.flac"
    path.write_bytes(whole)
    found = read(path)[0].numpy()
    np.testing.assert_allclose(found, samples.mean(axis=1), atol=2**-7)

    # Frames begin with a mark of 15 bits, of which few other places have the first 4 bytes.
    mark = whole[whole.index(b"\xff\xf8") :][:4]
    frames = [at for at in range(len(whole)) if whole.startswith(mark, at)]
    middle = len(frames) // 2
    refused(whole[: frames[middle]] + whole[frames[middle + 1] :], "MD5|damage after")


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
    path = tmp_path / "a.mp3"
    # Of a variable bit rate that begins low: by that of its first frame it would be much longer.
    first = mp3_frames(mp3, 1)
    uncounted = mp3[:first].replace(b"Xing", b"Xing\0\0\0\0", 1)[:first]
    for data in (mp3[first:], uncounted + mp3[first:]):
        path.write_bytes(data)
        assert 160000 <= len(read(path)[0]) == probe(path).frames <= 160000 + 4 * 576

    steady = io.BytesIO()
    constant = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
    soundfile.write(steady, noise(32000), RATE, "MPEG_LAYER_III", format="MP3", **constant)
    tagged = steady.getvalue()
    untagged = tagged[mp3_frames(tagged, 1) :]
    id3 = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)
    for data in (untagged, id3 + untagged, untagged + b"TAG" + bytes(125)):
        path.write_bytes(data)
        assert len(read(path)[0]) == probe(path).frames >= 32000


def test_an_ogg_joined_from_two(refused: Callable[[bytes, str], None]) -> None:
    first, second = encode("OGG", "OPUS"), bytearray(encode("OGG", "OPUS", 1000))
    if first[14:18] == second[14:18]:  # serial numbers are drawn by chance
        pytest.skip("both streams drew the same serial number")
    refused(first + bytes(second), "several, of which only the first")


def test_a_sphere_header_without_its_own_size(refused: Callable[[bytes, str], None]) -> None:
    refused(encode("NIST", "PCM_16").replace(b"   1024", b"   1O24"), "NIST SPHERE header")
