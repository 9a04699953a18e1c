"""The waveform of an utterance: a file, a part of one, a member of a shard."""

from pathlib import Path

import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.errors import AudioError
from asr.signal import audio

RATE = 8000
SAMPLES = 40_000


def noise(samples: int = SAMPLES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return (torch.rand(samples, generator=generator) - 0.5).mul(32768).round() / 32768


KINDS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "MS_ADPCM"),
    "ulaw.au": ("AU", "ULAW"),
    "aiff": ("AIFF", "PCM_24"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One recording in several forms."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, (form, subtype) in KINDS.items():
        soundfile.write(folder / f"a.{name}", noise().numpy(), RATE, subtype, format=form)
    return {name: folder / f"a.{name}" for name in KINDS}


def part(path: Path, offset: float | None, duration: float) -> Utterance:
    return Utterance("u", path, duration, "A", offset=offset)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, 1, 9_999, 32_769, 39_000])
def test_a_part_is_what_lies_there_in_the_whole(
    recordings: dict[str, Path], kind: str, first: int
) -> None:
    whole, rate = audio.read(recordings[kind])
    assert rate == RATE or kind == "opus"
    length = min(2000, len(whole) - first)

    piece, _ = read_utterance(part(recordings[kind], first / rate, length / rate))

    torch.testing.assert_close(piece, whole[first : first + length], rtol=0, atol=0)


def test_parts_of_a_stream_of_unstated_length(recordings: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(recordings["flac"].read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # the count of samples in STREAMINFO
    path = tmp_path / "stream.flac"
    path.write_bytes(content)

    piece, _ = read_utterance(part(path, 4.0, 0.5))

    assert torch.equal(piece, noise()[32_000:36_000])
    with pytest.raises(AudioError, match="damage after 40000 decoded frames"):
        read_utterance(part(path, 4.0, 1.5))


@given(st.integers(0, SAMPLES - 1), st.integers(1, SAMPLES))
def test_parts_have_the_samples_that_seconds_in_a_manifest_mean(first: int, length: int) -> None:
    length = min(length, SAMPLES - first)
    path = Path("memory.wav")
    content = audio.encode(path, noise(), RATE)
    seconds = round(first / RATE, 6), round(length / RATE, 6)

    piece, _ = audio.read(path, segment=seconds, content=content)

    assert torch.equal(piece, noise()[first : first + length])


def test_without_an_offset_the_whole_file_is_read_whatever_its_duration(
    recordings: dict[str, Path],
) -> None:
    assert len(read_utterance(part(recordings["wav"], None, 1.0))[0]) == SAMPLES
    assert len(read_utterance(part(recordings["wav"], 0.0, 1.0))[0]) == RATE


def test_a_part_is_resampled_as_a_file_of_its_own_would_be(
    recordings: dict[str, Path], tmp_path: Path
) -> None:
    audio.write(tmp_path / "cut.wav", noise()[4000:12_000], RATE)

    piece, rate = read_utterance(part(recordings["flac"], 0.5, 1.0), 16_000)

    assert rate == 16_000
    assert torch.equal(piece, audio.read(tmp_path / "cut.wav", 16_000)[0])


@pytest.mark.parametrize(("offset", "duration"), [(4.5, 0.6), (5.0, 0.1), (0.0, 5.001), (1e9, 1)])
@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_parts_beyond_the_end_are_refused(
    recordings: dict[str, Path], kind: str, offset: float, duration: float
) -> None:
    with pytest.raises(AudioError, match=r"expected a segment from .* s, found a recording of 5"):
        read_utterance(part(recordings[kind], offset, duration))


def test_one_sample_of_rounding_is_borne(recordings: dict[str, Path]) -> None:
    assert len(read_utterance(part(recordings["wav"], 4.0001, 0.99999))[0]) == 7999
    piece, _ = read_utterance(part(recordings["wav"], 4.0, 1.0001))
    assert torch.equal(piece, noise()[32_000:])


def test_damage_before_a_part_of_a_stream_is_met(
    recordings: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(recordings["flac"].read_bytes())
    content[-4000:] = bytes(4000)
    (tmp_path / "torn.flac").write_bytes(content)

    with pytest.raises(AudioError, match=r"torn\.flac: expected .* found damage after"):
        read_utterance(part(tmp_path / "torn.flac", 4.5, 0.5))
    assert len(read_utterance(part(tmp_path / "torn.flac", 1.0, 0.5))[0]) == 4000


def test_a_part_with_a_sample_that_is_no_number_is_refused(tmp_path: Path) -> None:
    samples = noise().numpy().copy()
    samples[20_000] = float("nan")
    soundfile.write(tmp_path / "nan.wav", samples, RATE, "FLOAT")

    with pytest.raises(AudioError, match="NaN or infinity at frame 20000"):
        read_utterance(part(tmp_path / "nan.wav", 2.0, 1.0))
    assert len(read_utterance(part(tmp_path / "nan.wav", 3.0, 1.0))[0]) == RATE


def test_empty_content_is_no_recording() -> None:
    with pytest.raises(AudioError, match=r"x\.wav: expected .*found an empty file"):
        audio.read("x.wav", content=b"")


def test_content_is_checked_as_a_file_is(recordings: dict[str, Path]) -> None:
    for kind, path in recordings.items():
        content = path.read_bytes()
        assert torch.equal(audio.read("x", content=content)[0], audio.read(path)[0]), kind
    truncated = recordings["wav"].read_bytes()[:-100]
    with pytest.raises(AudioError, match=r"x\.wav: expected 40000 frames as its header declares"):
        audio.read("x.wav", content=truncated)
