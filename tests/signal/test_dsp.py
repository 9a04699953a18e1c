"""Resampling, filters and noise, and the stand-in for torchaudio's compiled extension."""

import importlib.abc
import importlib.machinery
import json
import math
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from asr.signal import dsp
from tests.conftest import REPOSITORY

Samples = NDArray[np.float64]


def sine(hertz: float, sample_rate: int, seconds: float = 0.5) -> Tensor:
    """A sine of amplitude 0.5."""
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time)).float()


def windowed_sinc(waveform: Samples, from_rate: int, to_rate: int) -> Samples:
    """Band-limited interpolation by its definition, one output sample a row."""
    cutoff = 0.99 * min(from_rate, to_rate)
    length = math.ceil(len(waveform) * to_rate / from_rate)
    times = np.arange(length)[:, None] / to_rate - np.arange(len(waveform)) / from_rate
    crossings = np.clip(times * cutoff, -6, 6)
    weights = np.sinc(crossings) * np.cos(crossings * math.pi / 12) ** 2
    resampled: Samples = weights @ waveform * cutoff / from_rate
    return resampled


class Extension(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives `torchaudio._extension`, or whichever module is named, a content of the test's own."""

    def __init__(
        self, execute: Callable[[types.ModuleType], None], name: str = "torchaudio._extension"
    ) -> None:
        self.execute = execute
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        found = fullname == self.name
        return importlib.machinery.ModuleSpec(fullname, self) if found else None

    def exec_module(self, module: types.ModuleType) -> None:
        self.execute(module)


def failing(error: Exception) -> Callable[[types.ModuleType], None]:
    def execute(module: types.ModuleType) -> None:
        raise error

    return execute


def forget_torchaudio() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Forget torchaudio and put something in the place of its extension; undone afterwards."""
    before = {name: module for name, module in sys.modules.items() if "torchaudio" in name}

    def install(execute: Callable[[types.ModuleType], None], name: str | None = None) -> None:
        forget_torchaudio()
        finder = Extension(execute, name) if name else Extension(execute)
        monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])

    yield install
    forget_torchaudio()
    sys.modules.update(before)


@pytest.mark.parametrize(
    "error",
    [
        OSError("libc10_cuda.so: cannot open shared object file"),
        RuntimeError("Detected that PyTorch and TorchAudio were compiled with different CUDA"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_python_part_works_without_the_extension(
    extension: Callable[..., None], error: Exception
) -> None:
    extension(failing(error))

    torchaudio, loaded = dsp.import_torchaudio()

    assert not loaded
    assert torchaudio is sys.modules["torchaudio"]
    waveform = sine(440, 8000)
    resampled = torchaudio.functional.resample(waveform, 8000, 16_000)
    torch.testing.assert_close(resampled, dsp.resample(waveform, 8000, 16_000))


def test_what_needs_the_extension_says_so_when_called(extension: Callable[..., None]) -> None:
    extension(failing(OSError("no CUDA")))
    torchaudio, _ = dsp.import_torchaudio()
    emissions = torch.zeros(1, 4, 3)

    with pytest.raises(RuntimeError, match=r"forced_align needs its compiled extension.*install"):
        torchaudio.functional.forced_align(emissions, torch.ones(1, 2, dtype=torch.int32))


def test_extension_is_used_where_it_loads(extension: Callable[..., None]) -> None:
    def execute(module: types.ModuleType) -> None:
        def mark(function: Callable[..., object]) -> Callable[..., object]:
            return lambda *_: f"{function.__name__}, compiled"

        module.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=mark)

    extension(execute)

    torchaudio, loaded = dsp.import_torchaudio()

    assert loaded
    assert torchaudio.functional.forced_align() == "forced_align, compiled"


def test_missing_torchaudio_is_not_hidden(extension: Callable[..., None]) -> None:
    missing = ModuleNotFoundError("No module named 'torchaudio'", name="torchaudio")
    extension(failing(missing), "torchaudio")

    with pytest.raises(ModuleNotFoundError, match="torchaudio"):
        dsp.import_torchaudio()


@pytest.mark.parametrize("error", [ImportError("numpy is broken"), AttributeError("torch.ops")])
def test_other_import_errors_are_not_hidden(
    extension: Callable[..., None], error: Exception
) -> None:
    extension(failing(error))

    with pytest.raises(type(error), match=str(error)):
        dsp.import_torchaudio()


def test_fault_outside_the_extension_is_not_hidden(extension: Callable[..., None]) -> None:
    extension(failing(OSError("disk error")), "torchaudio.functional")

    with pytest.raises(OSError, match="disk error"):
        dsp.import_torchaudio()


_FRESH_PROCESS = """
import importlib.abc, importlib.machinery, json, sys

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "torchaudio._extension":
            return importlib.machinery.ModuleSpec(name, self)
    def exec_module(self, module):
        raise OSError("libc10_cuda.so: cannot open shared object file")

sys.meta_path.insert(0, Broken())
import torch
from asr.signal import dsp

resampled = dsp.resample(torch.tensor(json.loads(sys.stdin.read())), 8000, 16000)
print(json.dumps({"loaded": dsp.EXTENSION_LOADED, "resampled": resampled.tolist()}))
"""


def test_fresh_process_without_the_extension() -> None:
    waveform = sine(440, 8000, seconds=0.05)
    done = subprocess.run(
        [sys.executable, "-c", _FRESH_PROCESS],
        cwd=REPOSITORY,
        input=json.dumps(waveform.tolist()),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["loaded"] is False
    expected = windowed_sinc(waveform.double().numpy(), 8000, 16_000)
    np.testing.assert_allclose(said["resampled"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(8000, 16_000), (16_000, 8000), (11_025, 8000), (1, 3), (7, 5)]
)
def test_resample_is_windowed_sinc_interpolation(from_rate: int, to_rate: int) -> None:
    waveform = torch.randn(300, generator=torch.Generator().manual_seed(0))

    resampled = dsp.resample(waveform, from_rate, to_rate)

    expected = windowed_sinc(waveform.double().numpy(), from_rate, to_rate)
    np.testing.assert_allclose(resampled, expected, atol=1e-4)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(8000, 16_000), (48_000, 16_000)])
def test_sine_keeps_its_pitch_and_level(from_rate: int, to_rate: int) -> None:
    resampled = dsp.resample(sine(440, from_rate), from_rate, to_rate)

    expected = sine(440, to_rate)
    assert resampled.shape == expected.shape
    inner = slice(100, -100)  # the ends ring
    torch.testing.assert_close(resampled[inner], expected[inner], atol=2e-3, rtol=0)


def test_tone_above_half_the_new_rate_vanishes() -> None:
    resampled = dsp.resample(sine(6000, 16_000), 16_000, 8000)

    assert float(resampled[100:-100].abs().max()) < 1e-3  # 54 dB down


def test_there_and_back_again() -> None:
    waveform = sine(440, 8000) + sine(1234, 8000)

    back = dsp.resample(dsp.resample(waveform, 8000, 16_000), 16_000, 8000)

    torch.testing.assert_close(back[100:-100], waveform[100:-100], atol=5e-3, rtol=0)


def test_same_rate_changes_nothing() -> None:
    waveform = sine(440, 8000)

    assert dsp.resample(waveform, 8000, 8000) is waveform


@given(st.integers(1, 500), st.sampled_from([0.5, 0.9, 1.0, 1.1, 2.0]), st.sampled_from([(), (2,)]))
def test_speed_divides_the_length(samples: int, factor: float, channels: tuple[int, ...]) -> None:
    faster = dsp.speed(torch.zeros(*channels, samples), factor)

    hundredths = round(100 * factor)
    assert faster.shape == (*channels, -(-samples * 100 // hundredths))


def test_speed_raises_the_pitch() -> None:
    faster = dsp.speed(sine(400, 16_000), 1.1)

    expected = sine(440, 16_000)[: len(faster)]
    torch.testing.assert_close(faster[100:-100], expected[100:-100], atol=2e-3, rtol=0)


def hertz_to_mel(hertz: float) -> float:
    """O'Shaughnessy's formula, as HTK has it."""
    return 2595 * math.log10(1 + hertz / 700)


def mel_to_hertz(mel: float) -> float:
    return float(700 * (10 ** (mel / 2595) - 1))


def test_mel_filters_are_triangles_on_the_mel_scale() -> None:
    bins, mels, rate, low, high = 257, 40, 16_000, 20.0, 7600.0

    filters = dsp.mel_filterbank(bins, mels, rate, low, high)

    step = (hertz_to_mel(high) - hertz_to_mel(low)) / (mels + 1)
    corners = [mel_to_hertz(hertz_to_mel(low) + i * step) for i in range(mels + 2)]
    hertz = np.arange(bins) * rate / 2 / (bins - 1)
    for i in range(mels):
        triangle = np.interp(hertz, corners[i : i + 3], [0.0, 1.0, 0.0])
        np.testing.assert_allclose(filters[:, i], triangle, atol=1e-4)


def test_cosine_transform_is_an_orthonormal_dct() -> None:
    mels, ceps = 24, 13

    matrix = dsp.dct_matrix(ceps, mels)

    expected = np.array(
        [
            [
                math.sqrt((1 if k == 0 else 2) / mels) * math.cos(math.pi / mels * (n + 0.5) * k)
                for k in range(ceps)
            ]
            for n in range(mels)
        ]
    )
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(ceps), atol=1e-5, rtol=0)


@given(st.floats(-20, 60), st.floats(1e-3, 1.0), st.floats(1e-3, 10.0))
def test_noise_is_mixed_at_the_given_ratio(snr_db: float, level: float, noise_level: float) -> None:
    waveform = level * sine(440, 16_000, seconds=0.1)
    noise = noise_level * torch.randn(len(waveform), generator=torch.Generator().manual_seed(1))

    mixed = dsp.add_noise(waveform.double(), noise.double(), torch.tensor(snr_db).double())

    added = mixed - waveform
    measured = 10 * math.log10(float(waveform.double().square().sum() / added.square().sum()))
    assert measured == pytest.approx(snr_db, abs=0.01)


def test_noise_beside_silence_is_silence() -> None:
    silence = torch.zeros(100)

    mixed = dsp.add_noise(silence, torch.ones(100), torch.tensor(10.0))

    assert torch.equal(mixed, silence)
