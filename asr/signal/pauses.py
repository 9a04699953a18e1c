"""Where a speaker pauses, begins and ends, by the loudness of a recording.

Shapes: S samples.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.signal.distortions import band_pass
from asr.signal.dsp import frame_power

PAUSE_SECONDS = 0.3
"""Shorter ones occur within words and between letters."""
SILENCE_SECONDS = 0.5
"""Of a long silence so much stays beside a sound, as in the recordings that models learn from."""
FRAME_SECONDS = 0.01
"""Of the frames that are quiet or not."""
_SMOOTHED_FRAMES = 5
"""50 ms: the closure of a plosive lasts as long."""
_QUIET = 0.3
"""How far above the quiet parts, on the way to the loud ones in decibels, a pause may be."""
_SILENCE_DB = -100.0
"""A digital silence."""
_LEAST_RANGE_DB = 6.0
"""Where the loud parts are no louder than this above the quiet ones, nothing or all is speech."""
_BLOCK_SECONDS = 60.0
"""Quiet and loud are what they are nearby: speakers and microphones change."""
_SPEECH_HZ = (150.0, 3500.0)
"""Hum and the handling of a microphone are below, hiss is above."""
_SPEECH_RANGE_DB = 30.0
"""What is further below the loud parts of speech is background."""
_LOUD_SHARE = 0.02
"""The loud parts are exceeded in so much of the time, so that a bang is none of them."""
_SPEECH_SMOOTHED_FRAMES = 11
_SHORTEST_SOUND_SECONDS = 0.2
"""Smoothed over 0.11 s, a shorter sound is a click."""


def cuts_in(quiet: NDArray[np.bool_]) -> list[float]:
    """Where to cut a recording between its sounds, in seconds, from what `quiet_frames` found.

    In the middle of a pause; a long silence, also at the beginning or end, is cut off at
    `SILENCE_SECONDS` from the sounds on either side.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]])))
    total = len(quiet) * FRAME_SECONDS
    cuts = []
    for begin, end in (edges.reshape(-1, 2) * FRAME_SECONDS).tolist():
        if end - begin >= 2 * SILENCE_SECONDS + PAUSE_SECONDS:
            cuts += [begin + SILENCE_SECONDS] * (begin > 0)
            cuts += [end - SILENCE_SECONDS] * (end < total)
        elif end - begin >= PAUSE_SECONDS and begin > 0 and end < total:
            cuts.append((begin + end) / 2)
    return cuts


def quiet_frames(waveform: Tensor, sample_rate: int) -> NDArray[np.bool_]:
    """Whether each 10 ms of a waveform `(S,)` are quiet for the minute around."""
    loudness = _loudness_db(waveform, sample_rate)
    num_blocks = max(1, round(len(loudness) * FRAME_SECONDS / _BLOCK_SECONDS))
    return np.concatenate([_is_quiet(block) for block in np.array_split(loudness, num_blocks)])


def speech_span(waveform: Tensor, sample_rate: int) -> tuple[int, int] | None:
    """Start and end, in samples, of what may be speech in a waveform `(S,)`; None if nothing is.

    From the first to the last sound of some length that is not far below the loud ones. The soft
    beginning or end of a word may lie outside, by up to 0.15 s.
    """
    if not len(waveform):
        return None
    hop, (low_hz, high_hz) = _hop(sample_rate), _SPEECH_HZ
    audible = band_pass(waveform, sample_rate, low_hz, min(high_hz, sample_rate / 2))
    power = _smoothed(frame_power(audible, hop), _SPEECH_SMOOTHED_FRAMES).numpy()
    if not len(power) or power.max() <= 10 ** (_SILENCE_DB / 10):
        return None
    background = np.quantile(power, 1 - _LOUD_SHARE) * 10 ** (-_SPEECH_RANGE_DB / 10)
    is_sound = np.concatenate([[False], power > background, [False]])
    sounds = np.flatnonzero(np.diff(is_sound)).reshape(-1, 2)
    long = sounds[np.diff(sounds)[:, 0] >= round(_SHORTEST_SOUND_SECONDS / FRAME_SECONDS)]
    if not len(long):
        return None
    return int(long[0, 0]) * hop, int(long[-1, 1]) * hop


def _loudness_db(waveform: Tensor, sample_rate: int) -> NDArray[np.float32]:
    """The power of each 10 ms, averaged over the nearest 50 ms."""
    power = frame_power(waveform, _hop(sample_rate))
    loudness = 10 * torch.log10(power).clamp(min=_SILENCE_DB)
    return _smoothed(loudness, _SMOOTHED_FRAMES).numpy()


def _hop(sample_rate: int) -> int:
    return max(1, round(FRAME_SECONDS * sample_rate))


def _smoothed(values: Tensor, count: int) -> Tensor:
    """The mean of the nearest `count` of `(T,)`, an odd number."""
    if not len(values):
        return values
    return torch.nn.functional.avg_pool1d(
        values[None], count, 1, count // 2, count_include_pad=False
    )[0]


def _is_quiet(loudness: NDArray[np.float32]) -> NDArray[np.bool_]:
    audible = loudness[loudness > _SILENCE_DB]
    if not len(audible):
        return np.zeros(len(loudness), dtype=np.bool_)
    # Digital silence says nothing about how loud the background is.
    low, high = np.quantile(audible, [0.05, 0.95])
    if high - low < _LEAST_RANGE_DB:
        low = high = _SILENCE_DB
    return np.asarray(loudness <= low + _QUIET * (high - low))
