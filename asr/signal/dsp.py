"""Signal processing borrowed from torchaudio: the one file that imports it.

torchaudio's compiled extension is linked to CUDA and to one torch release. Where it does not load
(a CPU-only torch, another CUDA), the import of the whole package fails, although everything used
here is plain Python over torch. In that case a stand-in takes the extension's place and the import
is tried again; what truly needs the extension then says so when called.
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
    """The torchaudio package, and whether its compiled extension is in use."""
    try:
        return importlib.import_module("torchaudio"), True
    except (OSError, RuntimeError) as error:
        _log.debug(
            "torchaudio's compiled extension does not load (%s); using its Python part", error
        )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules["torchaudio._extension"] = _extension_stand_in()
    return importlib.import_module("torchaudio"), False


def _extension_stand_in() -> types.ModuleType:
    """A module with the names that torchaudio's Python files import from its extension."""

    def needs_extension(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise RuntimeError(
                f"torchaudio's {function.__name__} needs its compiled extension, which does not "
                "load beside this torch; install the torch build that torchaudio was made for"
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
    """The next size up whose Fourier transform is quick: large prime factors make it slow."""
    return -(-num_samples // 4096) * 4096


def speed(waveform: Tensor, factor: float) -> Tensor:
    """Play `(..., S)` faster (`factor` > 1) or slower, pitch with it: `(..., S / factor)`.

    The factor counts in hundredths: a ratio of small numbers needs few filters.
    """
    return resample(waveform, round(factor * 100), 100)


def mel_filterbank(
    num_bins: int, num_mels: int, sample_rate: int, low_hz: float, high_hz: float
) -> Tensor:
    """Triangular mel filters `(num_bins, num_mels)` over a real spectrum's bins (HTK scale)."""
    filters: Tensor = _functional.melscale_fbanks(
        num_bins, low_hz, high_hz, num_mels, sample_rate, norm=None, mel_scale="htk"
    )
    return filters


def dct_matrix(num_ceps: int, num_mels: int) -> Tensor:
    """The orthonormal DCT-II matrix `(num_mels, num_ceps)` that turns log-mels into cepstra."""
    matrix: Tensor = _functional.create_dct(num_ceps, num_mels, norm="ortho")
    return matrix


def add_noise(waveform: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Mix noise into `(..., S)` at a signal-to-noise ratio in dB; all `(..., S)` alike."""
    mixed: Tensor = _functional.add_noise(waveform, noise, snr_db)
    return mixed
