"""Write recordings of noise, whose transcript is empty: `{train,silence,dev,test,nothing}.jsonl`.

`train` and `dev` hold the kinds used in training (`sounds.TRAINING_NOISES`, `GENERIC_NOISES` and
crowds), `test` and `nothing` held-out kinds (`unheard.HELD_OUT_NOISES`). The `speaker` of each
recording is its kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asr.corpus.manifest import Utterance, write_manifest
from asr.files import make_folder
from asr.signal import audio
from recipes.alphanumeric.sounds import (
    GENERIC_NOISES,
    SAMPLE_RATE,
    TRAINING_NOISES,
    Sound,
    babble,
    backwards,
    chatter,
    silence,
    soft,
    unit_rms,
)
from recipes.alphanumeric.unheard import HELD_OUT_NOISES, TONES

_PEAK = 0.95
_FLOOR_DBFS = (-80.0, -60.0)


@dataclass(frozen=True)
class Plan:
    """How many seconds of each kind to write, and the range of recording lengths and levels."""

    seconds_a_kind: float
    length_seconds: tuple[float, float]
    level_dbfs: tuple[float, float] = (-45.0, -15.0)


QUIET = (-85.0, -55.0)
"""Range of levels (dBFS) of the noise of a quiet room."""

QUIET_KINDS: dict[str, Sound] = {"soft": soft, "silence": silence}

SETS = (
    ("train", "heard", Plan(85.0, (2.0, 9.0))),
    ("train", "crowds", Plan(240.0, (2.0, 9.0))),
    ("train", "anything", Plan(480.0, (2.0, 9.0))),
    ("silence", "quiet", Plan(45.0, (2.0, 9.0), QUIET)),
    ("dev", "heard", Plan(40.0, (4.0, 12.0))),
    ("dev", "crowds", Plan(40.0, (4.0, 12.0))),
    ("dev", "quiet", Plan(5.0, (4.0, 6.0), QUIET)),
    ("test", "unheard", Plan(60.0, (10.0, 12.0))),
    ("nothing", "unheard", Plan(52.5, (5.0, 15.0))),
    ("nothing", "tones", Plan(45.0, (5.0, 15.0))),
    ("nothing", "quiet", Plan(45.0, (5.0, 15.0), QUIET)),
)
"""A set, a group of kinds in it, and their plan; `nothing` adds up to ten minutes."""


def write_noises(
    folder: Path,
    training_speech: Sequence[Utterance],
    held_out_speech: Sequence[Utterance],
    seed: int,
) -> dict[str, list[Utterance]]:
    """Write every recording below a folder, with a manifest of each set; return the sets.

    Crowds are mixed from `training_speech` for training and from `held_out_speech` for testing.
    The same arguments give the same recordings.
    """
    groups: dict[str, dict[str, Sound]] = {
        "heard": TRAINING_NOISES,
        "crowds": {
            "babble": babble(training_speech),
            "chatter": chatter(training_speech),
            "backwards": backwards(training_speech),
        },
        "anything": GENERIC_NOISES,
        "unheard": HELD_OUT_NOISES | {"babble": babble(held_out_speech)},
        "tones": TONES,
        "quiet": QUIET_KINDS,
    }
    written: dict[str, list[Utterance]] = {}
    for name, group, plan in SETS:
        for kind, sound in groups[group].items():
            recordings = _write_kind(folder, f"{name}-{kind}", kind, sound, plan, seed)
            written.setdefault(name, []).extend(recordings)
    for name, recordings in written.items():
        write_manifest(folder / f"{name}.jsonl", recordings)
    return written


def _write_kind(
    folder: Path, prefix: str, kind: str, sound: Sound, plan: Plan, seed: int
) -> list[Utterance]:
    """Write recordings of one kind of sound that add up to exactly `seconds_a_kind`."""
    make_folder(folder / "audio")
    missing = round(plan.seconds_a_kind * SAMPLE_RATE)
    written: list[Utterance] = []
    shortest = round(plan.length_seconds[0] * SAMPLE_RATE)
    while missing > 0:
        name = f"{prefix}-{len(written):02}"
        random = np.random.default_rng([seed, *name.encode()])
        size = round(random.uniform(*plan.length_seconds) * SAMPLE_RATE)
        if missing - size < shortest:  # leave no remainder below the shortest length
            size = missing
        waveform = _record(sound, random, size, plan.level_dbfs)
        path = folder / "audio" / f"{name}.flac"
        audio.write(path, waveform, SAMPLE_RATE)
        written.append(Utterance(name, path, size / SAMPLE_RATE, "", kind))
        missing -= size
    return written


def _record(
    sound: Sound, random: np.random.Generator, size: int, level_dbfs: tuple[float, float]
) -> torch.Tensor:
    """A sound `(size,)` at a random RMS level, scaled to avoid clipping, plus quiet-room noise."""
    wave = unit_rms(np.asarray(sound(random, size))) * 10 ** (random.uniform(*level_dbfs) / 20)
    if sound is not silence:  # noise to be mixed into speech must have power everywhere
        wave += soft(random, size) * 10 ** (random.uniform(*_FLOOR_DBFS) / 20)
    loudest = float(np.abs(wave).max())
    return torch.from_numpy(wave * min(1.0, _PEAK / max(loudest, _PEAK))).float()
