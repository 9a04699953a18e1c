"""Is this data trainable? Asked once, before any time is spent, and answered by name."""

import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from asr.corpus.manifest import Corpus
from asr.errors import ManifestError, TextError
from asr.text.tokens import TokenTable

_SHOWN = 10

T = TypeVar("T")


def minimum_frames(target: Sequence[int]) -> int:
    """Fewest frames on which CTC can emit a label sequence: U, and a blank between repeats."""
    repeats = sum(a == b for a, b in pairwise(target))
    return len(target) + repeats


def check_corpus(
    corpus: Corpus,
    tokens: TokenTable,
    num_frames: Callable[[float], int],
    where: str,
    may_be_empty: bool = False,
) -> None:
    """Say which utterances of a corpus stand in the way of training.

    `num_frames` gives the encoder's output frames T' for a duration in seconds, the longer the
    more. Utterances are looked at one by one only where something is wrong. Raises TextError on
    characters outside the table, and ManifestError on empty transcripts (with `may_be_empty` only
    if there are no others) and on transcripts that need more frames than their audio has
    (T' < U + repeats, or none at all), with the ids.
    """
    if corpus.characters - set(tokens.characters):
        unknown = ((u.id, tokens.unknown(u.text)) for u in corpus)
        wrong = [f"{key}: {''.join(characters)!r}" for key, characters in unknown if characters]
        raise TextError(
            f"{where}: characters outside the token table {''.join(tokens.characters)!r} in "
            f"{_listing(wrong)}; correct the transcripts or add the characters to training"
        )
    empty = np.flatnonzero(corpus.labels == 0).tolist()
    if empty and not may_be_empty:
        raise ManifestError(
            f"{where}: empty transcripts in {_listing(empty, lambda i: corpus[i].id)}; remove or "
            "fill them, or, if these recordings really hold no speech, set data.empty_text=nothing"
        )
    if len(empty) == len(corpus):
        raise ManifestError(
            f"{where}: none of the {len(corpus)} utterances has a word; expected at least one: "
            "without words there is nothing to learn to write, and no error rate"
        )

    def frames_of(i: int) -> str:
        seconds = float(corpus.durations[i])
        needed, available = max(int(corpus.labels[i]), 1), num_frames(seconds)
        return f"{corpus[i].id}: {needed} frames needed, {available} in {seconds:.2f} s"

    too_long = _too_long(corpus, num_frames)
    if too_long:
        raise ManifestError(
            f"{where}: transcripts too long for their audio in {_listing(too_long, frames_of)}; "
            "check that text and recording belong together, or lower the subsampling"
        )


def _too_long(corpus: Corpus, num_frames: Callable[[float], int]) -> list[int]:
    """Utterances whose labels need more frames than there are.

    Of all that need as many frames the shortest is asked about first; a search among the durations
    of the others finds how many are too short. An empty transcript needs a frame to be blank.
    """
    at_least = np.maximum(corpus.labels, 1)
    order = np.lexsort((corpus.durations, at_least))
    labels = at_least[order]
    starts = np.flatnonzero(np.diff(labels, prepend=-1)).tolist()
    found: list[int] = []
    for start, end in pairwise([*starts, len(order)]):
        needed = int(labels[start])
        group = order[start:end].tolist()
        first = bisect.bisect_left(
            group, needed, key=lambda i: num_frames(float(corpus.durations[i]))
        )
        found += group[:first]
    return sorted(found)


def _listing(items: Sequence[T], say: Callable[[T], str] = str) -> str:
    more = f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    noun = "utterance" if len(items) == 1 else "utterances"
    return f"{len(items)} {noun} ({'; '.join(map(say, items[:_SHOWN]))}{more})"
