"""Grammars in the JSpeech Grammar Format, compiled into automata of the sentences they allow.

    #JSGF V1.0;
    grammar lights;
    public <command> = TURN (ON | OFF) [THE] LIGHTS | <dim> [PLEASE];
    <dim> = DIM TO <digit>+ PERCENT;
    <digit> = ONE | TWO | THREE;

An utterance is a sentence of any public rule. A rule may refer to itself at its very end, which is
repetition; any other recursion may not be expressible as a finite automaton and is refused. Words
are spelt as in the training transcripts, but for their case, which is the model's where it has one.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.errors import AsrError, TextError
from asr.language.automata.automaton import Automaton, Edges, trimmed_automaton
from asr.language.automata.nondeterministic import (
    END,
    AutomatonSizeError,
    NondeterministicAutomaton,
)
from asr.language.grammar.checks import check_grammar
from asr.language.grammar.jsgf import parse_jsgf
from asr.language.grammar.sentences import parse_sentences
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
from asr.language.spelling import abbreviate, in_model_case, spelling_error
from asr.text.tokens import BLANK, TokenTable

MAX_SIZE = 1_000_000
"""States after which compiling stops: it took some seconds and a quarter of a gigabyte."""


def read_grammar(path: Path | str) -> Grammar:
    """Read a grammar from a UTF-8 file, or from one ending in `.txt` a list of sentences.

    Raises AsrError as `parse_grammar` does.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AsrError(
            f"{path}: cannot read the grammar ({error}); expected a UTF-8 text file in the JSpeech "
            "Grammar Format, or ending in .txt with a sentence a line"
        ) from error
    if Path(path).suffix.lower() == ".txt" and not text.startswith("#JSGF"):
        return parse_sentences(text, str(path))
    return parse_grammar(text, str(path))


def parse_grammar(text: str, name: str = "grammar") -> Grammar:
    """Parse and check a grammar; `name` stands for it in messages.

    Warns of rules that no public rule uses and of rules that allow no sentence. Raises AsrError,
    with line and column, on text that is not JSGF, imports, undefined rules, a grammar without a
    public rule, and recursion anywhere but at the end of a rule.
    """
    grammar = parse_jsgf(text, name)
    check_grammar(grammar)
    return grammar


def compile_grammar(grammar: Grammar, table: TokenTable, max_size: int = MAX_SIZE) -> Automaton:
    """The automaton of a grammar: words separated by single spaces, in a table's tokens.

    Raises TextError on words that the table cannot spell, even in rules that no public rule uses,
    and on sentences of several words if the table has no space; AsrError on a grammar that allows
    no word, and on one that needs more than `max_size` states.
    """
    spellings = _spellings(grammar, table)
    path = grammar.source.path
    # Without a space BLANK marks the ends of words, to tell sentences of several words below.
    space = table.space if table.space >= 0 else BLANK
    try:
        builder = _Builder(grammar, spellings, space, max_size)
        automaton = trimmed_automaton(*builder.determinise())
    except AutomatonSizeError:
        raise AsrError(
            f"{path}: expected a grammar that compiles within {max_size:,} states, found that it "
            "needs more; grammars grow large through long runs of optional parts, overlapping "
            "repetitions, and rules that use other rules many times over: simplify those"
        ) from None
    if not len(automaton.edge_token):
        public = ", ".join(f"<{rule.name}>" for rule in grammar.rules.values() if rule.public)
        raise AsrError(
            f"{path}: expected a sentence with a word, found none in {public}; every way through "
            "the public rules is <NULL> or <VOID>, or never ends"
        )
    if BLANK in automaton.edge_token:
        raise TextError(
            f"{path}: the model has no space among its characters {''.join(table.characters)!r}; "
            "expected only sentences of one word, found some of several"
        )
    return automaton


class _Builder:
    """Builds the nondeterministic automaton of a grammar, from the ends of sentences backwards.

    Each word becomes its letters and a space; `determinise` drops the last space. A rule followed
    by the same state twice is built once, which closes the loop of a rule that ends in itself.
    """

    def __init__(
        self, grammar: Grammar, spellings: Mapping[str, list[int]], space: int, max_size: int
    ) -> None:
        self._grammar, self._spellings, self._space = grammar, spellings, space
        self._automaton = NondeterministicAutomaton(max_size)
        self._rule_states: dict[tuple[str, int], int] = {}
        self._pending: list[tuple[str, int, int]] = []

    def determinise(self) -> tuple[Edges, NDArray[np.bool_]]:
        """The deterministic automaton of all public rules."""
        public = [rule.name for rule in self._grammar.rules.values() if rule.public]
        start = self._automaton.epsilon_state(self._rule(name, END) for name in public)
        while self._pending:
            name, after, state = self._pending.pop()
            first = self._expansion(self._grammar.rules[name].expansion, after)
            self._automaton.add_epsilon(state, first)
        return self._automaton.determinise(start, self._space)

    def _rule(self, name: str, after: int) -> int:
        """The state in which a rule begins, followed by the state `after`.

        The rule itself is built later, from `_pending`: however deeply rules are nested, Python's
        stack does not grow with them.
        """
        if (name, after) not in self._rule_states:
            state = self._automaton.epsilon_state(())
            self._rule_states[name, after] = state
            self._pending.append((name, after, state))
        return self._rule_states[name, after]

    def _expansion(self, expansion: Expansion, after: int) -> int:
        """The state in which an expansion begins, followed by the state `after`."""
        match expansion:
            case Word(text):
                for token in [self._space, *reversed(self._spellings[text])]:
                    after = self._automaton.token_state(token, after)
                return after
            case Reference(rule):
                return self._rule(rule, after)
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._expansion(part, after)
                return after
            case Choice(alternatives):
                states = [self._expansion(a, after) for a in alternatives]
                return self._automaton.epsilon_state(states)
            case Repeat(part, required):
                again = self._automaton.epsilon_state([after])
                once = self._expansion(part, again)
                self._automaton.add_epsilon(again, once)
                return once if required else again


def _spellings(grammar: Grammar, table: TokenTable) -> dict[str, list[int]]:
    """The tokens of each word."""
    spellings: dict[str, list[int]] = {}
    errors: dict[str, str] = {}
    for rule in grammar.rules.values():
        for part in leaves(rule.expansion):
            if not isinstance(part, Word) or part.text in spellings or part.text in errors:
                continue
            if error := spelling_error(part.text, table):
                where = grammar.source.line_and_column(part.offset)
                errors[part.text] = f"{where}: {error}"
            else:
                spellings[part.text] = table.encode(in_model_case(part.text, table))
    if errors:
        raise TextError(
            f"{grammar.source.path}: expected words in the model's characters "
            f"{''.join(table.characters)!r}, found {len(errors)} that are not: "
            f"{abbreviate(list(errors.values()))}; spell them as in the training transcripts"
        )
    return spellings
