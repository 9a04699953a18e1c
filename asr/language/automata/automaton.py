"""Deterministic automata over tokens: which token sequences a search may return at all.

Those made here are minimal, hence trimmed: from every state some sentence can be completed, so
that a search never walks into a dead end. States are numbered in the order of their discovery,
breadth first by token: equal languages have equal arrays. Shapes: S states, E edges.
"""

import heapq
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.errors import TextError
from asr.language.automata.minimise import Edges, minimised
from asr.text.tokens import TokenTable

Ints = NDArray[np.int32]

_NAMED = 5  # faults of one kind that an error names before it counts the rest


class Automaton(NamedTuple):
    """Flat arrays for compiled code; state 0 is the start."""

    first_edge: Ints
    """(S + 1,) the edges of state s are `first_edge[s]` to `first_edge[s + 1]`."""
    edge_token: Ints
    """(E,) distinct and rising within a state."""
    edge_target: Ints
    """(E,)"""
    accepting: NDArray[np.bool_]
    """(S,) whether a sentence may end here."""


@compiled
def step(automaton: Automaton, state: int, token: int) -> int:
    """The state that `token` leads to from `state`; -1 where it is not allowed."""
    low, end = automaton.first_edge[state], automaton.first_edge[state + 1]
    high = end
    while low < high:
        middle = (low + high) >> 1
        if automaton.edge_token[middle] < token:
            low = middle + 1
        else:
            high = middle
    if low < end and automaton.edge_token[low] == token:
        return int(automaton.edge_target[low])
    return -1


def minimal_automaton(edges: Edges, accepting: NDArray[np.bool_]) -> Automaton:
    """The minimal automaton of a deterministic one, whose start is state 0.

    A language without sentences gives one state without edges that does not accept.
    """
    edges, accepting = minimised(edges, accepting)
    first_edge = np.zeros(len(accepting) + 1, dtype=np.int32)
    np.cumsum(np.bincount(edges.source, minlength=len(accepting)), out=first_edge[1:])
    return Automaton(first_edge, edges.token, edges.target, accepting)


def accepts(automaton: Automaton, tokens: Iterable[int]) -> bool:
    """Whether a token sequence (no blanks) is a sentence of the automaton."""
    state = 0
    for token in tokens:
        state = step(automaton, state, token)
        if state < 0:
            return False
    return bool(automaton.accepting[state])


def sentences(automaton: Automaton, limit: int) -> list[tuple[int, ...]]:
    """The first `limit` sentences of a minimal automaton, shortest first, then by their tokens.

    Prefixes are grown in the order of the shortest sentence that each begins: none is grown in
    vain, however large the language.
    """
    missing = _tokens_to_an_end(automaton)
    found: list[tuple[int, ...]] = []
    heap: list[tuple[int, tuple[int, ...], int]] = [(missing[0], (), 0)]
    while heap and len(found) < limit:
        _, tokens, state = heapq.heappop(heap)
        if automaton.accepting[state]:
            found.append(tokens)
        for edge in range(automaton.first_edge[state], automaton.first_edge[state + 1]):
            target = int(automaton.edge_target[edge])
            longer = (*tokens, int(automaton.edge_token[edge]))
            heapq.heappush(heap, (len(longer) + missing[target], longer, target))
    return found


def _tokens_to_an_end(automaton: Automaton) -> list[int]:
    """(S,) the length of the shortest way from each state to an accepting one."""
    states = len(automaton.accepting)
    source = np.repeat(np.arange(states), np.diff(automaton.first_edge))
    missing = np.where(automaton.accepting, 0, states)
    for _ in range(states):
        shorter = missing.copy()
        np.minimum.at(shorter, source, missing[automaton.edge_target] + 1)
        if np.array_equal(shorter, missing):
            break
        missing = shorter
    lengths: list[int] = missing.tolist()
    return lengths


def spelling_trie(spellings: Sequence[Sequence[int]]) -> tuple[Automaton, Ints]:
    """The trie of token sequences and the state `(len(spellings),)` in which each of them ends.

    States are numbered so that each comes after its parent; state 0 is the root.
    """
    order = sorted(range(len(spellings)), key=lambda i: tuple(spellings[i]))
    lengths = np.array([len(spellings[i]) for i in order], dtype=np.int64)
    flat = np.array([token for i in order for token in spellings[i]], dtype=np.int32)
    starts = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
    parent, token, ends = _insert_sorted(flat, starts)
    by_parent = np.argsort(parent[1:], kind="stable").astype(np.int32)
    first_edge = np.zeros(len(parent) + 1, dtype=np.int32)
    np.cumsum(np.bincount(parent[1:], minlength=len(parent)), out=first_edge[1:])
    accepting = np.zeros(len(parent), dtype=np.bool_)
    accepting[ends] = True
    end_of = np.zeros(len(spellings), dtype=np.int32)
    end_of[order] = ends
    return Automaton(first_edge, token[1:][by_parent], by_parent + np.int32(1), accepting), end_of


