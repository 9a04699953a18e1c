"""Segments of recordings that can only be decoded from their beginning."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.errors import DamagedAudioError
from asr.signal import audio, kept
from asr.signal.audio_file import open_audio
from asr.signal.kept import KeptRecordings

RATE = 16_000
FORMATS = {"mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "opus": "OPUS"}

Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    def write(name: str, seconds: float = 2.0, channels: int = 1) -> Path:
        random = np.random.default_rng(0)
        path = tmp_path / name
        kind = "MP3" if path.suffix == ".mp3" else "OGG" if path.suffix != ".flac" else "FLAC"
        samples = 0.1 * random.standard_normal((round(seconds * RATE), channels))
        soundfile.write(path, samples, RATE, FORMATS.get(path.suffix[1:]), format=kind)
        return path

    return write


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened to be kept."""
    paths: list[Path] = []

    def noted(path: Path, *arguments: object) -> object:
        paths.append(path)
        return open_audio(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(kept, "open_audio", noted)
    return paths


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [None, 8000])
def test_segments_are_those_of_sequential_decoding(
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
    opened: list[Path],
    suffix: str,
    rate: int | None,
) -> None:
    monkeypatch.setattr("asr.corpus.recordings.KEPT", KeptRecordings(least_seconds=1.0))
    path = record(f"x.{suffix}", channels=2)
    for offset, seconds in ((1.2345, 0.3), (0.0, 0.1), (1.5, 0.5), (0.4, 1.0)):
        for channel in (None, 2):
            utterance = Utterance("x", path, seconds, "A", None, offset, channel=channel)
            part, found = read_utterance(utterance, rate)
            segment = offset, seconds
            expected, expected_rate = audio.read(
                path, rate, segment=segment, channel=channel or "mix"
            )
            assert found == expected_rate
            assert torch.equal(part, expected)
    assert len(opened) == 2  # for each channel


def test_what_can_be_sought_in_is_not_kept(record: Record, opened: list[Path]) -> None:
    recordings, path = KeptRecordings(), record("x.flac")
    assert recordings.open(path) is None
    assert recordings.open(path) is None
    assert opened == [path]
    assert recordings.open(path.with_name("missing.mp3")) is None


def test_short_recordings_are_not_kept(record: Record, opened: list[Path]) -> None:
    path = record("x.ogg", seconds=3.0)
    utterance = Utterance("x", path, 0.5, "A", None, 1.0)
    read_utterance(utterance)
    read_utterance(utterance)
    assert opened == [path]
    assert KeptRecordings().open(path) is None


def test_a_changed_file_is_decoded_again(record: Record) -> None:
    recordings = KeptRecordings(least_seconds=0.5)
    for seconds in (1.0, 2.0):
        source = recordings.open(record("x.ogg", seconds))
        assert source is not None
        assert source.info.duration_seconds == pytest.approx(seconds, abs=0.01)


def test_those_used_last_are_kept(
    record: Record, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = (record(f"{name}.ogg") for name in "abc")
    recordings = KeptRecordings(5 * RATE, 1.0)
    with caplog.at_level(logging.WARNING):
        for path in (first, second, first, third, first):
            assert recordings.open(path) is not None
        assert opened == [first, second, third]
        assert not caplog.records
        for path in (second, first, third):
            assert recordings.open(path) is not None
    assert opened == [first, second, third, second, third]
    assert "b.ogg and others are decoded again and again" in caplog.messages[0]


def test_what_does_not_fit_is_read_from_its_file(
    record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    recordings, path = KeptRecordings(RATE, 1.0), record("x.mp3")
    with caplog.at_level(logging.WARNING):
        assert recordings.open(path) is None
        assert recordings.open(path) is None
    assert len(caplog.messages) == 1
    assert "x.mp3: decoded from its beginning for each of its segments" in caplog.messages[0]
    assert "convert it, e.g. by `ffmpeg" in caplog.messages[0]


def test_a_damaged_recording_is_refused_as_ever(record: Record) -> None:
    path = record("x.ogg", seconds=8.0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    assert KeptRecordings(least_seconds=1.0).open(path) is None
    utterance = Utterance("x", path, 0.5, "A", None, 0.5)
    with pytest.raises(DamagedAudioError, match=r"x\.ogg: expected Ogg pages without damage"):
        read_utterance(utterance)
    damage: list[str] = []
    assert len(read_utterance(utterance, damage=damage)[0]) == RATE // 2
    assert damage
