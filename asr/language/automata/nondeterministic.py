"""Nondeterministic automata, built from their end backwards, and the subset construction.

Source: Rabin & Scott, "Finite automata and their decision problems", IBM Journal of Research and
Development 3, 1959.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from asr.language.automata.automaton import Edges

END = 0
"""The state in which sentences end."""

_EPSILON = -1

Subset = tuple[int, ...]
"""States that read a token, and END; in increasing order."""


class AutomatonSizeError(Exception):
    """Building an automaton took more states than were allowed."""


class NondeterministicAutomaton:
    """States that read a token, with one edge each, and states with epsilon edges only.

    A state is made from the states that follow it, so that an expression is built from its last
    part to its first. Raises AutomatonSizeError when the states and the members of subsets together
    exceed `max_size`.
    """

    def __init__(self, max_size: int) -> None:
        self._budget = max_size
        self._token = [_EPSILON]
        self._targets: list[list[int]] = [[]]
        self._readers: dict[tuple[int, int], int] = {}
        self._closures: dict[int, Subset] = {}

    def token_state(self, token: int, target: int) -> int:
        """The state that reads `token` and continues in `target`.

        Asked twice for the same pair it returns the same state. Common endings are thereby built
        once, which keeps the result of the subset construction close to minimal.
        """
        if (token, target) not in self._readers:
            self._readers[token, target] = self._new_state(token, [target])
        return self._readers[token, target]

    def epsilon_state(self, targets: Iterable[int]) -> int:
        """A new state that continues in any of some states without reading a token."""
        return self._new_state(_EPSILON, list(targets))

    def add_epsilon(self, state: int, target: int) -> None:
        """Give a state made by `epsilon_state` one more target."""
        self._targets[state].append(target)

    def determinise(self, start: int, separator: int) -> tuple[Edges, NDArray[np.bool_]]:
        """The deterministic automaton of the sentences from `start`, without their last token.

        Every sentence but the empty one must end in `separator`, the token that is dropped. Returns
        the edges and whether each state accepts; state 0 is the start, and no edge leads to it.
        """
        subsets = [self._closure(start)]
        number: dict[Subset, int] = {}
        # Many states have moves to the same targets: looking those up first saves most unions.
        number_of_targets: dict[Subset, int] = {}
        accepting = [END in subsets[0]]
        source, token, target = [], [], []
        for origin, subset in enumerate(subsets):  # grows while it is iterated over
            for read, targets in self._moves(subset).items():
                key = tuple(targets)
                if key not in number_of_targets:
                    reached = self._union(key)
                    number_of_targets[key] = number.setdefault(reached, len(subsets))
                    if number_of_targets[key] == len(subsets):
                        subsets.append(reached)
                        accepting.append(False)
                source.append(origin)
                token.append(read)
                target.append(number_of_targets[key])
                # Dropping the separator: a sentence ends before it, not after it.
                if read == separator and END in subsets[target[-1]]:
                    accepting[origin] = True
        columns = (np.array(column, dtype=np.int32) for column in (source, token, target))
        return Edges(*columns), np.array(accepting, dtype=np.bool_)

    def _moves(self, subset: Subset) -> dict[int, list[int]]:
        """The targets of a subset's edges, by token."""
        moves: dict[int, list[int]] = {}
        for state in subset:
            if state != END:
                moves.setdefault(self._token[state], []).append(self._targets[state][0])
        return moves

    def _union(self, states: Sequence[int]) -> Subset:
        """The union of the closures of some states."""
        if len(states) == 1:
            return self._closure(states[0])
        members = [member for state in states for member in self._closure(state)]
        self._spend(len(members))
        return tuple(sorted(set(members)))

    def _closure(self, state: int) -> Subset:
        """The states that read a token, and END, that epsilon edges lead to."""
        if state == END or self._token[state] != _EPSILON:
            return (state,)
        if state not in self._closures:
            seen, stack = {state}, [state]
            while stack:
                for target in self._targets[stack.pop()]:
                    if target not in seen:
                        seen.add(target)
                        if target != END and self._token[target] == _EPSILON:
                            stack.append(target)
            self._spend(len(seen))
            readers = (s for s in sorted(seen) if s == END or self._token[s] != _EPSILON)
            self._closures[state] = tuple(readers)
        return self._closures[state]

    def _new_state(self, token: int, targets: list[int]) -> int:
        self._spend(1)
        self._token.append(token)
        self._targets.append(targets)
        return len(self._token) - 1

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise AutomatonSizeError
