"""A search that runs while emissions arrive: what can no longer change is handed out as final.

All prefixes of a beam soon agree on how they begin. What they agree on is final: the beam will only
extend it. From time to time it is cut off, with its emissions, as a `Stretch`, and what is left
stays small, however long the recording is. The search itself is that of whole recordings and finds
the same, but where the beam does not agree for `LONGEST_SECONDS`: then its best prefix decides.

A stretch ends with a space, and the next one begins with the same space: the best path through the
emissions of a stretch alone is then the one that it has within the whole recording, wherever that
passes the space in the same frames. So words have the times and confidences that they have in a
whole recording. Without a space between words (`TokenTable.space`) stretches are cut in pauses;
where the best prefix had to decide, also between any two tokens. Shapes: T frames, C tokens.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asr.corpus.check import minimum_frames
from asr.decode.align import Alignment, Floats, viterbi_align
from asr.decode.confidence import VOTERS
from asr.decode.hypothesis import Hypothesis, checked_emissions
from asr.errors import ConfigError
from asr.text.tokens import BLANK, TokenTable

STEP_SECONDS = 1.0
"""How often a search looks for what has become final: at whole multiples, so that it does not
matter in which parts the emissions came."""
LONGEST_SECONDS = 20.0
"""How long a search waits for its beam to agree."""
PAUSE_SECONDS = 0.4
"""Without a space between words, stretches are cut where so long nothing is said."""
_IMPOSSIBLE = -1e4
"""Log-probability, in the emissions of a stretch, of what is impossible: a stretch is cut by the
best path, and other tokens need a path through what is left, too."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of a recording and what was said there."""

    first_frame: int
    """Of the recording."""
    log_probs: Tensor
    """The emissions `(T, C)` of the stretch. `viterbi_align` finds its first hypothesis there."""
    hypotheses: list[Hypothesis]
    """The first has the tokens that are final. The others are those that the beam held when it
    first heard them, for `word_confidences`. Scores are those from the recording's beginning."""
    shares_space: bool
    """Whether the hypotheses begin with the space that the stretch before ended with."""
    continues_word: bool
    """Whether no space is between this text and that of the stretch before."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """The final tokens behind those of the stretches before."""
        return self.hypotheses[0].tokens[self.shares_space :]


class PrefixSearch(Protocol):
    """What a streaming search is made from: `BeamSearch` and `GreedySearch`."""

    def feed(self, emissions: Floats) -> None: ...
    def hypotheses(self, nbest: int) -> list[Hypothesis]: ...
    def prefixes(self, count: int) -> list[Hypothesis]: ...
    def agreed(self) -> int: ...
    def tails(self, beginning: Sequence[int]) -> list[tuple[int, ...] | None]: ...
    def settle(self, count: int, kept: Sequence[bool]) -> None: ...


@dataclass(frozen=True)
class _Cut:
    """Where a stretch may end; frames count from the beginning of the emissions kept."""

    count: int
    """Tokens before it, without a shared space."""
    end: int
    """The frame behind the stretch."""
    begin: int
    """The first frame of the next."""
    shares_space: bool = False


class StreamingSearch:
    """One search over the emissions of a recording, which come in blocks of any size.

    `feed` returns what has become final, `finish` the rest.
    """

    def __init__(self, search: PrefixSearch, table: TokenTable, frame_seconds: float) -> None:
        self._search, self._table = search, table
        self._step = max(1, round(STEP_SECONDS / frame_seconds))
        self._longest = max(2 * self._step, round(LONGEST_SECONDS / frame_seconds))
        self._pause = max(1, round(PAUSE_SECONDS / frame_seconds))
        self._blocks: list[Floats] = [np.zeros((0, len(table)))]  # emissions of no stretch so far
        self._first_frame = 0  # of them
        self._end_frame = 0
        self._heard: list[list[Hypothesis]] = []  # the best prefixes at each step since then
        self._shared: tuple[int, ...] = ()  # the space that the next stretch begins with
        self._last_token = BLANK  # that is final

    def feed(self, log_probs: Tensor) -> list[Stretch]:
        """Search the next emissions `(T, C)`; returns the stretches that have become final.

        Raises ConfigError where they are no log-probabilities or not over the table's tokens.
        """
        emissions = checked_emissions(log_probs)
        if emissions.shape[1] != len(self._table):
            raise ConfigError(
                f"log_probs: expected {len(self._table)} tokens, found {emissions.shape[1]}"
            )
        stretches: list[Stretch] = []
        while len(emissions):
            room = self._step - self._end_frame % self._step
            block, emissions = emissions[:room], emissions[room:]
            self._search.feed(block)
            self._blocks.append(np.maximum(block, _IMPOSSIBLE))
            self._end_frame += len(block)
            if self._end_frame % self._step == 0:
                stretches += self._look_for_a_cut()
        return stretches

    def partial(self) -> Hypothesis:
        """The best tokens behind the final ones so far (and behind a shared space).

        They may still change.
        """
        best = self._search.prefixes(1) or [Hypothesis((), -math.inf)]
        return self._with_shared(best)[0]

    def flush(self) -> list[Stretch]:
        """Make the best tokens so far final, at a pause: one stretch, or none without tokens.

        Prefixes that begin otherwise are dropped.
        """
        prefixes = self._search.prefixes(VOTERS)
        if not prefixes or not prefixes[0].tokens:
            return []
        self._heard.append(prefixes)
        best = prefixes[0].tokens
        alignment = self._aligned(best)
        end = alignment.last_frames[-1] + 1
        return self._cut(_Cut(len(best), end, end), best, decided=True)

    def finish(self, nbest: int = 1) -> Stretch:
        """The rest of the recording, with up to `nbest` hypotheses as `search` returns them.

        They have the tokens behind the final ones (and a shared space), and the scores of the whole
        recording. There is none where no sequence is possible.
        """
        if not self._end_frame:
            self._search.feed(self._blocks[0])
        hypotheses = self._with_shared(self._search.hypotheses(nbest))
        tokens = hypotheses[0].tokens if hypotheses else ()
        return self._stretch(self._kept(), hypotheses, tokens)

    # Where to cut

    def _look_for_a_cut(self) -> list[Stretch]:
        prefixes = self._search.prefixes(VOTERS)
        self._heard.append(prefixes)
        best = prefixes[0].tokens if prefixes else ()
        agreed = best[: self._search.agreed()]
        is_late = self._end_frame - self._first_frame >= self._longest
        space = self._table.space
        if not is_late and not (space in agreed[1:] if space >= 0 else agreed):
            return []
        alignment = self._aligned(best)
        cut = self._cut_at_space(alignment, len(agreed))
        if cut is None and space < 0:
            cut = self._cut_in_pause(alignment, len(agreed))
        if cut is not None:
            stretches = self._cut(cut, best, decided=False)
            if stretches or not is_late:
                return stretches
        return self._cut(self._late_cut(alignment), best, decided=True) if is_late else []

    def _cut_at_space(self, alignment: Alignment, count: int) -> _Cut | None:
        """Behind the last word that ends within the first `count` tokens."""
        tokens, space, shared = alignment.tokens, self._table.space, len(self._shared)
        for i in range(shared + count - 1, 0, -1):
            if tokens[i] == space and tokens[i - 1] != space:
                # From the last token of the word on: the space may have been heard earlier.
                begin = alignment.last_frames[i - 1] + 1
                return _Cut(i + 1 - shared, alignment.last_frames[i] + 1, begin, True)
        return None

    def _cut_in_pause(self, alignment: Alignment, count: int) -> _Cut | None:
        """In the last pause behind one of the first `count` tokens."""
        for i, gap in reversed([*enumerate(self._gaps(alignment, count))]):
            if gap >= self._pause:
                return self._cut_behind(alignment, i)
        return None

    def _late_cut(self, alignment: Alignment) -> _Cut:
        """Where the best prefix decides: in the older half of the emissions kept, late in it.

        At a space if possible, else in the longest pause; where there are no tokens, at its end.
        """
        half = (self._end_frame - self._first_frame) // 2
        ends = alignment.last_frames[len(self._shared) :]
        old = sum(end < half for end in ends)
        if not old:
            return _Cut(0, half, half, bool(self._shared))
        cut = self._cut_at_space(alignment, old)
        if cut is not None and cut.begin >= half // 2:
            return cut
        early = sum(end < half // 2 for end in ends)
        if early == old:
            return _Cut(old, half, half)
        gaps = self._gaps(alignment, old)
        return self._cut_behind(alignment, max(range(early, old), key=gaps.__getitem__))

    def _gaps(self, alignment: Alignment, count: int) -> list[int]:
        """How many blank frames are behind each of the first `count` tokens."""
        edges = zip(
            alignment.last_frames[len(self._shared) :],
            [*alignment.first_frames[len(self._shared) + 1 :], self._end_frame - self._first_frame],
            strict=True,
        )
        return [first - last - 1 for last, first in itertools.islice(edges, count)]

    def _cut_behind(self, alignment: Alignment, i: int) -> _Cut:
        end = alignment.last_frames[len(self._shared) + i] + 1
        return _Cut(i + 1, end, end)

    # Cutting

    def _cut(self, cut: _Cut, best: tuple[int, ...], decided: bool) -> list[Stretch]:
        """Cut a stretch off; none if the cut leaves too few frames for what the beam holds.

        With `decided`, what does not fit is dropped. A stretch without tokens is dropped, too.
        """
        settled = best[: cut.count]
        shared = settled[-1:] if cut.count and cut.shares_space else ()
        if not cut.count:
            shared = self._shared
        frames = self._end_frame - self._first_frame - cut.begin
        tails = self._search.tails(settled)
        # One frame more: a repeated token needs a blank before it.
        fits = [
            tail is not None and (not tail or minimum_frames(shared + tail) < frames)
            for tail in tails
        ]
        if not all(fits) and not decided:
            return []
        self._search.settle(cut.count, fits)
        kept, stretches = self._kept(), []
        if settled:
            hypotheses = self._with_shared(self._voters(settled))
            stretches = [self._stretch(kept[: cut.end].copy(), hypotheses, settled)]
            self._last_token = settled[-1]
        self._heard = [
            [
                dataclasses.replace(one, tokens=one.tokens[cut.count :])
                for one in step
                if one.tokens[: cut.count] == settled
            ]
            for step in self._heard
        ]
        self._shared = shared
        self._blocks = [kept[cut.begin :].copy()]
        self._first_frame += cut.begin
        return stretches

    def _stretch(
        self, emissions: Floats, hypotheses: list[Hypothesis], tokens: tuple[int, ...]
    ) -> Stretch:
        space = self._table.space
        apart = not tokens or tokens[0] == space or self._last_token in (BLANK, space)
        return Stretch(
            self._first_frame,
            torch.from_numpy(emissions),
            hypotheses,
            shares_space=bool(self._shared),
            continues_word=not apart,
        )

    def _voters(self, settled: tuple[int, ...]) -> list[Hypothesis]:
        """The tokens of a stretch, and what else the beam held when it first had them.

        All prefixes that go on from these tokens count as one. The open last word of others is
        left out, where they have another.
        """
        count = len(settled)
        heard = next(
            step for step in self._heard if any(one.tokens[:count] == settled for one in step)
        )
        scores: dict[tuple[int, ...], Hypothesis] = {}
        for one in heard:
            tokens = settled
            if one.tokens[:count] != settled:
                tokens = _closed(one.tokens, self._table.space)
            other = scores.get(tokens)
            log_score = one.log_score
            if other is not None:
                log_score = float(np.logaddexp(log_score, other.log_score))
            log_language = one.log_language if other is None else other.log_language
            scores[tokens] = Hypothesis(tokens, log_score, log_language=log_language)
        return [scores.pop(settled), *scores.values()]

    def _with_shared(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        if not self._shared:
            return list(hypotheses)
        return [dataclasses.replace(one, tokens=self._shared + one.tokens) for one in hypotheses]

    def _kept(self) -> Floats:
        """The emissions of no stretch so far `(T, C)`."""
        self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]

    def _aligned(self, tokens: tuple[int, ...]) -> Alignment:
        """The alignment of tokens, behind a shared space, with the emissions kept."""
        return viterbi_align(torch.from_numpy(self._kept()), self._shared + tokens)


def _closed(tokens: tuple[int, ...], space: int) -> tuple[int, ...]:
    """Tokens without those behind the last space, if there is one."""
    if space not in tokens:
        return tokens
    return tokens[: len(tokens) - tokens[::-1].index(space)]
