"""One channel, or their mean; channels that cancel are warned of."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.errors import AudioError, ConfigError
from asr.signal import audio_file
from asr.signal.audio import read
from asr.signal.channels import ChannelSelector, check_channel

RNG = np.random.default_rng(0)
LEFT = RNG.uniform(-0.5, 0.5, 400_000)  # of several blocks
OTHERS = RNG.uniform(-0.5, 0.5, (7, 400_000))


def test_selection() -> None:
    block = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = Path("a.wav")
    assert ChannelSelector(path, 2, 2)(block).tolist() == [1, 3, 5]
    assert ChannelSelector(path, 2, "mix")(block).tolist() == [0.5, 2.5, 4.5]
    assert not np.shares_memory(ChannelSelector(path, 1, "mix")(block[:, :1]), block)
    assert [ChannelSelector(path, n, "mix").mixes for n in (1, 2)] == [False, True]


@pytest.mark.parametrize("choice", [0, 3, -1])
def test_a_channel_that_is_not_there(choice: int) -> None:
    with pytest.raises(AudioError, match=rf"a.wav: expected .* channel {choice}, found one of 2"):
        ChannelSelector(Path("a.wav"), 2, choice)


@pytest.mark.parametrize("choice", ["left", "all", "1", 1.0, True, None])
def test_what_is_no_channel(choice: object) -> None:
    with pytest.raises(ConfigError, match="channel: expected the number of one"):
        check_channel(choice)


@pytest.mark.parametrize(
    ("others", "cancel"),
    [
        ([-LEFT], True),
        ([-0.9 * LEFT], True),
        ([-0.6 * LEFT], True),  # 12 dB less
        ([-0.4 * LEFT], False),  # 8 dB less
        ([0 * LEFT], False),
        ([LEFT], False),
        ([OTHERS[0]], False),
        (list(OTHERS), False),  # 9 dB less, as they have nothing in common
        ([0 * LEFT] * 7, False),  # one of eight microphones: 9 dB less
        ([LEFT, -LEFT, -LEFT], True),
    ],
)
def test_channels_that_cancel_are_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, others: list[np.ndarray], cancel: bool
) -> None:
    path = tmp_path / "several.wav"
    soundfile.write(path, np.stack([LEFT, *others], axis=1), 16000, "FLOAT")
    for _ in range(2):
        read(path)
    assert caplog.text.count(f"{path}: the channels cancel out") == cancel
    caplog.clear()
    read(path, channel=1)
    soundfile.write(path, np.zeros((100, 2)), 16000)
    read(path)
    assert "cancel out" not in caplog.text


def test_only_mixing_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([LEFT, LEFT], axis=1), 16000)
    audio_file.log_once.cache_clear()
    with caplog.at_level(logging.INFO, "asr.audio"):
        read(path, channel=2)
        assert not caplog.messages
        read(path)
    assert caplog.messages == ["audio of 2 channels is averaged to one"]


def test_a_bad_sample_of_any_channel_is_named(tmp_path: Path) -> None:
    samples = np.zeros((3000, 2))
    samples[1234, 1] = np.nan
    path = tmp_path / "two.wav"
    soundfile.write(path, samples, 16000, "FLOAT")
    assert len(read(path, channel=1)[0]) == 3000
    with pytest.raises(AudioError, match="NaN or infinity at frame 1234"):
        read(path, channel=2)
