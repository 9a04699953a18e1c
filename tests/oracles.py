"""Slow and plain statements of what CTC means, to hold the fast code against.

Shapes: T frames, C tokens with the blank (token 0), U target length.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Emissions = NDArray[np.float64]
Tokens = tuple[int, ...]


def log_softmax(logits: Emissions) -> Emissions:
    """Rows of `(T, C)` as log-probabilities; a row of -inf alone becomes uniform."""
    hopeless = np.isneginf(logits).all(axis=1, keepdims=True)
    logits = np.where(hopeless, 0.0, logits)
    normalised: Emissions = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return normalised


@st.composite
def emissions(draw: st.DrawFn, max_frames: int = 6, max_tokens: int = 4) -> Emissions:
    """Log-probabilities `(T, C)` of every temper: ties, impossible tokens, flat and peaky."""
    frames = draw(st.integers(0, max_frames))
    tokens = draw(st.integers(1, max_tokens))
    logit = st.one_of(
        st.just(-math.inf), st.sampled_from([0.0, 1.0]), st.floats(-3, 3), st.floats(-40, 40)
    )
    count = frames * tokens
    logits = draw(st.lists(logit, min_size=count, max_size=count))
    return log_softmax(np.array(logits, dtype=np.float64).reshape(frames, tokens))


def random_emissions(seed: int, frames: int, tokens: int, peakiness: float = 1.0) -> Emissions:
    """Log-probabilities `(T, C)` without ties."""
    generator = np.random.default_rng(seed)
    return log_softmax(generator.normal(scale=peakiness, size=(frames, tokens)))


def collapse(path: Sequence[int]) -> Tokens:
    """What an alignment spells: runs of a token count once, blanks not at all."""
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def path_scores(log_probs: Emissions) -> dict[Tokens, float]:
    """The log-probability of each of the C^T alignments."""
    frames, tokens = log_probs.shape
    return {
        path: math.fsum(log_probs[frame, token] for frame, token in enumerate(path))
        for path in itertools.product(range(tokens), repeat=frames)
    }


def sequence_scores(log_probs: Emissions) -> dict[Tokens, float]:
    """The log-probability of every possible token sequence, by summing all its alignments."""
    alignments = defaultdict(list)
    for path, score in path_scores(log_probs).items():
        alignments[collapse(path)].append(math.exp(score))
    totals = {tokens: math.fsum(terms) for tokens, terms in alignments.items()}
    return {tokens: math.log(total) for tokens, total in totals.items() if total > 0}


def forward_score(log_probs: Emissions, target: Sequence[int]) -> float:
    """The log-probability of one token sequence by the forward variables of Graves 2006."""
    states = [0, *itertools.chain.from_iterable((token, 0) for token in target)]
    alpha = np.full(len(states), -np.inf)
    alpha[0] = 0.0  # before the first frame, as if a blank came before
    for frame in log_probs:
        previous, alpha = alpha, np.full(len(states), -np.inf)
        for state, token in enumerate(states):
            sources = [previous[state]]
            if state >= 1:
                sources.append(previous[state - 1])
            if state >= 2 and token not in (0, states[state - 2]):
                sources.append(previous[state - 2])
            alpha[state] = np.logaddexp.reduce(sources) + frame[token]
    return float(np.logaddexp.reduce(alpha[-2:]))


def prefix_beam(log_probs: Emissions, beam_size: int) -> list[tuple[Tokens, float]]:
    """Prefix beam search over whole sequences in a dictionary; ties are left to chance."""
    beam: dict[Tokens, tuple[float, float]] = {(): (0.0, -math.inf)}
    for frame in log_probs.tolist():
        blank: defaultdict[Tokens, float] = defaultdict(lambda: -math.inf)
        token_: defaultdict[Tokens, float] = defaultdict(lambda: -math.inf)
        for prefix, (log_blank, log_token) in beam.items():
            total = _log_add(log_blank, log_token)
            blank[prefix] = _log_add(blank[prefix], total + frame[0])
            for token, log_prob in enumerate(frame[1:], start=1):
                repeats = prefix[-1:] == (token,)
                source = log_blank if repeats else total
                longer = (*prefix, token)
                token_[longer] = _log_add(token_[longer], source + log_prob)
                if repeats:
                    token_[prefix] = _log_add(token_[prefix], log_token + log_prob)
        totals = {p: _log_add(blank[p], token_[p]) for p in set(blank) | set(token_)}
        survivors = sorted(totals, key=lambda p: -totals[p])[:beam_size]
        beam = {p: (blank[p], token_[p]) for p in survivors if totals[p] > -math.inf}
    return [(prefix, _log_add(*scores)) for prefix, scores in beam.items()]


def _log_add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
