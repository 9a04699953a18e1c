"""Where a speaker pauses, by the loudness of a recording.

Shapes: S samples.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def _loudness_db(waveform: Tensor, sample_rate: int) -> NDArray[np.float32]:
    """The power of each 10 ms, averaged over the nearest 50 ms."""
    hop = max(1, round(FRAME_SECONDS * sample_rate))
    frames = waveform[: len(waveform) // hop * hop].reshape(-1, hop)
    power = 10 * torch.log10(frames.square().mean(dim=1)).clamp(min=_SILENCE_DB)
    if not len(power):
        return np.zeros(0, np.float32)
    smoothed = torch.nn.functional.avg_pool1d(
        power[None], _SMOOTHED_FRAMES, 1, _SMOOTHED_FRAMES // 2, count_include_pad=False
    )
    return smoothed[0].numpy()


def _is_quiet(loudness: NDArray[np.float32]) -> NDArray[np.bool_]:
    audible = loudness[loudness > _SILENCE_DB]
    if not len(audible):
        return np.zeros(len(loudness), dtype=np.bool_)
    # Digital silence says nothing about how loud the background is.
    low, high = np.quantile(audible, [0.05, 0.95])
    if high - low < _LEAST_RANGE_DB:
        low = high = _SILENCE_DB
    return np.asarray(loudness <= low + _QUIET * (high - low))
