"""Grammars in the JSpeech Grammar Format, as automata of all that they allow.

    #JSGF V1.0;
    grammar lights;
    public <command> = TURN (ON | OFF) [THE] LIGHTS | <dim> [PLEASE];
    <dim> = DIM TO <digit>+ PERCENT;
    <digit> = ONE | TWO | THREE;

An utterance is a sentence of any public rule. A rule may lead back to itself at its very end, which
is repetition in other words; any other recursion goes beyond finite automata and is refused. Words
are spelt as the transcripts are: nothing is changed to upper or lower case.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.errors import AsrError, TextError
from asr.language.automata.automaton import Automaton, minimal_automaton, some, spelling_fault
from asr.language.automata.minimise import Edges
from asr.language.automata.nondeterministic import END, Nondeterministic, TooLargeError
from asr.language.grammar.checks import check_grammar
from asr.language.grammar.jsgf import parse_jsgf
from asr.language.grammar.tree import (
    Choice,
    Expansion,
    Grammar,
    Reference,
    Repeat,
    Sequence,
    Word,
    leaves,
)
from asr.text.tokens import BLANK, TokenTable

MAX_SIZE = 2_000_000
"""Work after which compiling stops, in states: some fifteen seconds, half a gigabyte."""


def read_grammar(path: Path | str) -> Grammar:
    """Read a grammar from a UTF-8 file. Raises AsrError as `parse_grammar` does."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AsrError(
            f"{path}: cannot read the grammar ({error}); expected a UTF-8 text file in the JSpeech "
            "Grammar Format"
        ) from error
    return parse_grammar(text, str(path))


def parse_grammar(text: str, name: str = "grammar") -> Grammar:
    """Parse and check a grammar; `name` stands for it in messages.

    Rules that no public rule uses, and rules without a sentence, are named in warnings. Raises
    AsrError with line and column on what is not JSGF, on imports, undefined rules, a grammar
    without a rule or without a public one, and recursion other than at the end of a rule.
    """
    grammar = parse_jsgf(text, name)
    check_grammar(grammar)
    return grammar


def compile_grammar(grammar: Grammar, table: TokenTable, max_size: int = MAX_SIZE) -> Automaton:
    """The minimal automaton of a grammar: words parted by single spaces, in a table's tokens.

    Raises TextError on words that the table cannot spell, also in rules that no public rule uses,
    and on sentences of several words if it has no space; AsrError on a grammar without a word to
    say, and on one that grows beyond `max_size` states.
    """
    _refuse_unspellable(grammar, table)
    path = grammar.source.path
    space = table.space if table.space >= 0 else BLANK
    try:
        builder = _Builder(grammar, table, space, max_size)
        automaton = minimal_automaton(*builder.determinised())
    except TooLargeError:
        raise AsrError(
            f"{path}: expected a grammar of at most {max_size:,} states on the way to its "
            "automaton, found more; what makes it grow are long optional parts in a row, "
            "repetitions that overlap, and rules used within rules many times"
        ) from None
    if not len(automaton.edge_token):
        public = ", ".join(f"<{rule.name}>" for rule in grammar.rules.values() if rule.public)
        raise AsrError(
            f"{path}: expected a sentence with a word, found none in {public}; each way through "
            "the public rules is <NULL>, <VOID> or without an end"
        )
    if BLANK in automaton.edge_token:
        raise TextError(
            f"{path}: the model has no space among its characters {''.join(table.characters)!r}; "
            "expected sentences of one word, found some of several"
        )
    return automaton


class _Builder:
    """Builds every expansion before what comes after it, each word as its letters and a space.

    The last space is left out at the end. A rule that comes before the same state twice is built
    once, which closes the loop of a rule that ends in itself.
    """

    def __init__(self, grammar: Grammar, table: TokenTable, space: int, max_size: int) -> None:
        self._grammar, self._table, self._space = grammar, table, space
        self._states = Nondeterministic(max_size)
        self._begun: dict[tuple[str, int], int] = {}
        self._waiting: list[tuple[str, int, int]] = []

    def determinised(self) -> tuple[Edges, NDArray[np.bool_]]:
        """The deterministic automaton of all public rules."""
        public = [rule.name for rule in self._grammar.rules.values() if rule.public]
        start = self._states.jump(self._rule(name, END) for name in public)
        while self._waiting:
            name, after, state = self._waiting.pop()
            first = self._before(self._grammar.rules[name].expansion, after)
            self._states.add_jump(state, first)
        return self._states.determinised(start, self._space)

    def _rule(self, name: str, after: int) -> int:
        """The state in which a rule begins; it is built later, however deep it lies."""
        if (name, after) not in self._begun:
            state = self._states.jump(())
            self._begun[name, after] = state
            self._waiting.append((name, after, state))
        return self._begun[name, after]

    def _before(self, expansion: Expansion, after: int) -> int:
        """The state in which an expansion begins that `after` follows."""
        match expansion:
            case Word(text):
                for token in [self._space, *reversed(self._table.encode(text))]:
                    after = self._states.arc(token, after)
                return after
            case Reference(rule):
                return self._rule(rule, after)
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._before(part, after)
                return after
            case Choice(alternatives):
                return self._states.jump([self._before(a, after) for a in alternatives])
            case Repeat(part, required):
                again = self._states.jump([after])
                once = self._before(part, again)
                self._states.add_jump(again, once)
                return once if required else again


def _refuse_unspellable(grammar: Grammar, table: TokenTable) -> None:
    faults: dict[str, str] = {}
    for rule in grammar.rules.values():
        for part in leaves(rule.expansion):
            if isinstance(part, Word) and part.text not in faults:
                fault = spelling_fault(part.text, table)
                faults[part.text] = fault and f"{grammar.source.place(part.offset)}: {fault}"
    found = list(filter(None, faults.values()))
    if found:
        raise TextError(
            f"{grammar.source.path}: expected words in the model's characters "
            f"{''.join(table.characters)!r}, found {len(found)} that are not: {some(found)}; write "
            "them as the transcripts do"
        )
