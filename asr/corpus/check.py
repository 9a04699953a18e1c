"""Checks that a corpus can be trained on, before any time is spent on training."""

import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

from asr.corpus.manifest import Corpus
from asr.errors import ManifestError, TextError
from asr.text.normal import describe_characters, stray_characters
from asr.text.tags import count_tags, describe_tags, tags
from asr.text.tokens import TokenTable
from asr.text.unwritable import remedy

_SHOWN = 10
"""Utterances that a message lists; the rest is counted."""

T = TypeVar("T")


def minimum_frames(target: Sequence[int]) -> int:
    """Fewest frames in which CTC can emit a target: U, plus a blank between repeated tokens."""
    repeats = sum(a == b for a, b in pairwise(target))
    return len(target) + repeats


def check_corpus(
    corpus: Corpus,
    tokens: TokenTable,
    num_frames: Callable[[float], int],
    where: str,
    may_be_empty: bool = False,
    keep_tags: bool = False,
) -> None:
    """Refuse utterances that cannot be trained on, listing them by id.

    `num_frames` gives the number of the encoder's output frames T' for a duration in seconds and
    must not fall as durations grow. Raises TextError on characters that belong to no text, on tags
    such as `<unk>` and `[noise]` unless `keep_tags`, and on characters outside the token table, and
    ManifestError on empty transcripts (with `may_be_empty` only if there are no others) and on
    transcripts that need more frames than their audio has (T' < U + repeats, or T' = 0).
    """
    # Each check works on whole arrays; utterances are read only to list those at fault.
    _refuse_strays(corpus, where)
    if not keep_tags:
        _refuse_tags(corpus, where)
    if corpus.tokens - set(tokens.characters):
        unknown = ((u.id, tokens.unknown(u.text)) for u in corpus)
        wrong = [f"{key}: {''.join(characters)!r}" for key, characters in unknown if characters]
        advice = remedy(sorted(corpus.tokens - set(tokens.characters)), tokens)
        raise TextError(
            f"{where}: characters outside the token table {''.join(tokens.characters)!r} in "
            f"{_listing(wrong)}; {advice}, or add the characters to training"
        )
    empty = np.flatnonzero(corpus.min_frames == 0).tolist()
    if empty and not may_be_empty:
        raise ManifestError(
            f"{where}: empty transcripts in {_listing(empty, lambda i: corpus[i].id)}; remove or "
            "fill them, or set data.empty_text=nothing if these recordings really hold no speech"
        )
    if len(empty) == len(corpus):
        raise ManifestError(
            f"{where}: all {len(corpus)} transcripts are empty; expected at least one with words: "
            "without them there is nothing to train on, and no error rate"
        )

    def describe_too_long(i: int) -> str:
        seconds = float(corpus.durations[i])
        needed, available = max(int(corpus.min_frames[i]), 1), num_frames(seconds)
        return f"{corpus[i].id}: {needed} frames needed, {available} in {seconds:.2f} s"

    too_long = _too_long(corpus, num_frames)
    if too_long:
        raise ManifestError(
            f"{where}: transcripts too long for their audio in "
            f"{_listing(too_long, describe_too_long)}; check that text and recording belong "
            "together, or lower the subsampling"
        )


def _refuse_strays(corpus: Corpus, where: str) -> None:
    strays = set(stray_characters(corpus.characters))
    if strays:
        counts = Counter(c for utterance in corpus for c in utterance.text if c in strays)
        wrong = [utterance.id for utterance in corpus if strays.intersection(utterance.text)]
        raise TextError(
            f"{where}: expected text, found {describe_characters(counts)} in {_listing(wrong)}; "
            "the model would learn to write them: remove them from the transcripts"
        )


def _refuse_tags(corpus: Corpus, where: str) -> None:
    if not corpus.characters & set("<[{"):
        return
    tagged = [utterance for utterance in corpus if tags(utterance.text)]
    if tagged:
        raise TextError(
            f"{where}: expected what is said, found the tags "
            f"{describe_tags(count_tags(utterance.text for utterance in tagged))} in "
            f"{_listing([utterance.id for utterance in tagged])}; the model would learn to write "
            "them: drop or replace them (asr import manifest MANIFEST --tags drop, --replace "
            "TAG=TEXT), leave these utterances out, or set data.tags=keep to train on them as they "
            "are written"
        )


def _too_long(corpus: Corpus, num_frames: Callable[[float], int]) -> list[int]:
    """Indices of utterances whose targets need more frames than their audio has.

    `num_frames` runs through the layers of the encoder, too slow to call a million times. Among
    utterances that need the same number of frames, those that are too short come first when sorted
    by duration, and binary search finds where they end: a few calls for each number of frames.
    """
    needed_frames = np.maximum(corpus.min_frames, 1)  # an empty target still needs a blank frame
    order = np.lexsort((corpus.durations, needed_frames))
    needed_in_order = needed_frames[order]
    starts = np.flatnonzero(np.diff(needed_in_order, prepend=-1)).tolist()
    found: list[int] = []
    for start, end in pairwise([*starts, len(order)]):
        needed = int(needed_in_order[start])
        group = order[start:end].tolist()
        long_enough = bisect.bisect_left(
            group, needed, key=lambda i: num_frames(float(corpus.durations[i]))
        )
        found += group[:long_enough]
    return sorted(found)


def _listing(items: Sequence[T], describe: Callable[[T], str] = str) -> str:
    more = f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    noun = "utterance" if len(items) == 1 else "utterances"
    return f"{len(items)} {noun} ({'; '.join(map(describe, items[:_SHOWN]))}{more})"
