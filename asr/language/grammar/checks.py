"""Checks of a parsed grammar: undefined, recursive, unused and impossible rules."""

import logging
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from asr.errors import AsrError
from asr.language.grammar.tree import (
    Choice,
    Expansion,
    Grammar,
    Reference,
    Repeat,
    Rule,
    Sequence,
    Word,
    leaves,
)
from asr.language.spelling import abbreviate

_log = logging.getLogger(__name__)


def check_grammar(grammar: Grammar) -> None:
    """Raise AsrError or warn as described in `asr.language.grammar.compiler.parse_grammar`."""
    if not any(rule.public for rule in grammar.rules.values()):
        found = f"{len(grammar.rules)} rules, none of them public" if grammar.rules else "no rules"
        raise AsrError(
            f"{grammar.source.path}: expected a public rule such as `public <name> = word;`, found "
            f"{found}"
        )
    _refuse_undefined(grammar)
    _refuse_recursion(grammar)
    _warn_of_unused_and_impossible(grammar)


def _references(rule: Rule) -> Iterator[Reference]:
    return (part for part in leaves(rule.expansion) if isinstance(part, Reference))


def _refuse_undefined(grammar: Grammar) -> None:
    undefined = [
        f"<{reference.rule}> ({grammar.source.line_and_column(reference.offset)})"
        for rule in grammar.rules.values()
        for reference in _references(rule)
        if reference.rule not in grammar.rules
    ]
    if undefined:
        raise AsrError(
            f"{grammar.source.path}: expected a definition of every rule that is used, found none "
            f"of {abbreviate(undefined)}; check the spelling, or define it"
        )


def _derivable(grammar: Grammar, with_words: bool) -> set[str]:
    """The rules that allow a sentence; without `with_words`, those that allow the empty one."""
    parts = _Parts(grammar, with_words)
    return parts.derivable()


class _Parts:
    """All parts of all rules, each with the number of its own parts that it still waits for.

    Each part is looked at once, when the last one that it waits for turns out to be derivable, so
    that the time is linear (Dowling & Gallier, "Linear-time algorithms for testing the
    satisfiability of propositional Horn formulae", 1984).
    """

    def __init__(self, grammar: Grammar, with_words: bool) -> None:
        self._with_words = with_words
        self._missing: list[int] = []
        self._above: list[int] = []
        self._users: dict[str, list[int]] = {name: [] for name in grammar.rules}
        self._rules = {self._add(r.expansion, -1): r.name for r in grammar.rules.values()}

    def _add(self, expansion: Expansion, above: int) -> int:
        number = len(self._missing)
        self._above.append(above)
        self._missing.append(1)  # of its parts, or for good
        match expansion:
            case Word():
                self._missing[number] = int(not self._with_words)
            case Reference(rule):
                self._users[rule].append(number)
            case Sequence(parts):
                self._missing[number] = len(parts)
                for part in parts:
                    self._add(part, number)
            case Choice(alternatives):
                for part in alternatives:
                    self._add(part, number)
            case Repeat(part, required):
                self._missing[number] = int(required)
                self._add(part, number)
        return number

    def derivable(self) -> set[str]:
        """The rules that are derivable."""
        found: set[str] = set()
        ready = [number for number, missing in enumerate(self._missing) if missing == 0]
        while ready:
            number = ready.pop()
            above = [self._above[number]]
            if above[0] < 0:
                found.add(self._rules[number])
                above = self._users[self._rules[number]]
            for waiting in above:
                self._missing[waiting] -= 1
                if self._missing[waiting] == 0:
                    ready.append(waiting)
        return found


def _is_derivable(expansion: Expansion, derivable: set[str], with_words: bool) -> bool:
    """Whether an expansion allows a sentence, given the rules known to allow one."""
    match expansion:
        case Word():
            return with_words
        case Reference(rule):
            return rule in derivable
        case Sequence(parts):
            return all(_is_derivable(part, derivable, with_words) for part in parts)
        case Choice(alternatives):
            return any(_is_derivable(part, derivable, with_words) for part in alternatives)
        case Repeat(part, required):
            return not required or _is_derivable(part, derivable, with_words)


