"""Synthetic noise for training: sounds of rooms, machines, hands and crowds.

`TRAINING_NOISES` are the kinds used in training; `recipes.alphanumeric.unheard` generates other
kinds, by other methods, for testing. A sound is a function of a random generator and a number of
samples; the level of its result is arbitrary. Crowds are mixed from recordings of speech.

Shapes: S samples at 16 kHz.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance

SAMPLE_RATE = 16_000

Samples = NDArray[np.float64]
Sound = Callable[[Generator, int], Samples]


def filtered(wave: Samples, gain: Callable[[Samples], Samples]) -> Samples:
    """Apply a zero-phase filter to `(S,)`, given by its gain at frequencies in Hz."""
    spectrum = np.fft.rfft(wave)
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    return np.fft.irfft(spectrum * gain(np.maximum(hertz, 1.0)), n=len(wave))


def band(low_hz: float, high_hz: float) -> Callable[[Samples], Samples]:
    """Gain of a band-pass filter that falls by 12 dB per octave on either side."""
    return lambda hertz: 1 / (1 + (low_hz / hertz) ** 2) / (1 + (hertz / high_hz) ** 2)


def resonances(
    centres_hz: Sequence[float], widths_hz: Sequence[float]
) -> Callable[[Samples], Samples]:
    """Gain of resonances in parallel, each 1 at its centre."""
    return lambda hertz: np.sum(
        [
            1 / (1 + ((hertz - centre) / width) ** 2)
            for centre, width in zip(centres_hz, widths_hz, strict=True)
        ],
        axis=0,
    )


def unit_rms(wave: Samples) -> Samples:
    """Scale `(S,)` to an RMS of 1; silence is left unchanged."""
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9)


def coloured(random: Generator, size: int, slope: float) -> Samples:
    """Noise `(S,)` of RMS 1 and power 1/f^slope above 50 Hz."""
    white = random.standard_normal(size)
    return unit_rms(filtered(white, lambda hertz: np.maximum(hertz, 50.0) ** (-slope / 2)))


def contour(random: Generator, size: int, rate_hz: float, low: float, high: float) -> Samples:
    """A random curve `(S,)` between two values, with `rate_hz` random points per second."""
    knots = max(2, round(size / SAMPLE_RATE * rate_hz) + 2)
    drawn = random.uniform(low, high, knots)
    return np.interp(np.linspace(0, knots - 1, size), np.arange(knots), drawn)


def event_positions(random: Generator, size: int, per_second: float) -> NDArray[np.int64]:
    """Sample positions of independent events; at least one lies in the first half."""
    count = random.poisson(size / SAMPLE_RATE * per_second)
    return np.append(random.integers(0, size, count), random.integers(0, max(1, size // 2)))


def add_at(wave: Samples, start: int, piece: Samples) -> None:
    """Add a piece to `(S,)` from a given sample on; the part beyond the end is dropped."""
    part = piece[: len(wave) - start]
    wave[start : start + len(part)] += part


def seconds(size: int) -> Samples:
    """The time of each of `(S,)` samples."""
    return np.arange(size) / SAMPLE_RATE


def decay(size: int, half_seconds: float) -> Samples:
    """An exponential envelope `(S,)` that starts at 1 and halves in a given time."""
    return 0.5 ** (seconds(size) / half_seconds)


def swell(size: int) -> Samples:
    """An envelope `(S,)` that rises from 0 and falls back to 0."""
    return np.square(np.sin(np.pi * np.linspace(0, 1, size)))


def tone(hertz: Samples | float, size: int, phase: float = 0.0) -> Samples:
    """A sine `(S,)` whose frequency may change from sample to sample."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hertz, size)) / SAMPLE_RATE + phase)


def static(random: Generator, size: int) -> Samples:
    """Steady noise, white to brown."""
    return coloured(random, size, random.uniform(0, 2))


def hum(random: Generator, size: int) -> Samples:
    """Mains hum of 50 or 60 Hz with its harmonics, and a little noise."""
    pitch = random.choice((50.0, 60.0)) * random.normal(1, 0.001)
    fall = random.uniform(0.5, 2)
    wave = 10 ** random.uniform(-2, -0.7) * static(random, size)
    for harmonic in range(1, 31):
        amplitude = harmonic**-fall * random.uniform(0.05, 1)
        wave += amplitude * tone(pitch * harmonic, size, random.uniform(0, 2 * np.pi))
    return wave


def fan(random: Generator, size: int) -> Samples:
    """A fan: moving air and the tones of the blades."""
    wave = static(random, size) * contour(random, size, random.uniform(0.3, 3), 0.6, 1)
    pitch = random.uniform(20, 200) * contour(random, size, 0.5, 0.99, 1.01)
    for harmonic in range(1, 5):
        wave += random.uniform(0, 0.3) * tone(harmonic * pitch, size)
    return wave


