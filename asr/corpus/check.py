"""Is this data trainable? Asked once, before any time is spent, and answered by name."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from asr.corpus.manifest import Utterance
from asr.errors import ManifestError, TextError
from asr.text.tokens import TokenTable

_SHOWN = 10


def minimum_frames(target: Sequence[int]) -> int:
    """Fewest frames on which CTC can emit a label sequence: U, and a blank between repeats."""
    repeats = sum(a == b for a, b in pairwise(target))
    return len(target) + repeats


def check_utterances(
    utterances: Sequence[Utterance],
    tokens: TokenTable,
    num_frames: Callable[[float], int],
    where: str,
) -> list[list[int]]:
    """Encode every transcript, or say which utterances stand in the way.

    `num_frames` gives the encoder's output frames T' for a duration in seconds. Raises TextError
    on characters outside the table, and ManifestError on empty transcripts and on transcripts
    that need more frames than their audio has (T' < U + repeats), with the ids.
    """
    targets: list[list[int]] = []
    wrong_text, empty, too_long = [], [], []
    for utterance in utterances:
        unknown = tokens.unknown(utterance.text)
        if unknown:
            wrong_text.append(f"{utterance.id}: {''.join(unknown)!r}")
            continue
        target = tokens.encode(utterance.text)
        targets.append(target)
        available, needed = num_frames(utterance.duration), minimum_frames(target)
        if not target:
            empty.append(utterance.id)
        elif available < needed:
            too_long.append(
                f"{utterance.id}: {needed} frames needed, {available} in {utterance.duration:.2f} s"
            )
    if wrong_text:
        raise TextError(
            f"{where}: characters outside the token table {''.join(tokens.characters)!r} in "
            f"{_listing(wrong_text)}; correct the transcripts or add the characters to training"
        )
    if empty:
        raise ManifestError(f"{where}: empty transcripts in {_listing(empty)}; remove or fill them")
    if too_long:
        raise ManifestError(
            f"{where}: transcripts too long for their audio in {_listing(too_long)}; check that "
            "text and recording belong together, or lower the subsampling"
        )
    return targets


def _listing(items: Sequence[str]) -> str:
    more = f"; and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    noun = "utterance" if len(items) == 1 else "utterances"
    return f"{len(items)} {noun} ({'; '.join(items[:_SHOWN])}{more})"
