"""Greedy (best path) decoding: the likeliest token of every frame, collapsed.

Source: Graves et al., "Connectionist temporal classification", ICML 2006, section 3.2.
Shapes: N utterances, T frames, C tokens with the blank.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.decode.hypothesis import Hypothesis, checked_emissions
from asr.errors import ConfigError
from asr.text.tokens import BLANK


def greedy_search(log_probs: Tensor) -> Hypothesis:
    """Decode one utterance of emissions `(T, C)`.

    `log_score` is the log-probability of the best path alone, a lower bound on that of its tokens;
    a tie within a frame goes to the lower token. `frames` holds, for each token, the frame of its
    run where it is likeliest (the first of equals). Without frames the hypothesis is empty and its
    score 0. Raises ConfigError where the emissions are not log-probabilities.
    """
    if log_probs.dim() != 2:
        raise ConfigError(
            f"log_probs: expected the shape (frames, tokens), found {tuple(log_probs.shape)}"
        )
    return greedy_search_batch(log_probs.unsqueeze(0), torch.tensor([len(log_probs)]))[0]


def greedy_search_batch(log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
    """Decode padded emissions `(N, T, C)` of `lengths` `(N,)`, each as `greedy_search` would.

    What the padding holds does not matter. Raises ConfigError where the emissions are not
    log-probabilities, or a length does not lie in [0, T].
    """
    if log_probs.dim() != 3 or lengths.shape != log_probs.shape[:1]:
        raise ConfigError(
            "log_probs and lengths: expected the shapes (N, T, C) and (N,), found "
            f"{tuple(log_probs.shape)} and {tuple(lengths.shape)}"
        )
    lengths = lengths.to(log_probs.device)
    longest = log_probs.shape[1]
    if bool(((lengths < 0) | (lengths > longest)).any()):
        raise ConfigError(f"lengths: expected values from 0 to {longest}, found {lengths.tolist()}")
    frame_number = torch.arange(longest, device=log_probs.device)
    # The frames of all utterances, one after the other.
    emissions = checked_emissions(log_probs[frame_number < lengths.unsqueeze(1)])
    ends = lengths.cumsum(0).cpu().numpy()
    starts = ends - lengths.cpu().numpy()
    best, scores = emissions.argmax(axis=1), emissions.max(axis=1)
    peaks = _run_peaks(best, scores, starts)
    peaks = peaks[best[peaks] != BLANK]
    bounds = np.searchsorted(peaks, np.stack([starts, ends]))
    hypotheses = []
    for start, end, first, last in zip(starts, ends, *bounds, strict=True):
        emitted = peaks[first:last]
        hypotheses.append(
            Hypothesis(
                tokens=tuple(best[emitted].tolist()),
                log_score=float(scores[start:end].sum()),
                frames=tuple((emitted - start).tolist()),
            )
        )
    return hypotheses


class GreedySearch:
    """Greedy search of emissions that come in parts, with the methods of `BeamSearch`.

    Its memory grows with the frames from the last settled token on; and with all frames by 8 bytes
    each, so that the score does not depend on the parts.
    """

    def __init__(self) -> None:
        self._best, self._scores = np.zeros(0, np.int64), np.zeros(0)
        self._first_frame = 0  # of these two: where the last settled token peaks
        self._has_settled = False
        self._all_scores = [self._scores]
        self._total = 0.0

    def feed(self, emissions: NDArray[np.float64]) -> None:
        """Search the next emissions `(T, C)`, checked ones."""
        scores = emissions.max(axis=1)
        self._best = np.append(self._best, emissions.argmax(axis=1))
        self._scores = np.append(self._scores, scores)
        self._all_scores.append(scores)
        self._total += float(scores.sum())

    def hypotheses(self, nbest: int) -> list[Hypothesis]:
        """What `greedy_search` returns, without the tokens that are settled: one hypothesis."""
        return self._hypotheses(nbest, float(np.concatenate(self._all_scores).sum()))

    def prefixes(self, count: int) -> list[Hypothesis]:
        """The same, its score up to rounding."""
        return self._hypotheses(count, self._total)

    def _hypotheses(self, count: int, log_score: float) -> list[Hypothesis]:
        peaks = self._peaks()
        tokens = tuple(self._best[peaks].tolist())
        frames = tuple((peaks + self._first_frame).tolist())
        return [Hypothesis(tokens, log_score, frames)][:count]

    def agreed(self) -> int:
        """All tokens: they cannot change any more."""
        return len(self._peaks())

    def tails(self, beginning: Sequence[int]) -> list[tuple[int, ...] | None]:
        """What follows the beginning of the tokens."""
        return [tuple(self._best[self._peaks()].tolist())[len(beginning) :]]

    def settle(self, count: int, kept: Sequence[bool]) -> None:
        """The first `count` tokens are final."""
        assert len(kept) == 1
        if count:
            peak = self._peaks()[count - 1]
            self._best, self._scores = self._best[peak:], self._scores[peak:]
            self._first_frame += int(peak)
            self._has_settled = True

    def _peaks(self) -> NDArray[np.int64]:
        peaks = _run_peaks(self._best, self._scores, np.zeros(1, np.int64))
        emitted: NDArray[np.int64] = peaks[self._best[peaks] != BLANK]
        return emitted[int(self._has_settled) :]


def _run_peaks(
    tokens: NDArray[np.int64], scores: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The frame of the highest score in every run of equal tokens, the first one of equals.

    A run also ends where an utterance does; `starts` holds the first frame of each.
    """
    if not len(tokens):
        return np.zeros(0, dtype=np.int64)
    opens_run = np.diff(tokens, prepend=-1) != 0
    opens_run[starts[starts < len(tokens)]] = True
    run = np.cumsum(opens_run) - 1
    at_peak = np.flatnonzero(scores == np.maximum.reduceat(scores, np.flatnonzero(opens_run))[run])
    _, first = np.unique(run[at_peak], return_index=True)
    peaks: NDArray[np.int64] = at_peak[first]
    return peaks
