"""What is recorded arrives, and a microphone that is not there or goes is an error."""

import sys
import types
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch

from asr.cli import microphone
from asr.errors import AudioError

RATE = 16_000


class MiniaudioError(Exception):
    """As miniaudio's."""


class Device:
    """Records two blocks, as a thread of its own would, and then nothing."""

    backend = "ALSA"
    error: MiniaudioError | None = None

    def __init__(self, **options: Any) -> None:
        assert options["nchannels"] == 1
        assert options["sample_rate"] == RATE
        if self.error:
            raise self.error

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, sink: Generator[None, bytes, None]) -> None:
        for block in (np.arange(4), np.arange(4, 6)):
            sink.send(block.astype(np.float32).tobytes())


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Device]:
    class Own(Device):
        pass

    module: Any = types.ModuleType("miniaudio")
    module.CaptureDevice, module.MiniaudioError = Own, MiniaudioError
    module.SampleFormat = types.SimpleNamespace(FLOAT32=5)
    monkeypatch.setitem(sys.modules, "miniaudio", module)
    monkeypatch.setattr(microphone, "_SILENT_SECONDS", 0.01)
    return Own


def test_all_samples_arrive_and_a_device_that_goes_is_an_error(device: type[Device]) -> None:
    blocks = microphone.listen_to_microphone(RATE)
    assert torch.equal(next(blocks), torch.arange(6.0))
    with pytest.raises(AudioError, match="has given nothing for"):
        next(blocks)


def test_no_device(device: type[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "backend", "Null")
    with pytest.raises(AudioError, match="found none; connect one"):
        next(microphone.listen_to_microphone(RATE))
    monkeypatch.setattr(device, "error", MiniaudioError("failed to init device", -401))
    with pytest.raises(AudioError, match="found failed to init device; connect one"):
        next(microphone.listen_to_microphone(RATE))


def test_the_microphone_s_names_are_those_of_miniaudio() -> None:
    real = pytest.importorskip("miniaudio")
    assert real.SampleFormat.FLOAT32
    assert issubclass(real.MiniaudioError, Exception)
    assert {"input_format", "nchannels", "sample_rate", "buffersize_msec"} <= set(
        real.CaptureDevice.__init__.__code__.co_varnames
    )
