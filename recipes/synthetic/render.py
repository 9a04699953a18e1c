"""Synthesise transcripts with flite and eSpeak NG, and mix recordings from the speech."""

import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from math import log2
from pathlib import Path
from random import Random
from typing import Literal

import torch
from torch import Tensor

from asr.errors import AsrError
from asr.signal import audio, dsp
from asr.signal.augment import non_silent_span
from recipes.synthetic import espeak
from recipes.synthetic.accents import ACCENTS

SAMPLE_RATE = 16_000

_FLITE_PITCH_HZ = {"slt": 173.0, "rms": 101.0, "awb": 131.0, "kal16": 92.0}
"""Measured mean pitch of flite's 16 kHz voices. rms ignores other targets."""
_ESPEAK_WORDS_PER_MINUTE = 150

# "A" may be read as the article, "Z" as "zed"; eSpeak NG mispronounces RUBOUT, and reads "ay" as
# "eye" where flite reads the letter (according to `flite -ps` and `espeak-ng -x`).
_RESPELLED = {
    "flite": {"A": "ay"},
    "espeak": {"A": "eigh", "Z": "zee", "RUBOUT": "rub out"},
}

_FRAME = SAMPLE_RATE // 100
_SPEECH_FLOOR_DB = 45.0
_EDGE_FRAMES = 2


@dataclass(frozen=True)
class Voice:
    """A synthesiser and one of its voices; eSpeak NG's are an accent plus a variant."""

    engine: Literal["flite", "espeak"]
    name: str

    @property
    def speaker(self) -> str:
        """The name of the voice in manifests."""
        return f"{self.engine}-{self.name}"


@dataclass(frozen=True)
class Delivery:
    """How a phrase is spoken: factors relative to the default of the voice.

    `pauses` holds the indices of words that are followed by a short pause. `formants` scales the
    resonances of the vocal tract; flite only.
    """

    tempo: float = 1.0
    pitch: float = 1.0
    formants: float = 1.0
    pauses: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Setting:
    """Levels in dBFS and silence around the speech of a recording."""

    peak_dbfs: float = -6.0
    noise_dbfs: float = -66.0
    lead_seconds: float = 0.15
    trail_seconds: float = 0.15
    min_seconds: float = 1.0


def draw_setting(random: Random) -> Setting:
    """Levels and silence of a training recording."""
    return Setting(
        peak_dbfs=random.uniform(-20, -2),
        noise_dbfs=random.uniform(-75, -55),
        lead_seconds=random.uniform(0.05, 0.4),
        trail_seconds=random.uniform(0.05, 0.4),
        min_seconds=0.5,
    )


def render(text: str, voice: Voice, delivery: Delivery = Delivery()) -> Tensor:
    """Synthesise a transcript: `(S,)` at 16 kHz, silence at both ends removed.

    Raises AsrError if the synthesiser is not installed, lacks the voice or fails.
    """
    words = text.split()
    spoken = spoken_words(words, voice)
    breaks = [index in delivery.pauses for index in range(len(words) - 1)] + [False]
    if voice.engine == "flite":
        marked = " ".join(
            word + " <break/>" * pause for word, pause in zip(spoken, breaks, strict=True)
        )
        return trim(_flite(f"<speak>{marked}</speak>", voice.name, delivery))
    marked = " ".join(word + "," * pause for word, pause in zip(spoken, breaks, strict=True))
    return trim(_espeak(marked, voice.name, delivery))


def spoken_words(words: list[str], voice: Voice) -> list[str]:
    """Respell words so that the synthesiser pronounces letters and the article correctly.

    For a voice of another language the spellings of `ACCENTS` are used.
    """
    accent = ACCENTS.get(voice.name.partition("+")[0])
    if accent:
        return [accent[word] for word in words]
    respelled = _RESPELLED[voice.engine]
    return [
        "a"
        if (word, following) == ("A", "HALF")
        # Only letters are in upper case: the synthesiser might spell words.
        else respelled.get(word, word if len(word) == 1 else word.lower())
        for word, following in zip(words, [*words[1:], ""], strict=True)
    ]


