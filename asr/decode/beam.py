"""Prefix beam search: the likeliest token sequences, each summed over its alignments.

Sources: Graves, "Supervised Sequence Labelling with Recurrent Neural Networks", 2012, section
7.5.3; Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using
Bi-Directional Recurrent DNNs", arXiv 1408.2873, 2014.

A prefix is carried with two log-probabilities over the alignments that spell it so far: of those
that end in a blank and of those that end in its last token. Only after a blank does a repeated
token begin a new one. With a beam that never fills, every sequence gets its exact probability.
Shapes: T frames, C tokens with the blank, B prefixes in the beam.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asr.decode.hypothesis import Hypothesis, checked_emissions
from asr.errors import ConfigError
from asr.text.tokens import BLANK

Scores = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SearchConfig:
    """How widely to search. The default prunes nothing but the beam."""

    beam_size: int = 16
    """Prefixes kept after each frame."""
    nbest: int = 1
    """Hypotheses returned; fewer where fewer sequences are possible."""
    token_log_threshold: float | None = None
    """In each frame tokens of lower log-probability count as impossible; None: none do."""
    tokens_per_frame: int | None = None
    """In each frame all but this many likeliest tokens count as impossible; None: none do."""

    def __post_init__(self) -> None:
        if self.beam_size < 1:
            raise ConfigError(f"beam_size: expected at least 1, found {self.beam_size}")
        if not 1 <= self.nbest <= self.beam_size:
            raise ConfigError(
                f"nbest: expected 1 to {self.beam_size} (the beam size), found {self.nbest}"
            )
        if self.token_log_threshold is not None and not self.token_log_threshold <= 0:
            raise ConfigError(
                "token_log_threshold: expected a natural logarithm, 0 or less, found "
                f"{self.token_log_threshold}"
            )
        if self.tokens_per_frame is not None and self.tokens_per_frame < 1:
            raise ConfigError(
                f"tokens_per_frame: expected at least 1, found {self.tokens_per_frame}"
            )


def beam_search(log_probs: Tensor, beam_size: int, nbest: int = 1) -> list[Hypothesis]:
    """`search` with nothing pruned but the beam."""
    return search(log_probs, SearchConfig(beam_size=beam_size, nbest=nbest))


def search(log_probs: Tensor, config: SearchConfig) -> list[Hypothesis]:
    """Decode one utterance of emissions `(T, C)`, in float64 whatever their type.

    Returns up to `nbest` distinct token sequences, likeliest first (equals by their tokens), and
    always at least one. `log_score` is the log-probability of the sequence, summed over those of
    its alignments whose every prefix stayed in the beam: never above -`ctc_loss`, and equal to it
    while the beam does not fill and no token is pruned. Without frames the hypothesis is empty
    and its score 0. Raises ConfigError where the emissions are not log-probabilities.
    """
    emissions = _prune_tokens(checked_emissions(log_probs), config)
    trie = _Trie()
    beam = _Beam.start()
    for frame in emissions:
        beam = _advance(beam, frame, trie, config.beam_size)
    ranked = sorted(zip((-beam.log_total).tolist(), map(trie.sequence, beam.nodes), strict=True))
    return [Hypothesis(tokens, 0.0 - cost) for cost, tokens in ranked[: config.nbest]]


def _prune_tokens(emissions: Scores, config: SearchConfig) -> Scores:
    """The emissions with pruned tokens at -inf; the likeliest token of a frame is always kept."""
    dropped = np.zeros(emissions.shape, dtype=bool)
    if config.token_log_threshold is not None:
        dropped |= emissions < config.token_log_threshold
    if config.tokens_per_frame is not None:
        likeliest_first = np.argsort(-emissions, axis=1, kind="stable")
        np.put_along_axis(dropped, likeliest_first[:, config.tokens_per_frame :], True, axis=1)
    np.put_along_axis(dropped, emissions.argmax(axis=1, keepdims=True), False, axis=1)
    return np.where(dropped, -np.inf, emissions)


@dataclass
class _Trie:
    """Token sequences as nodes that share their beginnings; node 0 is the empty sequence.

    A sequence that left the beam keeps its node, so that it is the same prefix to its
    continuations when it comes back.
    """

    parents: list[int] = field(default_factory=lambda: [-1])
    tokens: list[int] = field(default_factory=lambda: [BLANK])
    children: dict[tuple[int, int], int] = field(default_factory=dict)

    def extend(self, node: int, token: int) -> int:
        """The node of the sequence of `node` followed by `token`."""
        child = self.children.setdefault((node, token), len(self.parents))
        if child == len(self.parents):
            self.parents.append(node)
            self.tokens.append(token)
        return child

    def sequence(self, node: int) -> tuple[int, ...]:
        """The tokens from the root to `node`."""
        reverse = []
        while node:
            reverse.append(self.tokens[node])
            node = self.parents[node]
        return tuple(reversed(reverse))


@dataclass
class _Beam:
    """The prefixes kept after a frame, likeliest first, all of them possible."""

    nodes: list[int]
    last_token: Indices
    """(B,) the token that each prefix ends in; BLANK for the empty one."""
    log_blank: Scores
    """(B,) over the alignments that end in a blank."""
    log_token: Scores
    """(B,) over the alignments that end in the last token."""
    log_total: Scores
    """(B,) over both."""

    @classmethod
    def start(cls) -> "_Beam":
        """Before the first frame: the empty prefix, as if a blank came before."""
        certain, impossible = np.zeros(1), np.full(1, -np.inf)
        return cls([0], np.full(1, BLANK), certain, impossible, certain)


def _advance(beam: _Beam, frame: Scores, trie: _Trie, beam_size: int) -> _Beam:
    """The beam after one more frame of emissions `(C,)`."""
    rows = np.arange(len(beam.nodes))
    kept_blank = beam.log_total + frame[BLANK]
    kept_token = beam.log_token + frame[beam.last_token]
    # (B, C): each prefix extended by each token; its column of the blank is the prefix itself.
    candidates = beam.log_total[:, None] + frame
    candidates[rows, beam.last_token] = beam.log_blank + frame[beam.last_token]

    row_of = {node: row for row, node in enumerate(beam.nodes)}
    parent_row = np.array([row_of.get(trie.parents[node], -1) for node in beam.nodes])
    child = np.flatnonzero(parent_row >= 0)
    # Extending a parent may spell a prefix that is in the beam already: there they merge.
    merged = parent_row[child], beam.last_token[child]
    kept_token[child] = np.logaddexp(kept_token[child], candidates[merged])
    candidates[merged] = -np.inf
    candidates[:, BLANK] = np.logaddexp(kept_blank, kept_token)

    chosen = _best(candidates.ravel(), beam_size)
    row, token = np.divmod(chosen, len(frame))
    log_total = candidates[row, token]
    kept = token == BLANK
    return _Beam(
        nodes=[
            beam.nodes[r] if t == BLANK else trie.extend(beam.nodes[r], t)
            for r, t in zip(row.tolist(), token.tolist(), strict=True)
        ],
        last_token=np.where(kept, beam.last_token[row], token),
        log_blank=np.where(kept, kept_blank[row], -np.inf),
        log_token=np.where(kept, kept_token[row], log_total),
        log_total=log_total,
    )


def _best(scores: Scores, count: int) -> Indices:
    """Indices of the `count` highest finite scores, highest first, equals by index."""
    floor = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    possible = np.flatnonzero((scores >= floor) & (scores > -np.inf))
    order: Indices = np.argsort(-scores[possible], kind="stable")[:count]
    return possible[order]