@compiled
def _insert_sorted(flat: Ints, starts: NDArray[np.int64]) -> tuple[Ints, Ints, Ints]:
    """Parent and token of each state, and the end state of each of the sorted sequences."""
    parent = np.full(len(flat) + 1, -1, dtype=np.int32)
    token = np.zeros(len(flat) + 1, dtype=np.int32)
    ends = np.zeros(len(starts) - 1, dtype=np.int32)
    longest = 0
    for i in range(len(ends)):
        longest = max(longest, starts[i + 1] - starts[i])
    path = np.zeros(longest + 1, dtype=np.int32)  # states of the sequence inserted last
    states = 1
    for i in range(len(ends)):
        length = starts[i + 1] - starts[i]
        shared = 0
        if i > 0:
            before = starts[i] - starts[i - 1]
            while (
                shared < min(length, before)
                and flat[starts[i] + shared] == flat[starts[i - 1] + shared]
            ):
                shared += 1
        for depth in range(shared, length):
            parent[states] = path[depth]
            token[states] = flat[starts[i] + depth]
            path[depth + 1] = states
            states += 1
        ends[i] = path[length]
    return parent[:states], token[:states], ends


def word_list(words: Iterable[str], table: TokenTable) -> Automaton:
    """Sentences of words from a list, parted by single spaces; the empty sentence is one of them.

    With a table that has no space a sentence is one word. Raises TextError, naming words, on an
    empty list and on words that are empty, contain a space or cannot be spelt by the table.
    """
    return _word_list(((word, "") for word in words), table, "word list")


def read_word_list(path: Path | str, table: TokenTable) -> Automaton:
    """`word_list` of a UTF-8 text file with one word a line.

    A byte-order mark, CRLF, empty lines and repeated words are tolerated; there are no comments.
    Raises TextError with the line numbers as `word_list` does, and on a file that is not text.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"{path}: cannot read the word list ({error}); expected a UTF-8 text file with one "
            "word a line"
        ) from error
    words = ((line.strip(), f"line {number}: ") for number, line in enumerate(lines, start=1))
    return _word_list(((word, where) for word, where in words if word), table, str(path))


def _word_list(words: Iterable[tuple[str, str]], table: TokenTable, name: str) -> Automaton:
    """The automaton of words, each with where it stands."""
    spellings: list[list[int]] = []
    refused = []
    for word, where in words:
        fault = spelling_fault(word, table)
        if fault:
            refused.append(where + fault)
        else:
            spellings.append(table.encode(word))
    if refused:
        raise TextError(
            f"{name}: expected words in the model's characters {''.join(table.characters)!r}, "
            f"found {len(refused)} of {len(refused) + len(spellings)} that are not: "
            f"{some(refused)}; write them as the transcripts do, or remove them"
        )
    if not spellings:
        raise TextError(f"{name}: expected at least one word, found none")
    return _repeated(spelling_trie(spellings)[0], table)


def spelling_fault(word: str, table: TokenTable) -> str:
    """Why a token table cannot spell a word; empty if it can."""
    if not word or any(character.isspace() for character in word):
        return f"{word!r} is not one word"
    unknown = table.unknown(word)
    if not unknown:
        return ""
    fault = f"{word!r} has {', '.join(map(repr, unknown[:_NAMED]))}"
    for other in (word.upper(), word.lower()):
        if not table.unknown(other):
            fault += f" (the model writes {unicodedata.normalize('NFC', other)!r})"
    return fault


def some(faults: Sequence[str]) -> str:
    """Faults for a message, counted where they are many."""
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return "; ".join(faults[:_NAMED]) + more


def _repeated(trie: Automaton, table: TokenTable) -> Automaton:
    """Words of a trie with a space between each and the next.

    A new start accepts the empty sentence; the root stays for the words after the first.
    """
    states = len(trie.accepting)
    source = np.repeat(np.arange(states, dtype=np.int32), np.diff(trie.first_edge))
    from_root = slice(0, trie.first_edge[1])
    sources = [source + np.int32(1), np.zeros(trie.first_edge[1], dtype=np.int32)]
    tokens = [trie.edge_token, trie.edge_token[from_root]]
    targets = [trie.edge_target + np.int32(1), trie.edge_target[from_root] + np.int32(1)]
    if table.space >= 0:
        ends = np.flatnonzero(trie.accepting).astype(np.int32)
        sources.append(ends + np.int32(1))
        tokens.append(np.full_like(ends, table.space))
        targets.append(np.ones_like(ends))
    edges = Edges(np.concatenate(sources), np.concatenate(tokens), np.concatenate(targets))
    return minimal_automaton(edges, np.concatenate([np.ones(1, np.bool_), trie.accepting]))
