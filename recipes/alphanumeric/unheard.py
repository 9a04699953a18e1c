"""Sounds of kinds that are not in the training data, made by other means than those that are.

Shapes: S samples at 16 kHz.
"""

import numpy as np
from numpy.random import Generator

from recipes.alphanumeric.sounds import (
    SAMPLE_RATE,
    Samples,
    Sound,
    band,
    coloured,
    contour,
    decay,
    filtered,
    moments,
    peaks,
    place,
    seconds,
    tone,
    unit,
)


def sparks(random: Generator, size: int, per_second: float) -> Samples:
    """Impulses `(S,)` at random places, of very unequal size."""
    wave = np.zeros(size)
    struck = moments(random, size, per_second)
    np.add.at(wave, struck, random.standard_normal(len(struck)) ** 3)
    return wave


def rain(random: Generator, size: int) -> Samples:
    """Drops: dense impulses through a wide band, over their own hiss."""
    drops = filtered(sparks(random, size, random.uniform(100, 1500)), band(1000, 7000))
    return unit(drops) + random.uniform(0.05, 0.3) * filtered(
        random.standard_normal(size), band(2000, 6000)
    )


def engine(random: Generator, size: int) -> Samples:
    """Ignitions at a rate that wanders, each a little early or late, through three resonances."""
    rate_hz = contour(random, size, 0.5, 25, 90)
    turns = np.floor(np.cumsum(rate_hz) / SAMPLE_RATE)
    fired = np.flatnonzero(np.diff(turns)) + random.integers(0, 40, int(turns[-1] - turns[0]))
    wave = np.zeros(size)
    fired = fired[fired < size]
    wave[fired] = random.uniform(0.5, 1, len(fired))
    centres, widths = random.uniform(60, 1200, 3), random.uniform(30, 200, 3)
    body = filtered(wave, peaks(centres.tolist(), widths.tolist()))
    return unit(body) + 0.1 * coloured(random, size, 1)


def siren(random: Generator, size: int) -> Samples:
    """A horn whose pitch goes up and down, fast or slowly."""
    middle, reach = random.uniform(700, 1100), random.uniform(0.2, 0.45)
    swing = np.sin(2 * np.pi * random.choice((0.25, 0.6, 3.0)) * seconds(size))
    hertz = middle * (1 + reach * swing)
    return np.tanh(3 * tone(hertz, size)) + 0.02 * random.standard_normal(size)


def applause(random: Generator, size: int) -> Samples:
    """Many hands: each clap 10 ms of noise about 1 to 3 kHz."""
    hands = np.zeros(size)
    for _ in range(6):
        clap = random.standard_normal(400) * decay(400, random.uniform(0.001, 0.004))
        clap = filtered(clap, peaks([random.uniform(800, 3000)], [500.0]))
        claps = sparks(random, size, random.uniform(10, 80))
        hands += np.convolve(claps, clap)[:size]
    return hands * contour(random, size, 1, 0.5, 1)


def wind(random: Generator, size: int) -> Samples:
    """Gusts over a microphone: strong and low, and brighter as they grow."""
    gust = contour(random, size, random.uniform(0.5, 2), 0, 1)
    low = filtered(random.standard_normal(size), band(10, 60))
    high = filtered(random.standard_normal(size), band(300, 900))
    return unit(low) * gust**2 + 0.3 * unit(high) * gust**4


def water(random: Generator, size: int) -> Samples:
    """Bubbles, each a decaying sine whose pitch rises (Minnaert 1933)."""
    wave = 0.02 * coloured(random, size, 1)
    for start in moments(random, size, random.uniform(20, 80)):
        length = round(random.uniform(0.01, 0.08) * SAMPLE_RATE)
        pitch = np.exp(random.uniform(np.log(400), np.log(4000)))
        rising = pitch * np.linspace(1, random.uniform(1.05, 1.6), length)
        place(wave, start, random.uniform(0, 1) ** 3 * tone(rising, length) * decay(length, 0.008))
    return wave


def strings(random: Generator, size: int) -> Samples:
    """Plucked strings (Karplus & Strong 1983): a loop of noise that smooths itself."""
    wave, start = np.zeros(size), 0
    while start < size:
        period = round(SAMPLE_RATE / (random.uniform(80, 160) * 2 ** random.integers(0, 3)))
        loop = random.uniform(-1, 1, period)
        turns = []
        for _ in range(2 * SAMPLE_RATE // period):
            turns.append(loop)
            loop = 0.498 * (loop + np.roll(loop, 1))
        place(wave, start, np.concatenate(turns))
        start += round(random.uniform(0.1, 0.6) * SAMPLE_RATE)
    return wave


def ringing(random: Generator, size: int) -> Samples:
    """A telephone: a square wave between two pitches, two seconds on and one off."""
    low, high = random.uniform(400, 700), random.uniform(800, 1300)
    time = seconds(size)
    hertz = np.where(np.floor(time * random.uniform(10, 25)) % 2 == 0, low, high)
    return np.sign(tone(hertz, size)) * (time % 3 < 2)


def whistle(random: Generator, size: int) -> Samples:
    """A pure tone that does not end, with a slight tremble."""
    return tone(random.uniform(200, 4000) * contour(random, size, 6, 0.995, 1.005), size)


HELD_OUT_NOISES: dict[str, Sound] = {
    "rain": rain,
    "engine": engine,
    "siren": siren,
    "applause": applause,
    "wind": wind,
    "water": water,
    "strings": strings,
}
"""Kinds to test with, beside the babble of speakers who are held out."""

TONES: dict[str, Sound] = {"ringing": ringing, "whistle": whistle}
"""Tones for the test on nothing."""
