"""The choice of decoding settings on a dev set.

First the weights: of the language model, of each word, of each unknown word. Then how widely to
search: the narrowest beam, and with it the tightest pruning, that find what the widest finds, and
that leave room for a word which the language model lacks.

A dev set has few words, and the best of many settings on it is luck: a handful of utterances
decides between neighbours. So no setting is judged alone: errors are averaged over neighbours in a
grid, and of settings that do about as well the middle one is taken. Each is judged by a search of
its own; rescoring what another setting had found would favour that one's neighbourhood.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder
from asr.decode.fusion import FusionConfig
from asr.tuning.bench import Bench, Trial

LM_WEIGHTS: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_BONUSES: tuple[float, ...] = (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
UNKNOWN_LOG_PENALTIES: tuple[float, ...] = (-20.0, -14.0, -10.0, -8.0, -6.0, -4.0, -2.0, 0.0)
MODERATE = SearchConfig(beam_size=16, token_log_threshold=-8.0, beam_log_threshold=15.0)
"""The search while weights are chosen."""
BEAM_SIZES = (4, 8, 16, 32, 64, 128)
BEAM_SIZES_ALONE = (1, *BEAM_SIZES)
"""Without knowledge of the language greedy search is tried too."""
PRUNINGS = (
    SearchConfig(),
    SearchConfig(token_log_threshold=-12.0, beam_log_threshold=20.0),
    SearchConfig(token_log_threshold=-8.0, tokens_per_frame=16, beam_log_threshold=12.0),
    SearchConfig(token_log_threshold=-6.0, tokens_per_frame=8, beam_log_threshold=8.0),
    SearchConfig(token_log_threshold=-4.0, tokens_per_frame=4, beam_log_threshold=5.0),
)
"""From none to tight: none of them does more work than the one before it."""
_REFINED = 5  # points of the fine grid between the neighbours of the coarse one's best
_LUCK = 0.01  # of the errors, and at least one error, is no difference
_ALMOST = 0.005  # of the words


@dataclass(frozen=True)
class Tuning:
    """Every search that was tried with the weights found, and the one to use."""

    trials: tuple[Trial, ...]
    """Narrow beams first; with each all `PRUNINGS` in their order."""
    changed: tuple[float, ...]
    """Of each trial the part of the words that the widest search, unpruned, has otherwise."""
    choice: Trial
    edges: tuple[str, ...]
    """The settings, with their values, of which the lowest or the highest tried was best."""


def tune(bench: Bench, decoder: Decoder) -> Tuning:
    """Choose the weights of a decoder's language model, then beam and pruning.

    What else its fusion has, and whether its vocabulary is closed, stays. Neither the number of
    threads nor a measured time has a part in the choice.
    """
    edges: list[str] = []
    if decoder.fusion is not None:
        weights, edges = _choose_weights(bench, dataclasses.replace(decoder, search=MODERATE))
        decoder = _weighted(decoder, weights)
    searches = _searches(decoder)
    trials = [
        bench.trial(dataclasses.replace(decoder, search=search))
        for row in searches
        for search in row
    ]
    widest = trials[-len(PRUNINGS)]
    changed = [bench.changed(trial, widest) for trial in trials]
    open_to_choice = np.array(changed).reshape(len(searches), -1)
    open_to_choice[:, [drops_unknown_words(pruning, decoder) for pruning in PRUNINGS]] = np.inf
    beam, pruning = narrowest(open_to_choice)
    if beam == len(searches) - 1:
        edges.append(f"beam_size {searches[beam][pruning].beam_size}")
    choice = trials[beam * len(PRUNINGS) + pruning]
    return Tuning(tuple(trials), tuple(changed), choice, tuple(edges))


def passes(decoder: Decoder) -> int:
    """How often `tune` decodes the dev set."""
    searches = sum(map(len, _searches(decoder)))
    if decoder.fusion is None:
        return searches
    penalties = 0 if decoder.fusion.config.closed_vocabulary else len(UNKNOWN_LOG_PENALTIES)
    return searches + len(LM_WEIGHTS) * len(WORD_BONUSES) + _REFINED**2 + penalties


def _searches(decoder: Decoder) -> list[list[SearchConfig]]:
    beam_sizes = BEAM_SIZES_ALONE if decoder.fusion is None else BEAM_SIZES
    return [[dataclasses.replace(p, beam_size=size) for p in PRUNINGS] for size in beam_sizes]


def _choose_weights(bench: Bench, decoder: Decoder) -> tuple[FusionConfig, list[str]]:
    """The weights, and those of them that lie at the edge of what was tried.

    Language model and words together, over a coarse grid and then a fine one within it, as the one
    makes up for what the other takes from long sentences; after them unknown words.
    """
    assert decoder.fusion is not None
    config = decoder.fusion.config

    def best(candidates: list[list[FusionConfig]]) -> FusionConfig:
        grid = [[bench.word_errors(_weighted(decoder, c)) for c in row] for row in candidates]
        row, column = plateau_middle(np.array(grid))
        return candidates[row][column]

    def grid(weights: Sequence[float], bonuses: Sequence[float]) -> list[list[FusionConfig]]:
        return [
            [dataclasses.replace(config, lm_weight=weight, word_bonus=bonus) for bonus in bonuses]
            for weight in weights
        ]

    config = best(grid(LM_WEIGHTS, WORD_BONUSES))
    weights = around(LM_WEIGHTS, config.lm_weight)
    config = best(grid(weights, around(WORD_BONUSES, config.word_bonus)))
    tried = {"lm_weight": LM_WEIGHTS, "word_bonus": WORD_BONUSES}
    if not config.closed_vocabulary:
        tried["unknown_log_penalty"] = UNKNOWN_LOG_PENALTIES
        config = best(
            [
                [dataclasses.replace(config, unknown_log_penalty=penalty)]
                for penalty in UNKNOWN_LOG_PENALTIES
            ]
        )
    chosen = {name: float(getattr(config, name)) for name in tried}
    at_edge = [name for name, value in chosen.items() if value in (tried[name][0], tried[name][-1])]
    return config, [f"{name} {chosen[name]:g}" for name in at_edge]


def _weighted(decoder: Decoder, config: FusionConfig) -> Decoder:
    """With other weights; a model of characters has the weight that one of words would have."""
    assert decoder.fusion is not None
    config = dataclasses.replace(config, character_weight=config.lm_weight)
    return dataclasses.replace(decoder, fusion=decoder.fusion.with_config(config))


def around(values: Sequence[float], value: float) -> tuple[float, ...]:
    """Finer values, from the neighbour below one of some rising values to the one above."""
    place = values.index(value)
    low, high = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
    return tuple(round(float(finer), 4) for finer in np.linspace(low, high, _REFINED))


def drops_unknown_words(search: SearchConfig, decoder: Decoder) -> bool:
    """Whether a hypothesis that has just paid for an unknown word is pruned at once.

    A dev set tells little of that: what it says is mostly in the language model.
    """
    threshold = search.beam_log_threshold
    if threshold is None or decoder.fusion is None or not decoder.fusion.external.has_words:
        return False
    config = decoder.fusion.config
    return not config.closed_vocabulary and threshold <= -config.unknown_log_penalty


def plateau_middle(errors: NDArray[np.int64]) -> tuple[int, ...]:
    """The place in a grid of errors to settle at.

    Errors are averaged with those of the neighbours. Of the places that are then as good as the
    best, or worse by no more than luck, the one nearest to their centre (of equals the better one,
    then the first).
    """
    smooth = _smoothed(errors.astype(np.float64))
    lowest = float(smooth.min())
    plateau = np.argwhere(smooth <= lowest + _luck(lowest))
    distance = ((plateau - plateau.mean(axis=0)) ** 2).sum(axis=1).round(9)
    first = np.lexsort((smooth[tuple(plateau.T)], distance))[0]
    return tuple(plateau[first].tolist())


def _smoothed(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over each place of a grid and those around it; beyond the edge, it goes on."""
    for axis in range(errors.ndim):
        margin = [(1, 1) if other == axis else (0, 0) for other in range(errors.ndim)]
        padded = np.pad(errors, margin, mode="edge")
        errors = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=axis).mean(axis=-1)
    return errors


def _luck(errors: float) -> float:
    """A difference in errors that says nothing."""
    return max(1.0, _LUCK * errors)


def narrowest(changed: NDArray[np.float64]) -> tuple[int, int]:
    """The first beam, and with it the tightest pruning, that find what the widest search does.

    `changed` is the part of the words that are found otherwise; it has a row for each beam, narrow
    ones first, and a column for each pruning, none first. Almost the same words are enough, if all
    wider and less pruned searches find them too. Word errors have no part in this: where two
    searches differ, few words of a dev set tell which of them was only lucky.
    """
    good = changed <= _ALMOST
    beams, prunings = good.shape
    return next(
        (beam, pruning)
        for beam in range(beams)
        for pruning in reversed(range(prunings))
        if good[beam:, : pruning + 1].all()
    )
