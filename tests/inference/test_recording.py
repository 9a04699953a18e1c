"""What may be given as a recording."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asr.errors import AudioError, ConfigError
from asr.inference.recording import recording_blocks
from asr.signal import audio
from asr.signal.audio import RawFormat

RATE = 8000
WAVEFORM = torch.arange(400) / 512


def waveform_of(*recording: Any, **options: Any) -> torch.Tensor:
    return torch.cat(list(recording_blocks(*recording, **options)))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "a.wav"
    audio.write(path, WAVEFORM, RATE)
    return path


@pytest.mark.parametrize(
    "form",
    [
        str,
        Path,
        Path.read_bytes,
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: path.open("rb"),
        lambda path: path.open("rb", buffering=0),
    ],
)
def test_a_file_is_read_in_any_form(path: Path, form: Callable[[Path], Any]) -> None:
    assert torch.equal(waveform_of(form(path), RATE), WAVEFORM)


def test_a_channel_may_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    soundfile.write(path, torch.stack([WAVEFORM, -WAVEFORM], dim=1).numpy(), RATE)
    for channel, expected in [(1, WAVEFORM), (2, -WAVEFORM), ("mix", 0 * WAVEFORM)]:
        assert torch.equal(waveform_of(path, RATE, channel=channel), expected)
    with pytest.raises(AudioError, match="a channel 3, found one of 2"):
        waveform_of(path, RATE, channel=3)
    with pytest.raises(ConfigError, match="channel: expected the number"):
        waveform_of(path, RATE, channel="all")
    assert torch.equal(waveform_of(WAVEFORM, RATE, RATE, channel=1), WAVEFORM)
    with pytest.raises(AudioError, match="samples: expected a channel of the one there is"):
        waveform_of(WAVEFORM, RATE, RATE, channel=2)


def test_headerless_bytes_need_their_format() -> None:
    content = (WAVEFORM * 32768).to(torch.int16).numpy().tobytes()
    assert torch.equal(waveform_of(content, RATE, raw=RawFormat(RATE)), WAVEFORM)
    with pytest.raises(AudioError, match="bytes: expected WAV"):
        waveform_of(content, RATE)
    with pytest.raises(AudioError, match="a headerless one needs raw"):
        waveform_of(content, RATE, RATE)


@pytest.mark.parametrize("rate", [RATE, float(RATE), np.int64(RATE), np.float32(RATE)])
def test_a_rate_is_any_whole_number(rate: Any) -> None:
    assert torch.equal(waveform_of(WAVEFORM.numpy(), RATE, rate), WAVEFORM)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (16, "found 16; if kHz are meant, give 16000"),
        (44.1, r"found 44\.1; if kHz"),
        (None, "found None"),
        (0, "found 0"),
        (-RATE, "found -8000"),
        (999, "from 1000 to 384000, found 999"),
        (16_000_000, "found 16000000"),
        (8000.5, r"found 8000\.5"),
        (float("nan"), "found nan"),
        (float("inf"), "found inf"),
        ("8000", "found 8000"),
        (True, "found True"),
        ([RATE], r"found \[8000\]"),
    ],
)
def test_other_rates_are_refused(rate: Any, message: str) -> None:
    with pytest.raises(AudioError, match=rf"a sample_rate in whole Hz, .*{message}"):
        waveform_of(WAVEFORM, RATE, rate)


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        ([0.0] * 400, "found list; make samples an array"),
        (None, "found NoneType"),
        (16, "found int"),
        (object, "found type"),
        (io.StringIO("RIFF"), "StringIO: expected a file of bytes, found one of str"),
        (closed(), "BytesIO: cannot read it .*closed"),
        (io.BytesIO(), "BytesIO: .*an empty file"),
        (b"", "bytes: .*an empty file"),
        (b"not audio" * 10, "bytes: expected WAV"),
    ],
)
def test_what_is_no_recording_is_refused(recording: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        waveform_of(recording, RATE)


def test_a_file_open_as_text_is_refused(path: Path) -> None:
    file: Any
    with (
        path.open(encoding="utf-8") as file,
        pytest.raises(AudioError, match=r"a\.wav: cannot read it .* mode 'rb'"),
    ):
        waveform_of(file, RATE)
