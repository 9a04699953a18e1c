"""Words where nothing is said: noise between pauses that the search took for a word.

The model itself doubts such words: in the frames of their letters the blank is nearly as likely. In
speech each letter has several nats more than the blank, whatever the model makes of it. Shapes: T
frames, C tokens with the blank.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from asr.decode.align import Alignment
from asr.text.tokens import BLANK, TokenTable

NO_SPEECH_BELOW = 2.0
"""Nats a letter: most of what a model takes for words in noise has less, nearly all speech more
(measured in `recipes/english/RESULTS.md`)."""
PAUSE_SECONDS = 1.0
"""What stands between pauses of this length, or longer, is judged as a whole."""


def spoken_tokens(
    log_probs: Tensor,
    alignment: Alignment,
    table: TokenTable,
    frame_seconds: float,
    no_speech_below: float,
) -> tuple[int, ...]:
    """The tokens of an alignment with the emissions `(T, C)` without those that are noise.

    Left out are the letters between two pauses where the path through them is less than
    `no_speech_below` nats a letter likelier than blanks alone.
    """
    emissions = log_probs.double().numpy()
    gains = alignment.log_ratios + emissions.max(axis=1) - emissions[:, BLANK]
    pause = PAUSE_SECONDS / frame_seconds
    noise: set[int] = set()
    for letters in _between_pauses(alignment, table, pause):
        frames = slice(alignment.first_frames[letters[0]], alignment.last_frames[letters[-1]] + 1)
        if np.sum(gains[frames]) < no_speech_below * len(letters):
            noise.update(letters)
    return tuple(token for i, token in enumerate(alignment.tokens) if i not in noise)


def _between_pauses(alignment: Alignment, table: TokenTable, pause: float) -> Iterator[list[int]]:
    """The positions of tokens, spaces apart, that follow each other without a pause."""
    letters = [i for i, token in enumerate(alignment.tokens) if token != table.space]
    cuts = [
        place
        for place, (before, after) in enumerate(itertools.pairwise(letters), start=1)
        if alignment.first_frames[after] - alignment.last_frames[before] - 1 >= pause
    ]
    for begin, end in itertools.pairwise([0, *cuts, len(letters)]):
        if begin < end:
            yield letters[begin:end]