def knocks(random: Generator, size: int) -> Samples:
    """Knocks on wood and clicks: a few decaying modes each."""
    wave = np.zeros(size)
    for start in event_positions(random, size, random.uniform(0.5, 4)):
        blow = SAMPLE_RATE // 5
        modes = random.uniform(80, 1500, 3) * random.choice((1.0, 3.0))
        loudness = random.uniform(0.2, 1)
        for mode in modes:
            ringing = decay(blow, random.uniform(0.003, 0.03))
            add_at(wave, start, loudness * tone(mode, blow) * ringing)
    return wave


def keys(random: Generator, size: int) -> Samples:
    """Typing: a burst for each key press and a softer one for its release."""
    wave = np.zeros(size)
    colour = band(random.uniform(800, 3000), random.uniform(4000, 7500))
    for down in event_positions(random, size, random.uniform(2, 9)):
        for start, loudness in ((down, 1.0), (down + random.integers(800, 2400), 0.4)):
            if start < size:
                burst = random.standard_normal(320) * decay(320, random.uniform(0.001, 0.004))
                add_at(wave, start, loudness * random.uniform(0.3, 1) * filtered(burst, colour))
    return wave


def paper(random: Generator, size: int) -> Samples:
    """Paper turned and crumpled: high-frequency noise of rapidly varying loudness."""
    flicker = contour(random, size, random.uniform(30, 90), 0, 1) ** 4
    wave = filtered(random.standard_normal(size), band(1500, 7000)) * flicker
    wave *= np.maximum(contour(random, size, 2, -0.5, 1), 0.02)
    return wave


def beeps(random: Generator, size: int) -> Samples:
    """Keypads and appliances: one or two sines, switched on and off."""
    wave, start = np.zeros(size), 0
    while start < size:
        length = round(random.uniform(0.05, 0.5) * SAMPLE_RATE)
        low, high = random.uniform(500, 1000), random.uniform(1100, 3000)
        sound = tone(high, length) + random.choice((0.0, 1.0)) * tone(low, length)
        add_at(wave, start, sound)
        start += length + round(random.uniform(0.05, 0.6) * SAMPLE_RATE)
    return wave


def sweeps(random: Generator, size: int) -> Samples:
    """Sines that glide up or down."""
    wave, start = np.zeros(size), 0
    while start < size:
        length = round(random.uniform(0.2, 1.5) * SAMPLE_RATE)
        first, last = random.uniform(150, 5000, 2)
        add_at(wave, start, tone(np.geomspace(first, last, length), length))
        start += length + round(random.uniform(0, 0.5) * SAMPLE_RATE)
    return wave


def chords(random: Generator, size: int) -> Samples:
    """Chords of notes with six harmonics, like those of an organ or a piano."""
    wave, start = np.zeros(size), 0
    root, dying = random.uniform(80, 300), random.uniform(0.1, 1)
    while start < size:
        length = round(random.uniform(0.3, 1.2) * SAMPLE_RATE)
        for step in random.choice((0, 2, 4, 5, 7, 9, 11, 12, 16, 19), 3, replace=False):
            note = root * 2 ** (step / 12)
            add_at(wave, start, decay(length, dying) * harmonics(note, length, 6))
        start += length
    return wave


def harmonics(pitch: float, size: int, count: int) -> Samples:
    """A tone `(S,)` with its harmonics, whose amplitude falls as 1/n."""
    wave = np.zeros(size)
    for harmonic in range(1, count + 1):
        wave += tone(pitch * harmonic, size) / harmonic
    return wave


def breaths(random: Generator, size: int) -> Samples:
    """Breathing and mouth sounds: noise through two wide resonances."""
    wave, start = np.zeros(size), round(random.uniform(0, 0.8) * SAMPLE_RATE)
    while start < size:
        length = round(random.choice((0.03, 0.5, 1.0)) * random.uniform(0.6, 1.4) * SAMPLE_RATE)
        colour = resonances(
            random.uniform(300, 4000, 2).tolist(), random.uniform(300, 1500, 2).tolist()
        )
        blown = filtered(random.standard_normal(length), colour) * swell(length)
        add_at(wave, start, random.uniform(0.2, 1) * blown)
        start += length + round(random.uniform(0.1, 1.5) * SAMPLE_RATE)
    return wave


def rumble(random: Generator, size: int) -> Samples:
    """Microphone handling: noise below 200 Hz, and bumps."""
    low = band(15, random.uniform(60, 200))
    wave = filtered(random.standard_normal(size), low) * contour(random, size, 3, 0, 1) ** 2
    for start in event_positions(random, size, 1):
        bump = random.standard_normal(2400) * decay(2400, 0.02)
        add_at(wave, start, random.uniform(0.5, 3) * filtered(bump, low))
    return wave


