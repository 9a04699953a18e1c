"""References that allow several wordings, in the notation of NIST's sclite.

`{ UH / UM / @ }` stands for one of its alternatives, which may be nested; `@` is no word at all. A
word in parentheses, `(UH)`, may be left out, and counts as right then, as by `sclite -D`. Of the
wordings that a reference allows the one nearest to the hypothesis is scored, by sclite's costs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.errors import ManifestError

_COST = 1 << 24
_SUBSTITUTION, _INSERTION, _DELETION = 4 * _COST + 1, 3 * _COST + 1, 3 * _COST + 1
_LEFT_OUT = 2 * _COST
"""Of wordings that sclite takes for equally near, the one with fewest errors is nearer."""
_NOTATION = re.compile(r"[{}]|(?<!\S)\([^()\s]+\)(?!\S)")
_OPTIONAL = re.compile(r"\(([^()\s]+)\)")
_MAX_CELLS = 20_000_000
"""Of the table of costs, with 8 bytes each."""


@dataclass(frozen=True)
class Wording:
    """One of the wordings of a reference."""

    words: tuple[str, ...]
    """Those to be aligned with the hypothesis."""
    left_out: tuple[tuple[int, str], ...] = ()
    """Optional words that are not among them, each with the number of words before it."""


class _Arc(NamedTuple):
    """A way into a node of the network of wordings; without a word nothing is said."""

    source: int
    word: str | None = None
    optional: bool = False


def check_alternatives(reference: str) -> None:
    """Raises ManifestError on braces that do not match."""
    _network(reference)


def nearest_wording(reference: str, hypothesis: Sequence[str]) -> Wording:
    """The wording of a reference with the least cost against the words of a hypothesis.

    Raises ManifestError on braces that do not match, and where the two are too long.
    """
    if not _NOTATION.search(reference):
        return Wording(tuple(reference.split()))
    network = _network(reference)
    if len(network) * (len(hypothesis) + 1) > _MAX_CELLS:
        raise ManifestError(
            f"expected alternatives in a shorter text, found one of {len(network)} words and a "
            f"hypothesis of {len(hypothesis)}; split them into several utterances"
        )
    words: list[str] = []
    left_out: list[tuple[int, str]] = []
    for word, is_said in _best_path(network, hypothesis):
        if is_said:
            words.append(word)
        else:
            left_out.append((len(words), word))
    return Wording(tuple(words), tuple(left_out))


def without_parentheses(words: Sequence[str]) -> list[str]:
    """The words of a hypothesis, in which parentheses around a word mean nothing."""
    return [_OPTIONAL.sub(r"\1", word) if _OPTIONAL.fullmatch(word) else word for word in words]


def _network(reference: str) -> list[list[_Arc]]:
    """The arcs into each node; they come from nodes before it, from 0 to the last."""
    nodes: list[list[_Arc]] = [[]]
    current = 0
    opened: list[tuple[int, list[int]]] = []  # where the alternatives begin, and where each ends
    for item in _items(reference):
        if item == "{":
            opened.append((current, []))
        elif opened and item in ("/", "}"):
            start, ends = opened[-1]
            ends.append(current)
            current = start
            if item == "}":
                opened.pop()
                current = len(nodes)
                nodes.append([_Arc(end) for end in ends])
        elif item == "}":
            raise ManifestError(f"expected {{ before each }}, found {reference[:80]!r}")
        elif not (opened and item == "@"):
            optional = _OPTIONAL.fullmatch(item)
            nodes.append([_Arc(current, optional[1] if optional else item, bool(optional))])
            current = len(nodes) - 1
    if opened:
        raise ManifestError(f"expected }} after each {{, found {reference[:80]!r}")
    return nodes


def _items(reference: str) -> list[str]:
    """Words, braces, and the slashes between them."""
    items, depth = [], 0
    for part in re.findall(r"[{}]|[^\s{}]+", reference):
        depth += (part == "{") - (part == "}")
        items += re.findall(r"/|[^/]+", part) if depth > 0 else [part]
    return items


def _best_path(network: list[list[_Arc]], hypothesis: Sequence[str]) -> list[tuple[str, bool]]:
    """The reference's words on the path of least cost, and whether each is said.

    `costs[node, j]` is that of the paths to a node beside the first j words of the hypothesis.
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys(hypothesis))}
    heard = np.array([numbers[word] for word in hypothesis], np.int64)
    inserted = _INSERTION * np.arange(len(heard) + 1)
    costs = np.empty((len(network), len(heard) + 1), np.int64)
    costs[0] = inserted
    for node, arcs in enumerate(network[1:], start=1):
        best = np.full(len(heard) + 1, np.iinfo(np.int64).max // 2)
        for source, word, optional in arcs:
            if word is None:
                np.minimum(best, costs[source], out=best)
                continue
            np.minimum(best, costs[source] + (_LEFT_OUT if optional else _DELETION), out=best)
            said = costs[source, :-1] + np.where(heard == numbers.get(word, -1), 0, _SUBSTITUTION)
            np.minimum(best[1:], said, out=best[1:])
        # A running minimum allows for any number of insertions at this node.
        costs[node] = np.minimum.accumulate(best - inserted) + inserted
    return _traced(network, hypothesis, costs)


def _traced(
    network: list[list[_Arc]], hypothesis: Sequence[str], costs: NDArray[np.int64]
) -> list[tuple[str, bool]]:
    path = []
    node, j = len(network) - 1, len(hypothesis)
    while node > 0:
        cost = costs[node][j]
        for source, word, optional in network[node]:
            before = costs[source]
            if word is None:
                if before[j] == cost:
                    node = source
                    break
                continue
            wrong = _SUBSTITUTION if j and hypothesis[j - 1] != word else 0
            if j and before[j - 1] + wrong == cost:
                path.append((word, True))
                node, j = source, j - 1
                break
            if before[j] + (_LEFT_OUT if optional else _DELETION) == cost:
                path.append((word, not optional))
                node = source
                break
        else:
            j -= 1  # an insertion
    return path[::-1]
