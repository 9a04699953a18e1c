"""The choice of decoding settings by their errors on a dev set.

Weights and pruning are chosen in turns, since the best weights depend on what the search lets pass:

1. the weights of the language model and the word bonus together, over a coarse grid, that of the
   label priors with another word bonus, the first two again over a fine grid, the cost of an
   unknown word and that of an empty one; by a moderate search;
2. the pruning (threshold of tokens by threshold of prefixes, with and without recombination), then
   the beam;
3. the weights again, close to those of step 1, by the search of step 2;
4. the pruning and the beam again.

Errors decide, not likeness to the widest search: a wide one also finds likely nonsense that the
noise of the emissions makes possible. They are smoothed (`asr.tuning.plateau`). Of weights that are
then as good the middle ones are taken, away from where errors rise; of searches narrow ones, with
some reserve. Each setting is judged by a search of its own; rescoring what another one found would
favour its neighbourhood. Neither the number of threads nor a measured time matters for the choice.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.decode.beam import SearchConfig
from asr.decode.decoder import GREEDY, Decoder
from asr.decode.fusion import FusionConfig
from asr.tuning.dev_set import DecodingTrial, DevEvaluator, count_unknown_words
from asr.tuning.plateau import finer, luck, plateau_middle, plateau_narrowest, smoothed
from asr.tuning.priors import PRIOR_WEIGHTS

LM_WEIGHTS: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORD_BONUSES: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
BONUSES_ALONE: tuple[float, ...] = (
    -8.0,
    -6.0,
    -4.0,
    -3.0,
    -2.0,
    -1.0,
    0.0,
    1.0,
    2.0,
    3.0,
    4.0,
    6.0,
)
"""With a grammar or word list, where there is no language model."""
UNKNOWN_LOG_PENALTIES: tuple[float, ...] = (-16.0, -14.0, -12.0, -10.0, -8.0, -6.0, -4.0, -2.0, 0.0)
EMPTY_WORD_LOG_PENALTIES: tuple[float, ...] = (-20.0, -14.0, -10.0, -6.0, -3.0, -1.0, 0.0)
MODERATE = SearchConfig(
    beam_size=16, token_log_threshold=-8.0, beam_log_threshold=15.0, recombine=True
)
"""The search while weights are first chosen."""
TOKEN_LOG_THRESHOLDS: tuple[float, ...] = (-12.0, -10.0, -8.0, -7.0, -6.0, -5.0, -4.0)
BEAM_LOG_THRESHOLDS: tuple[float, ...] = (20.0, 16.0, 14.0, 12.0, 10.0, 8.0, 6.0)
BEAM_SIZES = (128, 64, 32, 16, 8, 4)
BEAM_SIZES_ALONE = (*BEAM_SIZES, 1)
"""Without a language model greedy search is tried too."""
_BEAM_RESERVE = 2
"""The beam is so many steps of `BEAM_SIZES` wider than it has to be: speech that is harder than the
dev set needs more hypotheses, which cost little beside the encoder."""
PRUNED_AT_BEAM = 32
"""The beam while the pruning is chosen."""
ENOUGH_UNKNOWN_WORDS = 20
"""With fewer in the dev set its errors tell little of what pruning does to unknown words."""
_BONUS_CHANGES = (-3.0, -2.0, -1.0, 0.0, 1.0)
"""To the word bonus, tried with each weight of the priors, which favour more letters and words."""
_FINE = 5
"""Points of a fine grid along each axis."""
_LEAN = 0.5
"""Of prunings that are as good the one halfway from the middle to the narrowest is taken: it is
fast, and leaves room for speech that is harder than the dev set."""
_WEIGHT_STEP, _BONUS_STEP = 0.1, 0.5
"""Of the fine grid in step 3."""


@dataclass(frozen=True)
class Tuning:
    """Every search that was tried with the weights found, and the one to use."""

    trials: tuple[DecodingTrial, ...]
    """First the prunings at one beam: all thresholds of prefixes, wide ones first, for each
    threshold of tokens; then the beams with the pruning found."""
    choice: DecodingTrial
    edges: tuple[str, ...]
    """The settings, with their values, of which the lowest or the highest tried was best."""


def tune(evaluator: DevEvaluator, decoder: Decoder) -> Tuning:
    """Choose the weights and the search of a decoder.

    What else its fusion has, and whether its vocabulary is closed, stays.
    """
    if decoder.fusion is None:
        return _choose_search(evaluator, decoder, (False,))
    decoder = dataclasses.replace(decoder, search=MODERATE)
    decoder, bonuses = _choose_weights(evaluator, decoder)
    decoder = _choose_search(evaluator, decoder, (False, True)).choice.decoder
    decoder = _refine_weights(evaluator, decoder)
    tuning = _choose_search(evaluator, decoder, (decoder.search.recombine,))
    return dataclasses.replace(tuning, edges=(*_weights_at_edges(decoder, bonuses), *tuning.edges))


def passes(decoder: Decoder) -> int:
    """How often `tune` decodes the dev set."""
    prunings = len(TOKEN_LOG_THRESHOLDS) * len(BEAM_LOG_THRESHOLDS)
    beams = len(_beam_sizes(decoder))
    if decoder.fusion is None:
        return prunings + beams
    penalties = sum(map(len, _penalties(decoder).values()))
    first = len(BONUSES_ALONE) + _FINE
    second = _FINE
    if _has_model(decoder):
        first, second = len(LM_WEIGHTS) * len(WORD_BONUSES) + _FINE**2, _FINE**2
    if decoder.log_priors is not None:
        first += len(PRIOR_WEIGHTS) * len(_BONUS_CHANGES)
    return first + second + 2 * penalties + 3 * prunings + 2 * beams


# --- Weights


def _has_model(decoder: Decoder) -> bool:
    """Whether there is a language model to weigh."""
    known = decoder.fusion and decoder.fusion.external
    return bool(known and (known.has_words or known.has_characters))


def _penalties(decoder: Decoder) -> dict[str, tuple[float, ...]]:
    """The costs that are chosen after the weights, each with the values to try."""
    assert decoder.fusion is not None
    if not decoder.fusion.external.has_words:
        return {}
    empty = {"empty_word_log_penalty": EMPTY_WORD_LOG_PENALTIES}
    if decoder.fusion.config.closed_vocabulary:
        return empty
    return {"unknown_log_penalty": UNKNOWN_LOG_PENALTIES, **empty}


def _choose_weights(evaluator: DevEvaluator, decoder: Decoder) -> tuple[Decoder, tuple[float, ...]]:
    """The decoder with the best weights of all that are tried, and the word bonuses among these.

    Language model and words together, as the one makes up for what the other takes from long
    sentences.
    """
    weights, bonuses = _pairs_to_try(decoder)
    decoder = _best_pair(evaluator, decoder, weights, bonuses)
    without_priors = _config(decoder).word_bonus
    decoder = _best_prior_weight(evaluator, decoder)
    config = _config(decoder)
    bonuses = tuple(bonus + config.word_bonus - without_priors for bonus in bonuses)
    if len(weights) > 1:
        weights = finer(weights, config.lm_weight, _FINE)
    fine = finer(bonuses, config.word_bonus, _FINE)
    decoder = _best_pair(evaluator, decoder, weights, fine)
    return _best_penalties(evaluator, decoder), bonuses


def _best_prior_weight(evaluator: DevEvaluator, decoder: Decoder) -> Decoder:
    """The decoder with the best weight of the priors, if it has any, and the word bonus for it."""
    if decoder.log_priors is None:
        return decoder
    config = _config(decoder)
    bonuses = [config.word_bonus + change for change in _BONUS_CHANGES]
    candidates = [
        [
            _weighted(
                _with_prior_weight(decoder, weight), dataclasses.replace(config, word_bonus=bonus)
            )
            for bonus in bonuses
        ]
        for weight in PRIOR_WEIGHTS
    ]
    errors = [[evaluator.word_errors(candidate) for candidate in row] for row in candidates]
    row, column = plateau_middle(np.array(errors))
    return candidates[row][column]


def _with_prior_weight(decoder: Decoder, weight: float) -> Decoder:
    search = dataclasses.replace(decoder.search, prior_weight=weight)
    return dataclasses.replace(decoder, search=search)


def _pairs_to_try(decoder: Decoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The coarse grid: weights of the language model, which may be missing, and word bonuses."""
    if _has_model(decoder):
        return LM_WEIGHTS, WORD_BONUSES
    return (_config(decoder).lm_weight,), BONUSES_ALONE


