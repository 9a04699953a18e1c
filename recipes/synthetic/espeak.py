"""eSpeak NG's shared library through ctypes: text to waveform within this process.

The library is part of Debian's package espeak-ng; the package espeakng-loader on PyPI contains a
copy for Linux, macOS and Windows. Starting a program for each phrase would take ten times as long.
The library's noise generator keeps its state between phrases: the same phrases in the same order
give the same samples, in another order slightly different ones.
"""

import ctypes
import ctypes.util
import functools
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.errors import AsrError

# Constants of speak_lib.h.
_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_RATE, _PITCH = 1, 3
_BY_CHARACTER, _UTF8 = 1, 1
_IPA = 0x82

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """The initialised library, of which a process has one instance (see `load`)."""

    def __init__(self, library: ctypes.CDLL, data: str | None) -> None:
        self._library = library
        self._pieces: list[Tensor] = []
        self._callback = _CALLBACK(self._collect)  # the library keeps only a bare pointer to it
        folder = data.encode() if data else None
        self.sample_rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, folder, _DO_NOT_EXIT))
        if self.sample_rate <= 0:
            raise AsrError(
                f"espeak-ng failed to start: its voice data is missing from "
                f"{data or 'its folder'}; reinstall it"
            )
        library.espeak_SetSynthCallback(self._callback)
        library.espeak_Info.restype = ctypes.c_char_p
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        path = ctypes.c_char_p()
        self.version = (library.espeak_Info(ctypes.byref(path)) or b"").decode()
        self._data = Path((path.value or b"").decode())

    def _collect(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            piece = (ctypes.c_short * count).from_buffer_copy(
                ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short))
            )
            self._pieces.append(torch.tensor(piece, dtype=torch.int16))
        return 0

    def speak(self, text: str, voice: str, words_per_minute: int, pitch: int) -> Tensor:
        """The waveform `(S,)` of a text at `sample_rate`, full scale 1.

        `voice` is an accent with or without a variant (`en-us+m1`), `pitch` runs from 0 to 99.
        Raises AsrError on a voice that the installed eSpeak NG does not have.
        """
        self._choose(voice)
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._pieces.clear()
        encoded = text.encode() + b"\0"
        failed = self._library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded)), 0, _BY_CHARACTER, 0, _UTF8, None, None
        )
        if failed or self._library.espeak_Synchronize() or not self._pieces:
            raise AsrError(f"espeak-ng {self.version} failed to speak {text!r} with {voice!r}")
        return torch.cat(self._pieces).float() / 32768

    def phonemes(self, text: str, voice: str) -> str:
        """How a voice says a text of one clause: IPA, with `^` between the parts of one sound.

        Raises AsrError on a voice that the library does not have.
        """
        self._choose(voice)
        encoded = ctypes.c_char_p(text.encode())
        found = self._library.espeak_TextToPhonemes(
            ctypes.byref(encoded), _UTF8, _IPA | ord("^") << 8
        )
        return str(found.decode())

    def _choose(self, voice: str) -> None:
        """Without a voice the library would crash."""
        variant = voice.partition("+")[2]
        # The library silently ignores an unknown variant.
        known = not variant or (self._data / "voices" / "!v" / variant).is_file()
        if not known or self._library.espeak_SetVoiceByName(voice.encode()):
            raise AsrError(
                f"espeak-ng {self.version} has no voice {voice!r}; see `espeak-ng --voices=en` and "
                "`espeak-ng --voices=variant`"
            )


@functools.cache
def packaged() -> Espeak:
    """Start the library of espeakng-loader. Raises ImportError or OSError if it is missing."""
    loader = importlib.import_module("espeakng_loader")
    return Espeak(ctypes.CDLL(loader.get_library_path()), loader.get_data_path())


@functools.cache
def load() -> Espeak:
    """Find and start the library. Raises AsrError naming the packages if there is none."""
    name = ctypes.util.find_library("espeak-ng")
    if name:
        return Espeak(ctypes.CDLL(name), None)
    try:
        return packaged()
    except (ImportError, OSError) as error:
        raise AsrError(
            f"no espeak-ng library found ({error}); install Debian's package espeak-ng "
            "(`apt-get install espeak-ng`) or `pip install espeakng-loader`"
        ) from error
