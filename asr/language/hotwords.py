"""Hot words: words and phrases that get a boost when the search spells them.

Source: Aho & Corasick, "Efficient string matching", CACM 18 (6), 1975: one automaton matches all
phrases in a token sequence at once. A phrase earns its boost when it is complete. Until then it has
a credit in proportion to the tokens matched so far; the credit is an estimate, taken back when the
match fails, and never part of a finished score. Shapes: S states.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled, helper
from asr.errors import ConfigError, TextError
from asr.language.automata.automaton import Automaton, spelling_trie, step
from asr.language.spelling import in_model_case
from asr.text.tokens import TokenTable

LARGEST_BOOST = 1e6
"""Beyond it acoustic scores would be lost in rounding."""


class Hotwords(NamedTuple):
    """Flat arrays for compiled code."""

    trie: Automaton
    fail: NDArray[np.int32]
    """(S,) the state of the longest proper suffix that begins a phrase; -1 for the root."""
    boost: NDArray[np.float64]
    """(S,) the sum of the boosts of phrases that are complete on entering a state."""
    credit: NDArray[np.float64]
    """(S,) the credit of a phrase matched in part, 0 or more."""
    start: int
    """The state of the empty sequence."""
    largest_gain: float
    """The most that a single token can add to boost and credit."""


def build_hotwords(phrases: Mapping[str, float], table: TokenTable) -> Hotwords:
    """The automaton of phrases and their boosts (natural logarithms; negative ones are penalties).

    A phrase counts each time it occurs as whole words, also inside another phrase; the ends of an
    utterance count as spaces. With a table without a space it counts wherever its characters occur.
    Raises TextError and ConfigError as `spell_hotword` does.
    """
    space = table.space
    spellings, boosts = [], []
    for phrase, boost in phrases.items():
        spelling = spell_hotword(phrase, boost, table)
        spellings.append([space, *spelling, space] if space >= 0 else spelling)
        boosts.append(float(boost))
    trie, ends = spelling_trie(spellings)
    own = np.zeros(len(trie.accepting))
    np.add.at(own, ends, boosts)
    credit = _credits(trie, spellings, boosts, progress_from=1 if space >= 0 else 0)
    fail = np.full(len(own), -1, dtype=np.int32)
    _add_failure_links(trie, own, credit, fail, np.zeros(len(own), dtype=np.int32))
    start = max(int(step.py_func(trie, 0, space)), 0) if space >= 0 else 0
    gain = float(own.max(initial=0.0) + credit.max(initial=0.0))
    return Hotwords(trie, fail, own, credit, start, gain)


def spell_hotword(phrase: str, boost: float, table: TokenTable) -> list[int]:
    """The tokens of a phrase.

    Raises TextError if the table cannot spell it, and ConfigError on a boost that is not a number
    of at most `LARGEST_BOOST` in size.
    """
    if not abs(boost) <= LARGEST_BOOST:
        raise ConfigError(
            f"hot word {phrase!r}: expected a boost from {-LARGEST_BOOST:g} to "
            f"{LARGEST_BOOST:g}, found {boost}"
        )
    text = in_model_case(" ".join(phrase.split()), table)
    unknown = table.unknown(text)
    if unknown or not text:
        found = ", ".join(map(repr, unknown)) or "no characters"
        raise TextError(
            f"hot word {phrase!r}: expected characters among the recogniser's "
            f"{''.join(table.characters)!r}, found {found}; spell it as in the training transcripts"
        )
    return table.encode(text)


def _credits(
    trie: Automaton, spellings: list[list[int]], boosts: list[float], progress_from: int
) -> NDArray[np.float64]:
    """(S,) the highest credit of the phrases that go through a state without ending in it."""
    credit = np.zeros(len(trie.accepting))
    for spelling, boost in zip(spellings, boosts, strict=True):
        state = 0
        for depth, token in enumerate(spelling[:-1], start=1):
            state = step.py_func(trie, state, token)
            progress = (depth - progress_from) / (len(spelling) - progress_from)
            credit[state] = max(credit[state], boost * progress)
    return credit


@helper
def follow(trie: Automaton, fail: NDArray[np.int32], state: int, token: int) -> int:
    """The state of the longest suffix of the sequence that begins a phrase."""
    while state >= 0:
        target = step(trie, state, token)
        if target >= 0:
            return target
        state = fail[state]
    return 0


@compiled
def _add_failure_links(
    trie: Automaton,
    boost: NDArray[np.float64],
    credit: NDArray[np.float64],
    fail: NDArray[np.int32],
    queue: NDArray[np.int32],
) -> None:
    """Set the failure links; add to boosts and credits those along the links.

    Breadth first: the failure state of a state, being less deep, is complete before it is used.

    `fail` begins with -1 and `queue` with 0 everywhere.
    """
    filled = 1
    for head in range(len(fail)):
        state = queue[head]
        for edge in range(trie.first_edge[state], trie.first_edge[state + 1]):
            child = trie.edge_target[edge]
            fail[child] = follow(trie, fail, fail[state], trie.edge_token[edge])
            boost[child] += boost[fail[child]]
            if credit[fail[child]] > credit[child]:
                credit[child] = credit[fail[child]]
            queue[filled] = child
            filled += 1