def _weights_at_edges(decoder: Decoder, bonuses: Sequence[float]) -> list[str]:
    """The weights that lie at, or beyond, the edge of what was tried."""
    weights, _ = _pairs_to_try(decoder)
    tried = {"lm_weight": weights, "word_bonus": bonuses}
    if len(weights) == 1:
        del tried["lm_weight"]
    if "unknown_log_penalty" in _penalties(decoder):
        tried["unknown_log_penalty"] = UNKNOWN_LOG_PENALTIES
    found = {name: float(getattr(_config(decoder), name)) for name in tried}
    return [
        f"{name} {value:g}"
        for name, value in found.items()
        if not tried[name][0] < value < tried[name][-1]
    ]


def _refine_weights(evaluator: DevEvaluator, decoder: Decoder) -> Decoder:
    """The decoder with weights close to its own that suit its search."""
    config = _config(decoder)
    weights: tuple[float, ...] = (config.lm_weight,)
    if _has_model(decoder):
        weights = tuple(max(0.0, weight) for weight in _around(config.lm_weight, _WEIGHT_STEP))
    bonuses = _around(config.word_bonus, _BONUS_STEP)
    decoder = _best_pair(evaluator, decoder, weights, bonuses)
    return _best_penalties(evaluator, decoder)


def _around(value: float, step: float) -> tuple[float, ...]:
    return tuple(round(value + step * (i - _FINE // 2), 4) for i in range(_FINE))


def _best_pair(
    evaluator: DevEvaluator, decoder: Decoder, weights: Sequence[float], bonuses: Sequence[float]
) -> Decoder:
    config = _config(decoder)
    return _best(
        evaluator,
        decoder,
        [
            [dataclasses.replace(config, lm_weight=weight, word_bonus=bonus) for bonus in bonuses]
            for weight in weights
        ],
    )


def _best_penalties(evaluator: DevEvaluator, decoder: Decoder) -> Decoder:
    for name, values in _penalties(decoder).items():
        settings = dataclasses.asdict(_config(decoder))
        candidates = [[FusionConfig(**{**settings, name: value})] for value in values]
        decoder = _best(evaluator, decoder, candidates)
    return decoder


def _best(
    evaluator: DevEvaluator, decoder: Decoder, candidates: list[list[FusionConfig]]
) -> Decoder:
    grid = [[evaluator.word_errors(_weighted(decoder, c)) for c in row] for row in candidates]
    row, column = plateau_middle(np.array(grid))
    return _weighted(decoder, candidates[row][column])


def _config(decoder: Decoder) -> FusionConfig:
    assert decoder.fusion is not None
    return decoder.fusion.config


def _weighted(decoder: Decoder, config: FusionConfig) -> Decoder:
    """With other weights; a model of characters has the weight that one of words would have."""
    assert decoder.fusion is not None
    config = dataclasses.replace(config, character_weight=config.lm_weight)
    return dataclasses.replace(decoder, fusion=decoder.fusion.with_config(config))


# --- Search


def _beam_sizes(decoder: Decoder) -> tuple[int, ...]:
    return BEAM_SIZES_ALONE if decoder.fusion is None else BEAM_SIZES


def _choose_search(evaluator: DevEvaluator, decoder: Decoder, recombine: Sequence[bool]) -> Tuning:
    """Choose the pruning at a middling beam, then the beam; the weights stay."""
    allowed = _allowed_prunings(evaluator, decoder)
    grids = [_pruning_trials(evaluator, decoder, merging) for merging in recombine]
    errors = [np.array([[trial.word_errors for trial in row] for row in grid]) for grid in grids]
    lowest = [float(smoothed(grid.astype(np.float64))[allowed].min()) for grid in errors]
    # Recombining is faster, but it thins out the n-best: it has to make fewer errors, too.
    best = len(grids) - 1 if lowest[-1] + luck(lowest[-1]) < lowest[0] else 0
    row, column = plateau_middle(errors[best], allowed, _LEAN)
    pruning = grids[best][row][column].decoder.search
    beams = [
        evaluator.trial(dataclasses.replace(decoder, search=_with_beam(pruning, size)))
        for size in _beam_sizes(decoder)
    ]
    narrowest = plateau_narrowest(np.array([trial.word_errors for trial in beams]))
    is_greedy = beams[narrowest].decoder.is_greedy
    place = narrowest if is_greedy else max(0, narrowest - _BEAM_RESERVE)
    edges = []
    if narrowest == 0:
        edges.append(f"beam_size {beams[0].decoder.search.beam_size}")
    if row == 0:
        edges.append(f"token_log_threshold {pruning.token_log_threshold:g}")
    if column == 0:
        edges.append(f"beam_log_threshold {pruning.beam_log_threshold:g}")
    trials = (*(trial for row in grids[best] for trial in row), *beams)
    return Tuning(trials, beams[place], tuple(edges))


def _pruning_trials(
    evaluator: DevEvaluator, decoder: Decoder, recombine: bool
) -> list[list[DecodingTrial]]:
    return [
        [
            evaluator.trial(
                dataclasses.replace(
                    decoder,
                    search=SearchConfig(
                        PRUNED_AT_BEAM,
                        token_log_threshold=token_log_threshold,
                        beam_log_threshold=beam_log_threshold,
                        recombine=recombine,
                        prior_weight=decoder.search.prior_weight,
                    ),
                )
            )
            for beam_log_threshold in BEAM_LOG_THRESHOLDS
        ]
        for token_log_threshold in TOKEN_LOG_THRESHOLDS
    ]


def _with_beam(pruning: SearchConfig, beam_size: int) -> SearchConfig:
    return GREEDY if beam_size == 1 else dataclasses.replace(pruning, beam_size=beam_size)


def _allowed_prunings(evaluator: DevEvaluator, decoder: Decoder) -> NDArray[np.bool_]:
    """Which of the prunings, by threshold of tokens and of prefixes, may be chosen.

    Where the dev set has few unknown words its errors do not tell what becomes of them: then a
    hypothesis that has just paid for one must not be pruned for that alone.
    """
    allowed = np.ones((len(TOKEN_LOG_THRESHOLDS), len(BEAM_LOG_THRESHOLDS)), bool)
    fusion = decoder.fusion
    if fusion is None or not fusion.external.has_words or fusion.config.closed_vocabulary:
        return allowed
    if count_unknown_words(evaluator.dev.references, fusion) < ENOUGH_UNKNOWN_WORDS:
        allowed[:, np.array(BEAM_LOG_THRESHOLDS) <= -fusion.config.unknown_log_penalty] = False
    return allowed
