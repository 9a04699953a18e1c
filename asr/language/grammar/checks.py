"""What is wrong with a grammar whose rules are each well-formed."""

import logging
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from asr.errors import AsrError
from asr.language.automata.automaton import some
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

_log = logging.getLogger(__name__)


def check_grammar(grammar: Grammar) -> None:
    """Raise AsrError or warn as `asr.language.grammar.compiler.parse_grammar` says."""
    if not any(rule.public for rule in grammar.rules.values()):
        found = f"{len(grammar.rules)} rules, none of them public" if grammar.rules else "no rules"
        raise AsrError(
            f"{grammar.source.path}: expected a public rule such as `public <name> = word;`, found "
            f"{found}"
        )
    _refuse_undefined(grammar)
    _refuse_recursion(grammar)
    _warn_of_useless(grammar)


def _references(rule: Rule) -> Iterator[Reference]:
    return (part for part in leaves(rule.expansion) if isinstance(part, Reference))


def _refuse_undefined(grammar: Grammar) -> None:
    undefined = [
        f"<{reference.rule}> ({grammar.source.place(reference.offset)})"
        for rule in grammar.rules.values()
        for reference in _references(rule)
        if reference.rule not in grammar.rules
    ]
    if undefined:
        raise AsrError(
            f"{grammar.source.path}: expected a definition of every rule that is used, found none "
            f"of {some(undefined)}; check the spelling, or define it"
        )


def _rules_with(grammar: Grammar, word: bool) -> set[str]:
    """Rules that have a sentence; with `word` False, rules that have the empty sentence."""
    users: dict[str, list[str]] = {name: [] for name in grammar.rules}
    for rule in grammar.rules.values():
        for reference in _references(rule):
            users[reference.rule].append(rule.name)
    satisfied: set[str] = set()
    waiting = list(grammar.rules)
    while waiting:
        name = waiting.pop()
        if name not in satisfied and _holds(grammar.rules[name].expansion, satisfied, word):
            satisfied.add(name)
            waiting.extend(users[name])
    return satisfied


def _holds(expansion: Expansion, satisfied: set[str], word: bool) -> bool:
    match expansion:
        case Word():
            return word
        case Reference(rule):
            return rule in satisfied
        case Sequence(parts):
            return all(_holds(part, satisfied, word) for part in parts)
        case Choice(alternatives):
            return any(_holds(part, satisfied, word) for part in alternatives)
        case Repeat(part, required):
            return not required or _holds(part, satisfied, word)


def _refuse_recursion(grammar: Grammar) -> None:
    """Refuse a rule that leads back to itself without a word before it, or with more behind it."""
    empty = _rules_with(grammar, word=False)
    uses: dict[str, list[str]] = {}
    first_uses: dict[str, list[str]] = {}
    inner_uses: list[tuple[str, Reference]] = []
    for rule in grammar.rules.values():
        placed = list(_placed(rule.expansion, empty, first=True, last=True))
        uses[rule.name] = [reference.rule for reference, _, _ in placed]
        first_uses[rule.name] = [reference.rule for reference, first, _ in placed if first]
        inner_uses += [(rule.name, reference) for reference, _, last in placed if not last]
    cycle = _cycle(first_uses)
    if cycle:
        raise AsrError(
            f"{grammar.source.at(grammar.rules[cycle[0]].offset)}: left recursion, "
            f"{_arrows(cycle)}; a rule may lead back to itself at its end alone, after a word: "
            "write a repetition with * or + instead"
        )
    if _cycle(uses) is None:
        return
    for name, reference in inner_uses:
        way = _way(uses, reference.rule, name)
        if way:
            raise AsrError(
                f"{grammar.source.at(reference.offset)}: recursion inside a rule, "
                f"{_arrows([name, *way])}; a rule may lead back to itself at its end alone: write "
                "a repetition with * or +, or as many levels as are needed"
            )


def _placed(
    expansion: Expansion, empty: set[str], first: bool, last: bool
) -> Iterator[tuple[Reference, bool, bool]]:
    """References, whether no word need come before them, and whether nothing comes after them."""
    match expansion:
        case Reference():
            yield expansion, first, last
        case Sequence(parts):
            for i, part in enumerate(parts, start=1):
                yield from _placed(part, empty, first, last and i == len(parts))
                first = first and _holds(part, empty, word=False)
        case Choice(alternatives):
            for part in alternatives:
                yield from _placed(part, empty, first, last)
        case Repeat(part):
            yield from _placed(part, empty, first, last=False)


def _cycle(graph: Mapping[str, list[str]]) -> list[str] | None:
    """A way from some node back to itself, its first node again at its end."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]
        return cycle
    return None


def _way(graph: Mapping[str, list[str]], start: str, goal: str) -> list[str] | None:
    """The shortest way between two nodes, with both of them."""
    came_from = {start: start}
    queue = [start]
    for node in queue:  # which grows as it is gone through
        if node == goal:
            way = [goal]
            while way[-1] != start:
                way.append(came_from[way[-1]])
            return way[::-1]
        for after in graph[node]:
            if after not in came_from:
                came_from[after] = node
                queue.append(after)
    return None


def _arrows(way: list[str]) -> str:
    return " → ".join(f"<{name}>" for name in way)


def _warn_of_useless(grammar: Grammar) -> None:
    used = {rule.name for rule in grammar.rules.values() if rule.public}
    waiting = list(used)
    while waiting:
        names = {reference.rule for reference in _references(grammar.rules[waiting.pop()])}
        waiting.extend(names - used)
        used |= names
    impossible = used - _rules_with(grammar, word=True)
    unused = [rule for rule in grammar.rules.values() if rule.name not in used]
    empty = [rule for rule in grammar.rules.values() if rule.name in impossible]
    for rules, fault in (
        (unused, "no public rule uses %s; make it public, or remove it"),
        (empty, "no sentence is possible in %s: it is <VOID> or never ends"),
    ):
        if rules:
            named = [f"<{rule.name}> ({grammar.source.place(rule.offset)})" for rule in rules]
            _log.warning(f"%s: {fault}", grammar.source.path, some(named))