def texture(random: Generator, size: int) -> Samples:
    """Unpitched noise that drifts between two random sets of resonances, in a random rhythm."""
    drift = contour(random, size, random.uniform(0.2, 8), 0, 1)
    wave = np.zeros(size)
    for share in (drift, 1 - drift):
        centres = np.exp(random.uniform(np.log(60), np.log(7000), random.integers(1, 6)))
        widths = centres * random.uniform(0.05, 1, len(centres))
        source = coloured(random, size, random.uniform(0, 2))
        wave += share * unit_rms(filtered(source, resonances(centres.tolist(), widths.tolist())))
    rhythm_hz = np.exp(random.uniform(np.log(0.3), np.log(60)))
    loudness = contour(random, size, rhythm_hz, 0, 1) ** random.uniform(0, 4)
    return wave * (random.uniform(0, 0.3) + loudness)


def drone(random: Generator, size: int) -> Samples:
    """Up to eight tones whose pitch, by up to half, and loudness vary independently."""
    wave = 10 ** random.uniform(-2, -0.7) * static(random, size)
    for _ in range(random.integers(1, 9)):
        pitch, reach = np.exp(random.uniform(np.log(60), np.log(3000))), random.uniform(0, 0.5)
        hertz = pitch * contour(random, size, random.uniform(0.3, 6), 1 - reach, 1 + reach)
        swelling = contour(random, size, random.uniform(0.3, 10), 0, 1) ** random.uniform(0, 3)
        for harmonic in range(1, min(12, int(6500 / pitch)) + 1):
            wave += random.uniform(0, 1) / harmonic * swelling * tone(harmonic * hertz, size)
    return wave


def soft(random: Generator, size: int) -> Samples:
    """The noise of a quiet room, to be written at a low level."""
    return coloured(random, size, random.uniform(0.5, 2))


def silence(random: Generator, size: int) -> Samples:
    """Digital silence."""
    return np.zeros(size)


def one_speaker(random: Generator, pool: Sequence[Utterance], size: int) -> Samples:
    """Concatenated recordings `(S,)` of a speaker drawn from a pool, each of RMS 1."""
    speaker = pool[int(random.integers(len(pool)))].speaker
    own = [utterance for utterance in pool if utterance.speaker == speaker]
    pieces: list[Samples] = []
    while sum(map(len, pieces)) < size:
        waveform, _ = read_utterance(own[int(random.integers(len(own)))], SAMPLE_RATE)
        pieces.append(unit_rms(waveform.double().numpy()))
    return np.concatenate(pieces)[:size]


def babble(pool: Sequence[Utterance]) -> Sound:
    """Three to six people talking at once."""

    def sound(random: Generator, size: int) -> Samples:
        wave = np.zeros(size)
        for _ in range(random.integers(3, 7)):
            wave += random.uniform(0.5, 1) * one_speaker(random, pool, size)
        return wave

    return sound


def chatter(pool: Sequence[Utterance]) -> Sound:
    """One or two distant speakers: no direct sound, high frequencies lost, noise added."""

    def sound(random: Generator, size: int) -> Samples:
        talk = np.zeros(size)
        for _ in range(random.integers(1, 3)):
            talk += one_speaker(random, pool, size)
        tail = round(random.uniform(0.5, 1.2) * SAMPLE_RATE)
        room = random.standard_normal(tail) * decay(tail, random.uniform(0.04, 0.12))
        length = size + tail
        distant = np.fft.irfft(np.fft.rfft(talk, length) * np.fft.rfft(room, length), length)[:size]
        muffled = unit_rms(filtered(distant, band(100, random.uniform(300, 800))))
        return muffled + random.uniform(0.1, 0.4) * static(random, size)

    return sound


def backwards(pool: Sequence[Utterance]) -> Sound:
    """Speech played backwards: a voice without words."""
    return lambda random, size: one_speaker(random, pool, size)[::-1]


TRAINING_NOISES: dict[str, Sound] = {
    "static": static,
    "hum": hum,
    "fan": fan,
    "knocks": knocks,
    "keys": keys,
    "paper": paper,
    "beeps": beeps,
    "sweeps": sweeps,
    "chords": chords,
    "breaths": breaths,
    "rumble": rumble,
}
"""Kinds used in training, besides those made of speech: `babble`, `chatter` and `backwards`."""

GENERIC_NOISES: dict[str, Sound] = {"texture": texture, "drone": drone}
"""Kinds used in training that imitate no particular source, to cover as many as possible."""