def _refuse_recursion(grammar: Grammar) -> None:
    """Refuse left recursion, and recursion with anything after it.

    The grammar is then right-linear, so that a finite automaton can represent it.
    """
    empty = _derivable(grammar, with_words=False)
    uses: dict[str, list[str]] = {}
    first_uses: dict[str, list[str]] = {}
    inner_uses: list[tuple[str, Reference]] = []
    for rule in grammar.rules.values():
        references = list(_positions(rule.expansion, empty, first=True, last=True))
        uses[rule.name] = [reference.rule for reference, _, _ in references]
        first_uses[rule.name] = [reference.rule for reference, first, _ in references if first]
        inner_uses += [(rule.name, reference) for reference, _, last in references if not last]
    cycle = _cycle(first_uses)
    if cycle:
        raise AsrError(
            f"{grammar.source.location(grammar.rules[cycle[0]].offset)}: left recursion, "
            f"{_arrows(cycle)}; a rule may refer to itself only at its end, after a word: write a "
            "repetition with * or + instead"
        )
    component = _components(uses)
    for name, reference in inner_uses:
        if component[reference.rule] == component[name]:
            path = _shortest_path(uses, reference.rule, name) or []
            raise AsrError(
                f"{grammar.source.location(reference.offset)}: recursion inside a rule, "
                f"{_arrows([name, *path])}; a rule may refer to itself only at its end: write a "
                "repetition with * or +, or as many levels as are needed"
            )


def _positions(
    expansion: Expansion, empty: set[str], first: bool, last: bool
) -> Iterator[tuple[Reference, bool, bool]]:
    """References, whether each may come first, without a word before it, and whether it is last."""
    match expansion:
        case Reference():
            yield expansion, first, last
        case Sequence(parts):
            for i, part in enumerate(parts, start=1):
                yield from _positions(part, empty, first, last and i == len(parts))
                first = first and _is_derivable(part, empty, with_words=False)
        case Choice(alternatives):
            for part in alternatives:
                yield from _positions(part, empty, first, last)
        case Repeat(part):
            yield from _positions(part, empty, first, last=False)


def _cycle(graph: Mapping[str, list[str]]) -> list[str] | None:
    """A path from some node back to itself, with that node at both ends; None if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        return cycle
    return None


def _components(graph: Mapping[str, list[str]]) -> dict[str, int]:
    """A number for each node, equal for two where each can be reached from the other.

    Kosaraju's algorithm (Sharir 1981): two searches, each of which visits every edge once.
    """
    users: dict[str, list[str]] = {node: [] for node in graph}
    for node, used in graph.items():
        for other in used:
            users[other].append(node)
    order: list[str] = []
    seen: set[str] = set()
    for root in graph:
        stack = [(root, iter(graph[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            node, after = stack[-1]
            fresh = next((other for other in after if other not in seen), None)
            if fresh is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(fresh)
                stack.append((fresh, iter(graph[fresh])))
    component: dict[str, int] = {}
    for number, root in enumerate(reversed(order)):
        waiting = [] if root in component else [root]
        while waiting:
            node = waiting.pop()
            if node not in component:
                component[node] = number
                waiting += users[node]
    return component


def _shortest_path(graph: Mapping[str, list[str]], start: str, goal: str) -> list[str] | None:
    """The shortest path between two nodes, with both of them; None if there is none."""
    came_from = {start: start}
    queue = [start]
    for node in queue:  # grows while it is iterated over
        if node == goal:
            path = [goal]
            while path[-1] != start:
                path.append(came_from[path[-1]])
            return path[::-1]
        for after in graph[node]:
            if after not in came_from:
                came_from[after] = node
                queue.append(after)
    return None


def _arrows(path: list[str]) -> str:
    return " → ".join(f"<{name}>" for name in path)


def _warn_of_unused_and_impossible(grammar: Grammar) -> None:
    used = {rule.name for rule in grammar.rules.values() if rule.public}
    waiting = list(used)
    while waiting:
        names = {reference.rule for reference in _references(grammar.rules[waiting.pop()])}
        waiting.extend(names - used)
        used |= names
    impossible = used - _derivable(grammar, with_words=True)
    unused = [rule for rule in grammar.rules.values() if rule.name not in used]
    empty = [rule for rule in grammar.rules.values() if rule.name in impossible]
    for rules, problem in (
        (unused, "no public rule uses %s; make it public, or remove it"),
        (empty, "no sentence is possible in %s: a rule that is <VOID> or never ends"),
    ):
        if rules:
            named = [
                f"<{rule.name}> ({grammar.source.line_and_column(rule.offset)})" for rule in rules
            ]
            _log.warning(f"%s: {problem}", grammar.source.path, abbreviate(named))
