"""Prefix beam search: the likeliest token sequences, each summed over its alignments.

Sources: Graves, "Supervised Sequence Labelling with Recurrent Neural Networks", 2012, section
7.5.3; Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using
Bi-Directional Recurrent DNNs", arXiv 1408.2873, 2014.

A prefix is carried with two log-probabilities over the alignments that spell it so far: of those
that end in a blank and of those that end in its last token. Only after a blank does a repeated
token begin a new one. With a beam that never fills, every sequence gets its exact probability.
Shapes: T frames, C tokens with the blank.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from asr.decode.external_scores import Nodes
from asr.decode.fusion import Fusion
from asr.decode.hypothesis import Hypothesis, checked_emissions
from asr.decode.kernel import (
    BEFORE_THE_FIRST_FRAME,
    Floats,
    search_kernel,
    search_kernel_alone,
)
from asr.decode.priors import divided_by_priors
from asr.decode.trie import Index, common_ancestor, path_to, tokens_of
from asr.errors import ConfigError
from asr.text.tokens import TokenTable

LARGEST_BEAM = 100_000
"""It takes a gigabyte for four seconds of speech."""


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
    beam_log_threshold: float | None = None
    """Prefixes that score so much less than the best of their frame are dropped; None: none are.
    Where that leaves no sentence that is allowed, `search` goes without."""
    recombine: bool = False
    """Of prefixes that no continuation can tell apart (their last tokens and all states of the
    external scorers are the same) only the best of the frame is kept. A beam then holds many more
    different ones, but those it drops are missing among the n-best. Nothing without `fusion`."""
    prior_weight: float = 0.0
    """The power of the label priors by which emissions are divided, as by `divided_by_priors`."""

    def __post_init__(self) -> None:
        if self.beam_size < 1:
            raise ConfigError(f"beam_size: expected at least 1, found {self.beam_size}")
        if self.beam_size > LARGEST_BEAM:
            raise ConfigError(f"beam_size: expected at most {LARGEST_BEAM}, found {self.beam_size}")
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
        if self.beam_log_threshold is not None and not self.beam_log_threshold > 0:
            raise ConfigError(
                "beam_log_threshold: expected a difference of natural logarithms above 0, found "
                f"{self.beam_log_threshold}"
            )
        if not 0 <= self.prior_weight < math.inf:
            raise ConfigError(
                f"prior_weight: expected a finite number, 0 or more, found {self.prior_weight}"
            )

    @classmethod
    def fast(cls, beam_size: int = 50) -> "SearchConfig":
        """Pruning for the one best text that costs no accuracy worth speaking of, and little time.

        Chosen on peaky emissions of characters, with a word 3-gram and without a language model;
        `asr tune` chooses for a model of one's own.
        """
        return cls(
            beam_size,
            token_log_threshold=math.log(1e-3),
            beam_log_threshold=10.0,
            recombine=True,
        )


def beam_search(log_probs: Tensor, beam_size: int, nbest: int = 1) -> list[Hypothesis]:
    """`search` with nothing pruned but the beam."""
    return search(log_probs, SearchConfig(beam_size=beam_size, nbest=nbest))


def search(
    log_probs: Tensor,
    config: SearchConfig,
    fusion: Fusion | None = None,
    log_priors: Sequence[float] | None = None,
) -> list[Hypothesis]:
    """Decode one utterance of emissions `(T, C)`, in float64 whatever their type.

    Returns up to `nbest` hypotheses, best first (equals by their tokens): distinct token
    sequences, and with `fusion` distinct texts. `log_score` is the log-probability of the
    sequence, summed over those of its alignments whose every prefix stayed in the beam: never
    above -`ctc_loss`, and equal to it while the beam does not fill and nothing else is pruned, of
    the emissions divided by the priors; what `fusion` adds to it is `log_language`. Without frames
    the hypothesis is empty.

    There is always one without `fusion`. There is none where no sequence is possible:
    by an automaton, by a closed vocabulary, or as far as the beam could see. Raises ConfigError
    where the emissions are not log-probabilities or not over the tokens of `fusion` and of the
    priors, which `config.prior_weight` needs, and where memory does not suffice.
    """
    running = BeamSearch(config, fusion, log_priors)
    running.feed(checked_emissions(log_probs))
    found = running.hypotheses(config.nbest)
    if not found and config.beam_log_threshold is not None:
        # What was likely so far may lead to no sentence that is allowed: then others are needed.
        wider = dataclasses.replace(config, beam_log_threshold=None)
        return search(log_probs, wider, fusion, log_priors)
    return found


class BeamSearch:
    """A search over emissions that come in parts; in how many does not change what it finds.

    Its memory grows with the beam and with the tokens that are not settled.
    """

    def __init__(
        self,
        config: SearchConfig,
        fusion: Fusion | None = None,
        log_priors: Sequence[float] | None = None,
    ) -> None:
        self.config, self.fusion, self.log_priors = config, fusion, log_priors
        self._kernel = search_kernel_alone if fusion is None else search_kernel
        self._state = BEFORE_THE_FIRST_FRAME
        self._log_acoustic = self._log_language = np.zeros(0)
        self._last_settled: tuple[int, ...] = ()

    def feed(self, emissions: Floats) -> None:
        """Search the next emissions `(T, C)`, checked ones.

        Raises ConfigError where they are not over the tokens of `fusion` and of the priors, and
        where memory does not suffice.
        """
        num_tokens = emissions.shape[1]
        if self.fusion is not None and num_tokens != len(self.fusion.table):
            raise ConfigError(
                f"log_probs: expected {len(self.fusion.table)} tokens, those of its language "
                f"models, found {num_tokens}"
            )
        config = self.config
        token_threshold, beam_threshold = config.token_log_threshold, config.beam_log_threshold
        try:
            self._state, self._log_acoustic, self._log_language = self._kernel(
                divided_by_priors(emissions, self.log_priors, config.prior_weight),
                -math.inf if token_threshold is None else float(token_threshold),
                min(config.tokens_per_frame or num_tokens, num_tokens),
                config.beam_size,
                math.inf if beam_threshold is None else float(beam_threshold),
                config.recombine,
                self._state,
                None if self.fusion is None else self.fusion.external,
            )
        except MemoryError as error:
            raise ConfigError(
                f"beam_size: expected a search of {len(emissions)} frames that fits into memory, "
                f"found a beam of {config.beam_size} prefixes; take a smaller one"
            ) from error

    def hypotheses(self, nbest: int) -> list[Hypothesis]:
        """What `search` returns if the emissions end here, without the tokens that are settled."""
        nodes, ends = self._state.trie.nodes, self._ends()
        scores = self._log_acoustic + self._log_language
        ranked = _ranked(nodes, ends, scores, self._log_language)
        if self.fusion is not None:
            ranked = _distinct(ranked, self.fusion.table, self._last_settled)
        return list(itertools.islice(ranked, nbest))

    def prefixes(self, count: int) -> list[Hypothesis]:
        """The best prefixes of the beam, without the tokens that are settled.

        Their scores are those that the search ranks them by: nothing has ended, and the estimates
        for an open word are included.
        """
        nodes, ends = self._state.trie.nodes, self._ends()
        log_language = np.zeros(len(ends))
        if self.fusion is not None:
            log_language = nodes["score"][ends] + nodes["estimate"][ends]
        scores = self._state.beam["log_total"][: len(ends)]
        return list(itertools.islice(_ranked(nodes, ends, scores, log_language), count))

    def agreed(self) -> int:
        """How many tokens all prefixes of the beam begin with: they cannot change any more."""
        nodes, ends = self._state.trie.nodes, self._ends()
        if not len(ends):
            return 0
        return len(path_to(nodes, common_ancestor(nodes, ends.tolist())))

    def tails(self, beginning: Sequence[int]) -> list[tuple[int, ...] | None]:
        """Of each prefix in the beam what follows a beginning; None where it begins otherwise."""
        nodes, beginning = self._state.trie.nodes, tuple(beginning)
        tokens = (tokens_of(nodes, end) for end in self._ends().tolist())
        size = len(beginning)
        return [one[size:] if one[:size] == beginning else None for one in tokens]

    def settle(self, count: int, kept: Sequence[bool]) -> None:
        """The first `count` tokens of the kept prefixes, which are the same, are final.

        The other prefixes are dropped.
        """
        state = self._state
        nodes, ends, chosen = state.trie.nodes, self._ends(), np.flatnonzero(kept)
        if count:
            root = path_to(nodes, int(ends[chosen[0]]))[count - 1]
            nodes["parent"][root] = -1
            self._last_settled = (int(nodes["token"][root]),)
        nodes["beam_slot"][ends] = -1
        nodes["beam_slot"][ends[chosen]] = np.arange(len(chosen))
        state.beam[: len(chosen)] = state.beam[chosen]
        self._state = state._replace(width=len(chosen))
        self._log_acoustic = self._log_acoustic[chosen]
        self._log_language = self._log_language[chosen]

    def _ends(self) -> Index:
        """The nodes of the prefixes in the beam."""
        ends: Index = self._state.beam["node"][: self._state.width]
        return ends.copy()


def search_batch(
    batch: Sequence[Tensor],
    config: SearchConfig,
    fusion: Fusion | None = None,
    threads: int = 1,
) -> list[list[Hypothesis]]:
    """`search` on each of some utterances `(T, C)`, side by side on a number of threads.

    The result does not depend on the threads. Raises ConfigError as `search` does.
    """
    if threads < 1:
        raise ConfigError(f"threads: expected at least 1, found {threads}")
    decode = partial(search, config=config, fusion=fusion)
    if threads == 1:
        return list(map(decode, batch))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(decode, batch))


def _ranked(
    nodes: Nodes, ends: Index, scores: Floats, log_language: Floats
) -> Iterator[Hypothesis]:
    """The hypotheses that end in some nodes, best first, equals by their tokens."""
    possible = np.flatnonzero(scores > -math.inf)
    order = possible[np.argsort(-scores[possible], kind="stable")]
    for score, equals in itertools.groupby(order.tolist(), key=scores.tolist().__getitem__):
        by_tokens = sorted((tokens_of(nodes, int(ends[i])), i) for i in equals)
        for tokens, i in by_tokens:
            yield Hypothesis(tokens, score, log_language=float(log_language[i]))


def _distinct(
    hypotheses: Iterator[Hypothesis], table: TokenTable, before: tuple[int, ...]
) -> Iterator[Hypothesis]:
    """Of hypotheses that have one text behind the tokens `before` them the best."""
    seen = set()
    for hypothesis in hypotheses:
        text = table.decode(before + hypothesis.tokens)
        if text not in seen:
            seen.add(text)
            yield hypothesis