def _flite(marked: str, voice: str, delivery: Delivery) -> Tensor:
    """Formants are scaled by resampling; tempo and pitch are set to compensate for it."""
    settings = {"duration_stretch": delivery.formants / delivery.tempo}
    if delivery.pitch != delivery.formants:
        settings["int_f0_target_mean"] = _FLITE_PITCH_HZ[voice] * delivery.pitch / delivery.formants
    if voice not in _flite_voices():
        raise AsrError(
            f"flite has no voice {voice!r}, only {', '.join(_flite_voices())}; install the full "
            "build, Debian's package flite"
        )
    command = [_flite_program(), "-voice", voice, "-ssml", "-t", marked]
    for name, value in settings.items():
        command += ["--setf", f"{name}={value:.3f}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        _run([*command, "-o", str(path)])
        if not path.is_file():  # flite exits with 0 even so
            raise AsrError(f"flite wrote no recording of {marked!r}; is {folder} full?")
        waveform, rate = audio.read(path)
    return dsp.resample(waveform, round(rate * delivery.formants), SAMPLE_RATE)


def _espeak(marked: str, voice: str, delivery: Delivery) -> Tensor:
    engine = espeak.load()
    speed = round(_ESPEAK_WORDS_PER_MINUTE * delivery.tempo)
    # Measured: an octave is about 65 steps of its pitch scale of 0 to 99, around 50.
    pitch = min(99, max(0, round(50 + 65 * log2(delivery.pitch))))
    waveform = engine.speak(marked, voice, speed, pitch)
    return dsp.resample(waveform, engine.sample_rate, SAMPLE_RATE)


@functools.cache
def _flite_program() -> str:
    program = shutil.which("flite")
    if program is None:
        raise AsrError(
            "no flite program found; install Debian's package flite (`apt-get install flite`)"
        )
    return program


@functools.cache
def _flite_voices() -> tuple[str, ...]:
    """Installed voices; flite silently uses its default voice instead of a missing one."""
    return tuple(_run([_flite_program(), "-lv"]).partition(":")[2].split())


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise AsrError(f"`{' '.join(command)}` failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def trim(waveform: Tensor) -> Tensor:
    """Remove silence (45 dB below the loudest 10 ms) from both ends of `(S,)`.

    Raises AsrError if all of it is silence.
    """
    extent = non_silent_span(waveform, _FRAME, _SPEECH_FLOOR_DB)
    if extent is None:
        raise AsrError("the synthesiser returned silence; is it fully installed?")
    edge = _EDGE_FRAMES * _FRAME
    return waveform[max(0, extent[0] - edge) : extent[1] + edge]


def record(speech: Tensor, setting: Setting, seed: int) -> Tensor:
    """Mix speech `(S,)` at a level with noise: `(S',)`, with silence before and after it.

    The noise falls by 3 dB per octave, like that of rooms.
    """
    lead, trail = setting.lead_seconds, setting.trail_seconds
    missing = setting.min_seconds - (lead + len(speech) / SAMPLE_RATE + trail)
    lead, trail = (round((part + max(0.0, missing) / 2) * SAMPLE_RATE) for part in (lead, trail))
    fade = torch.linspace(0, 1, _FRAME)
    faded = speech * 10 ** (setting.peak_dbfs / 20) / speech.abs().max()
    faded[:_FRAME] *= fade
    faded[-_FRAME:] *= fade.flip(0)
    placed = torch.nn.functional.pad(faded, (lead, trail))
    noise = pink_noise(len(placed), seed)
    return placed + noise * 10 ** (setting.noise_dbfs / 20)


def pink_noise(samples: int, seed: int) -> Tensor:
    """Noise `(samples,)` of RMS 1 whose power falls as 1/f above 50 Hz, the same for each seed."""
    white = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    spectrum = torch.fft.rfft(white)
    hertz = torch.linspace(0, SAMPLE_RATE / 2, len(spectrum)).clamp(min=50)
    noise: Tensor = torch.fft.irfft(spectrum / hertz.sqrt(), n=samples)
    return noise / noise.pow(2).mean().sqrt()
