"""silero-vad knows a voice from what merely stands out, and is refused by name when missing."""

import sys
from pathlib import Path

import pytest
import torch

from asr.errors import ConfigError
from asr.signal import audio
from asr.signal.noise import coloured_noise
from asr.signal.rng import seeded_generator
from asr.signal.silero import VoiceCheck
from tests.support import REPOSITORY

SAMPLES = sorted((REPOSITORY / "recipes" / "synthetic" / "samples").glob("*.flac"))


@pytest.fixture(scope="module")
def check() -> VoiceCheck:
    pytest.importorskip("silero_vad")
    return VoiceCheck()


@pytest.mark.parametrize("path", SAMPLES[:4], ids=lambda path: path.stem)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_voices_are_heard(check: VoiceCheck, path: Path, rate: int) -> None:
    assert check.has_voice(audio.read(path, rate)[0], rate)


def test_tones_and_noise_are_no_voices(check: VoiceCheck) -> None:
    seconds = torch.arange(2 * 16_000) / 16_000
    for hz in (300, 1000, 2600):
        assert not check.has_voice(0.1 * torch.sin(2 * torch.pi * hz * seconds), 16_000)
    assert not check.has_voice(0.05 * coloured_noise(32_000, seeded_generator(0)), 16_000)
    assert not check.has_voice(torch.zeros(0), 16_000)


def test_what_came_before_does_not_matter(check: VoiceCheck) -> None:
    voice = audio.read(SAMPLES[0], 16_000)[0]
    for _ in range(2):
        assert check.has_voice(voice, 16_000)
        assert not check.has_voice(0.01 * coloured_noise(16_000, seeded_generator(0)), 16_000)


def test_the_threads_of_torch_stay_as_they_are() -> None:
    pytest.importorskip("silero_vad")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        VoiceCheck()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(ConfigError, match=r"silero-vad.*pip install 'ctc-asr\[vad\]'"):
        VoiceCheck()
