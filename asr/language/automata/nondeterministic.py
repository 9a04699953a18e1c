"""Nondeterministic automata, built from their end, and the subset construction.

Source: Rabin & Scott, "Finite automata and their decision problems", IBM Journal of Research and
Development 3, 1959.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from asr.language.automata.minimise import Edges

END = 0
"""The state in which sentences end."""

_JUMP = -1

Subset = tuple[int, ...]
"""States with an arc, and END; rising."""


class TooLargeError(Exception):
    """More work than was allowed."""


class Nondeterministic:
    """States that have either one arc, which reads a token, or jumps, which read nothing.

    What is built is named by the state it begins in, and given the state that comes after it.
    Raises TooLargeError when states and the members of subsets are more than `max_size` together.
    """

    def __init__(self, max_size: int) -> None:
        self._budget = max_size
        self._token = [_JUMP]
        self._targets: list[list[int]] = [[]]
        self._arcs: dict[tuple[int, int], int] = {}
        self._closures: dict[int, Subset] = {}

    def arc(self, token: int, target: int) -> int:
        """The state that reads `token` and goes on in `target`; one and the same for both."""
        if (token, target) not in self._arcs:
            self._arcs[token, target] = self._state(token, [target])
        return self._arcs[token, target]

    def jump(self, targets: Iterable[int]) -> int:
        """A new state that goes on in any of some states."""
        return self._state(_JUMP, list(targets))

    def add_jump(self, state: int, target: int) -> None:
        """One more way to go on from a state that `jump` made."""
        self._targets[state].append(target)

    def determinised(self, start: int, separator: int) -> tuple[Edges, NDArray[np.bool_]]:
        """The deterministic automaton of the sentences from `start`, without the last token.

        That is `separator` in each of them that is not empty. Returns its edges and where it
        accepts; it starts in state 0, where nothing leads back to.
        """
        subsets = [self._closure(start)]
        number: dict[Subset, int] = {}
        number_after: dict[Subset, int] = {}  # by the targets of some arcs
        accepting = [END in subsets[0]]
        source, token, target = [], [], []
        for origin, subset in enumerate(subsets):  # which grows as it is gone through
            for read, targets in self._moves(subset).items():
                after = tuple(targets)
                if after not in number_after:
                    reached = self._union(after)
                    number_after[after] = number.setdefault(reached, len(subsets))
                    if number_after[after] == len(subsets):
                        subsets.append(reached)
                        accepting.append(False)
                source.append(origin)
                token.append(read)
                target.append(number_after[after])
                if read == separator and END in subsets[target[-1]]:
                    accepting[origin] = True
        columns = (np.array(column, dtype=np.int32) for column in (source, token, target))
        return Edges(*columns), np.array(accepting, dtype=np.bool_)

    def _moves(self, subset: Subset) -> dict[int, list[int]]:
        """The targets of a subset's arcs, by token."""
        moves: dict[int, list[int]] = {}
        for state in subset:
            if state != END:
                moves.setdefault(self._token[state], []).append(self._targets[state][0])
        return moves

    def _union(self, states: Sequence[int]) -> Subset:
        """The closures of some states together."""
        if len(states) == 1:
            return self._closure(states[0])
        members = [member for state in states for member in self._closure(state)]
        self._spend(len(members))
        return tuple(sorted(set(members)))

    def _closure(self, state: int) -> Subset:
        """The states with an arc, and END, that a state jumps to in the end."""
        if state == END or self._token[state] != _JUMP:
            return (state,)
        if state not in self._closures:
            seen, stack = {state}, [state]
            while stack:
                for target in self._targets[stack.pop()]:
                    if target not in seen:
                        seen.add(target)
                        if target != END and self._token[target] == _JUMP:
                            stack.append(target)
            self._spend(len(seen))
            rising = (s for s in sorted(seen) if s == END or self._token[s] != _JUMP)
            self._closures[state] = tuple(rising)
        return self._closures[state]

    def _state(self, token: int, targets: list[int]) -> int:
        self._spend(1)
        self._token.append(token)
        self._targets.append(targets)
        return len(self._token) - 1

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise TooLargeError
