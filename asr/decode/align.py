"""Forced alignment: where in the emissions a known token sequence lies.

The likeliest path through the tokens with a blank before, between and after them, of which the
blanks may be left out but between equal tokens (Graves, "Supervised Sequence Labelling with
Recurrent Neural Networks", 2012, section 7.3), found by dynamic programming (Viterbi 1967).
Shapes: T frames, C tokens with the blank, U tokens to align, S = 2U + 1 states.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asr.compiled import compiled, helper
from asr.corpus.check import minimum_frames
from asr.decode.hypothesis import checked_emissions
from asr.errors import ConfigError, TextError
from asr.text.tokens import BLANK

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """The likeliest path of a token sequence."""

    tokens: tuple[int, ...]
    first_frames: tuple[int, ...]
    """Of each token the frame where it begins."""
    last_frames: tuple[int, ...]
    """Of each token the last frame that it holds, at or after its first."""
    log_scores: tuple[float, ...]
    """Of each token its log-probability over its frames."""
    log_score: float
    """Natural log-probability of the path, blanks included."""
    log_ratios: Floats
    """(T,) the path against the likeliest token of each frame: 0 where they agree, else less."""


def viterbi_align(log_probs: Tensor, tokens: Sequence[int]) -> Alignment:
    """Align tokens (without blanks) with one utterance of emissions `(T, C)`, exactly.

    Of equally likely paths that one is taken whose last token ends earliest, then begins earliest,
    then the one before it, and so on. Time is T × S. Memory grows with (T × S) ^ ⅔: scores are
    kept at some frames only, and the choices between two of them are made again, for the few
    states that can matter, on the way back (checkpoints, after Hirschberg 1975). An hour of 90 000
    frames and 20 000 tokens takes some 25 MB beside its emissions.

    Raises TextError where the tokens need more frames than there are, or have no path of
    probability above 0; ConfigError on a token outside the C and where the emissions are not
    log-probabilities.
    """
    emissions = checked_emissions(log_probs)
    num_frames, num_tokens = emissions.shape
    outside = [token for token in tokens if not BLANK < token < num_tokens]
    if outside:
        raise ConfigError(
            f"tokens: expected 1 to {num_tokens - 1} (0 is the blank), found {outside[0]}"
        )
    _check_room(tokens, num_frames)
    labels = np.full(2 * len(tokens) + 1, BLANK, dtype=np.int64)
    labels[1::2] = tokens
    if (greedy := _greedy_path(emissions, tokens)) is not None:
        return _described(emissions, labels, greedy)
    can_skip = np.zeros(len(labels), dtype=np.bool_)
    can_skip[3::2] = labels[3::2] != labels[1:-2:2]
    block = max(1, round((2.0 * num_frames * len(labels)) ** (1 / 3)))
    states, log_score = _best_path(emissions, labels, can_skip, block)
    if log_score == -math.inf:
        raise TextError(
            "the transcript has no alignment: every way to spell it passes a token of "
            "probability 0; check that it belongs to this recording"
        )
    return _described(emissions, labels, states)


def _greedy_path(emissions: Floats, tokens: Sequence[int]) -> Index | None:
    """The states of `_best_path` where the likeliest tokens of all frames are a path of `tokens`.

    No path is likelier than that one. None elsewhere, and where two tokens of a frame are equally
    likely. Greedy search thus has its alignment without compiled code, which takes time to load.
    """
    best = emissions.argmax(axis=1)
    is_token = best != BLANK
    begins = is_token & (np.diff(best, prepend=BLANK) != 0)
    if not np.array_equal(best[begins], np.array(tokens, dtype=np.int64)):
        return None
    if np.count_nonzero(emissions == emissions.max(axis=1, keepdims=True)) > len(emissions):
        return None
    states: Index = 2 * np.cumsum(begins) - is_token
    return states


def _check_room(tokens: Sequence[int], num_frames: int) -> None:
    needed = minimum_frames(tokens)
    if needed > num_frames:
        raise TextError(
            f"the transcript is longer than the audio allows: its {len(tokens)} tokens need at "
            f"least {needed} frames (repeated tokens need a blank between them), and there are "
            f"{num_frames}; check that it belongs to this recording"
        )


def _described(emissions: Floats, labels: Index, states: Index) -> Alignment:
    """What a path of states `(T,)` says of each token."""
    on_path = emissions[np.arange(len(states)), labels[states]]
    best = emissions.max(axis=1, initial=-math.inf)
    token_states = np.arange(1, len(labels), 2)
    first = np.searchsorted(states, token_states, side="left")
    ends = np.searchsorted(states, token_states, side="right")
    totals = np.concatenate([[0.0], np.cumsum(on_path)])
    return Alignment(
        tokens=tuple(labels[1::2].tolist()),
        first_frames=tuple(first.tolist()),
        last_frames=tuple((ends - 1).tolist()),
        log_scores=tuple((totals[ends] - totals[first]).tolist()),
        log_score=float(totals[-1]),
        log_ratios=on_path - best,
    )


@compiled
def _best_path(
    emissions: Annotated[Floats, 2], labels: Index, can_skip: NDArray[np.bool_], block: int
) -> tuple[Index, float]:
    """The state at each frame `(T,)` of the likeliest path, and its log-probability.

    Forward through all frames, keeping a column of scores every `block` frames; then back, block
    by block. A path that ends a block of n frames in state s began it in s - 2n or later.
    """
    num_frames, num_states = len(emissions), len(labels)
    column = np.full(num_states, -np.inf)
    column[0] = 0.0  # before the first frame, as if a blank came before
    kept = np.empty(((num_frames + block - 1) // block, num_states))
    came_from = np.empty(num_states, dtype=np.uint8)
    for frame in range(num_frames):
        if frame % block == 0:
            for state in range(num_states):  # a slice's shape errors would be compiled, too
                kept[frame // block, state] = column[state]
        # Left out: states that cannot be reached yet, or from which the end is out of reach.
        low, high = max(0, num_states - 2 - 2 * (num_frames - frame)), 2 * frame + 2
        band = slice(low, min(high, num_states))
        _advance(column[band], emissions[frame], labels[band], can_skip[band], came_from)
    state = num_states - 1
    if state > 0 and column[state - 1] > column[state]:
        state -= 1
    log_score = column[state]
    states = np.empty(num_frames, dtype=np.int64)
    for number in range(len(kept) - 1, -1, -1):
        begin, end = number * block, min((number + 1) * block, num_frames)
        low = max(0, state - 2 * (end - begin))
        band = slice(low, state + 1)
        column = kept[number, band].copy()
        steps = np.empty((end - begin, len(column)), dtype=np.uint8)
        for frame in range(begin, end):
            row, step = emissions[frame], steps[frame - begin]
            _advance(column, row, labels[band], can_skip[band], step)
        for frame in range(end - 1, begin - 1, -1):
            states[frame] = state
            state -= steps[frame - begin, state - low]
    return states, log_score


@helper
def _advance(
    column: Floats,
    row: Floats,
    labels: Index,
    can_skip: NDArray[np.bool_],
    steps: NDArray[np.uint8],
) -> None:
    """Take the scores of neighbouring states through one frame `(C,)`, in place.

    `steps` receives how far back the state lies that each came from: 0, 1 or 2. The first two
    states lack what lies before them: they are exact only if nothing does.
    """
    for state in range(len(column) - 1, -1, -1):
        best, step = column[state], 0
        if state >= 1 and column[state - 1] > best:
            best, step = column[state - 1], 1
        if state >= 2 and can_skip[state] and column[state - 2] > best:
            best, step = column[state - 2], 2
        column[state] = best + row[labels[state]]
        steps[state] = step
