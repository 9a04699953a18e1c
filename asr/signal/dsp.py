"""Signal processing with torchaudio; the only module that imports it.

torchaudio's compiled extension is linked to CUDA and to one torch release. Where it does not load
(a CPU-only torch, another CUDA), the import of the whole package fails, although everything used
here is plain Python on top of torch. In that case the extension is replaced by a stub and the
import is tried again; functions that really need the extension then raise when called.
"""

import functools
import importlib
import logging
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from torch import Tensor

_log = logging.getLogger("asr.dsp")


def import_torchaudio() -> tuple[types.ModuleType, bool]:
    """Import torchaudio; returns the package, and whether its compiled extension is in use."""
    try:
        return importlib.import_module("torchaudio"), True
    except (OSError, RuntimeError) as error:
        _log.debug(
            "torchaudio's compiled extension does not load (%s); using its Python part", error
        )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules["torchaudio._extension"] = _extension_stub()
    return importlib.import_module("torchaudio"), False


def _extension_stub() -> types.ModuleType:
    """A module with the names that torchaudio's Python modules import from its extension."""

    def needs_extension(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise RuntimeError(
                f"torchaudio's {function.__name__} needs its compiled extension, which does not "
                "load with this torch; install the torch build that torchaudio was made for"
            )

        return refuse

    module = types.ModuleType("torchaudio._extension")
    module.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        fail_if_no_align=needs_extension,
        _load_lib=lambda _: False,
    )
    return module


_torchaudio, EXTENSION_LOADED = import_torchaudio()
_functional = importlib.import_module("torchaudio.functional")


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Band-limited resampling (windowed sinc) of `(..., S)` from one rate in Hz to another."""
    if from_rate == to_rate:
        return waveform
    resampled: Tensor = _functional.resample(waveform, from_rate, to_rate)
    return resampled


def fft_size(num_samples: int) -> int:
    """The next multiple of 4096: a Fourier transform is slow for sizes with large prime factors."""
    return -(-num_samples // 4096) * 4096


def speed(waveform: Tensor, factor: float) -> Tensor:
    """Play `(..., S)` faster (`factor` > 1) or slower, changing the pitch: `(..., S / factor)`.

    The factor is rounded to hundredths, because resampling needs a filter for each phase of the
    ratio.
    """
    return resample(waveform, round(factor * 100), 100)


def mel_filterbank(
    num_bins: int, num_mels: int, sample_rate: int, low_hz: float, high_hz: float
) -> Tensor:
    """Triangular mel filters `(num_bins, num_mels)` for the bins of a real FFT (HTK mel scale)."""
    filters: Tensor = _functional.melscale_fbanks(
        num_bins, low_hz, high_hz, num_mels, sample_rate, norm=None, mel_scale="htk"
    )
    return filters


def dct_matrix(num_ceps: int, num_mels: int) -> Tensor:
    """The orthonormal DCT-II matrix `(num_mels, num_ceps)` from log-mels to cepstra."""
    matrix: Tensor = _functional.create_dct(num_ceps, num_mels, norm="ortho")
    return matrix


def add_noise(waveform: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise `(..., S)` to a waveform `(..., S)` at a signal-to-noise ratio in dB, `(...)`."""
    mixed: Tensor = _functional.add_noise(waveform, noise, snr_db)
    return mixed


def frame_power(waveform: Tensor, frame: int) -> Tensor:
    """`(T,)` mean squares of the whole frames, of so many samples, of a waveform `(S,)`."""
    return waveform[: len(waveform) // frame * frame].reshape(-1, frame).square().mean(dim=1)
