"""Grids of error counts, and the place in them to settle at.

A dev set has few words, and the best of many settings on it is luck: a handful of utterances
decides between neighbours. So no setting is judged alone: errors are averaged over neighbours in a
grid, and settings that do about as well as the best count as equal to it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Errors = NDArray[np.float64]
Counts = NDArray[np.float64] | NDArray[np.int64]

_LUCK = 0.03
"""A difference of so large a part of the errors, or of one error, says nothing."""


def plateau_middle(
    errors: Counts, allowed: NDArray[np.bool_] | None = None, lean: float = 0.0
) -> tuple[int, ...]:
    """The middle of the settings with the fewest smoothed errors.

    Of the places that are as good as the best, or worse by no more than luck, the one nearest to
    their centre; of equals the better one, then the first. With `lean` from 0 to 1 the centre moves
    by this part of the way to the far end of each axis. Only `allowed` places can be chosen, but
    all of them count as neighbours.
    """
    smooth = smoothed(errors.astype(np.float64))
    if allowed is not None:
        smooth = np.where(allowed, smooth, np.inf)
    places = _plateau(smooth)
    centre = (1 - lean) * places.mean(axis=0) + lean * places.max(axis=0)
    distance = ((places - centre) ** 2).sum(axis=1).round(9)
    first = np.lexsort((smooth[tuple(places.T)], distance))[0]
    return tuple(places[first].tolist())


def plateau_narrowest(errors: Counts) -> int:
    """The last of a row of settings with the fewest smoothed errors, but for luck.

    The row goes from wide search to narrow.
    """
    return int(_plateau(smoothed(errors.astype(np.float64)))[-1, 0])


def smoothed(errors: Errors) -> Errors:
    """The mean over each place of a grid and those around it; beyond the edge the edge repeats."""
    for axis in range(errors.ndim):
        margin = [(1, 1) if other == axis else (0, 0) for other in range(errors.ndim)]
        padded = np.pad(errors, margin, mode="edge")
        errors = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=axis).mean(axis=-1)
    return errors


def luck(errors: float) -> float:
    """A difference from so many errors that says nothing."""
    return max(1.0, _LUCK * errors)


def finer(values: Sequence[float], value: float, points: int) -> tuple[float, ...]:
    """Evenly spaced values from the neighbour below one of some rising values to the one above."""
    place = values.index(value)
    low, high = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
    return tuple(round(float(fine), 4) for fine in np.linspace(low, high, points))


def _plateau(smooth: Errors) -> NDArray[np.int64]:
    """(places, axes) where smoothed errors are as low as anywhere, but for luck."""
    lowest = float(smooth.min())
    return np.argwhere(smooth <= lowest + luck(lowest))
