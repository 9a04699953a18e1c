"""A parser of the JSpeech Grammar Format (JSGF).

Source: Hunt, "JSpeech Grammar Format", W3C Note, 2000. Not supported: `import`, which is an error.
Tags do not change which sentences are allowed and are ignored. Weights are ignored with a warning,
except for 0, which makes an alternative impossible.
"""

import logging
import math
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from asr.errors import AsrError
from asr.language.grammar.tree import (
    NULL,
    VOID,
    Choice,
    Expansion,
    Grammar,
    Reference,
    Repeat,
    Rule,
    Sequence,
    Source,
    Word,
)

_log = logging.getLogger(__name__)

_MAX_DEPTH = 50  # of nested groups
_SPECIAL: dict[str, Expansion] = {"NULL": NULL, "VOID": VOID}


class _Lexeme(NamedTuple):
    kind: str
    text: str
    offset: int


_LEXEME = re.compile(
    r"""
    (?P<ignored> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<tag> \{ (?: \\. | [^\\{}] )* \} )
  | (?P<quoted> " (?: \\. | [^\\"\n] )* " )
  | (?P<weight> / [^/*\n]+ / )
  | (?P<rule> < [^<>\s]+ > )
  | (?P<symbol> [;=|()\[\]*+] )
  | (?P<word> [^\s;=|()\[\]*+<>{}/"\\]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_UNREADABLE = {
    "{": "expected a tag that ends in '}'",
    '"': "expected a quoted word that ends in '\"' on its line",
    "<": "expected a rule's name in angle brackets, without spaces",
    "/": "expected a weight such as /0.5/ or a closed comment; quote a word that contains /",
    "\\": "expected a word; quote one that contains a backslash",
}


def parse_jsgf(text: str, path: str) -> Grammar:
    """Parse the rules of a grammar, without checking references; `path` is its name in messages.

    A quoted word with spaces in it counts as several words. Raises AsrError, with line and column,
    on text that is not JSGF, on imports, and on a rule that is defined twice.
    """
    return _Parser(Source(path, text)).grammar()


def _lexemes(source: Source) -> Iterator[_Lexeme]:
    offset = 0
    while offset < len(source.text):
        match = _LEXEME.match(source.text, offset)
        if match is None:
            found = source.text[offset]
            expected = _UNREADABLE.get(found, "expected a rule")
            raise AsrError(f"{source.location(offset)}: {expected}, found {found!r}")
        kind = str(match.lastgroup)
        if kind != "ignored":
            yield _Lexeme(kind, match[0], offset)
        offset = match.end()
    yield _Lexeme("end", "", offset)


class _Parser:
    """A recursive-descent parser: each method consumes what it is named after.

    `_next` is the first lexeme not consumed yet.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lexemes = _lexemes(source)
        self._next = next(self._lexemes)
        self._weights = 0

    def grammar(self) -> Grammar:
        self._header()
        rules: dict[str, Rule] = {}
        while self._next.kind != "end":
            rule = self._rule()
            if rule.name in rules:
                self._fail(
                    f"the rule <{rule.name}> is already defined at "
                    f"{self._source.location(rules[rule.name].offset)}; rename one of them",
                    rule.offset,
                )
            rules[rule.name] = rule
        if self._weights:
            _log.warning(
                "%s: ignoring %d weights: all sentences of the grammar are equally likely",
                self._source.path,
                self._weights,
            )
        return Grammar(self._source, rules)

    def _header(self) -> None:
        if self._next.text == "#JSGF":
            self._take()
            if self._next.text != "V1.0":
                self._expected("'V1.0'")
            while self._next.kind == "word":  # the encoding and the language may follow
                self._take()
            self._symbol(";")
        if self._next.text == "grammar":
            self._take()
            if self._next.kind != "word":
                self._expected("the grammar's name")
            self._take()
            self._symbol(";")
        if self._next.text == "import":
            self._fail("imports are not supported; copy the rules into this file")

    def _rule(self) -> Rule:
        public = self._next.text == "public"
        if public:
            self._take()
        if self._next.kind != "rule":
            self._expected("a rule such as `public <name> = word;`")
        name = self._take()
        if name.text[1:-1] in _SPECIAL:
            self._fail(f"{name.text} is a reserved name; choose another name", name.offset)
        self._symbol("=")
        expansion = self._choice(0)
        self._symbol(";")
        return Rule(name.text[1:-1], expansion, public, name.offset)

    def _choice(self, depth: int) -> Expansion:
        alternatives = [self._alternative(depth)]
        while self._next.text == "|":
            self._take()
            alternatives.append(self._alternative(depth))
        return alternatives[0] if len(alternatives) == 1 else Choice(tuple(alternatives))

    def _alternative(self, depth: int) -> Expansion:
        possible = self._weight() if self._next.kind == "weight" else True
        parts = [self._part(depth)]
        while self._next.kind in ("word", "quoted", "rule") or self._next.text in ("(", "["):
            parts.append(self._part(depth))
        parts = [part for part in parts if part != NULL]
        return (parts[0] if len(parts) == 1 else Sequence(tuple(parts))) if possible else VOID

    def _weight(self) -> bool:
        """Read a weight and return whether it is above 0."""
        lexeme = self._take()
        try:
            weight = float(lexeme.text.strip("/"))
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            self._fail(
                f"expected a weight such as /0.5/, 0 or more, found {lexeme.text!r}", lexeme.offset
            )
        self._weights += weight > 0
        return weight > 0

    def _part(self, depth: int) -> Expansion:
        part = self._unit(depth)
        repeated = False
        while self._next.kind == "tag" or self._next.text in ("*", "+"):
            lexeme = self._take()
            if lexeme.kind == "tag":
                continue
            if repeated:
                self._fail(
                    f"expected one * or + after a part, found a second one, {lexeme.text!r}",
                    lexeme.offset,
                )
            part, repeated = Repeat(part, required=lexeme.text == "+"), True
        return part

    def _unit(self, depth: int) -> Expansion:
        lexeme = self._next
        if lexeme.kind == "word":
            return Word(self._take().text, lexeme.offset)
        if lexeme.kind == "quoted":
            words = re.sub(r"\\(.)", r"\1", self._take().text[1:-1]).split()
            if not words:
                self._fail("expected a word between the quotation marks", lexeme.offset)
            parts = tuple(Word(word, lexeme.offset) for word in words)
            return parts[0] if len(parts) == 1 else Sequence(parts)
        if lexeme.kind == "rule":
            name = self._take().text[1:-1]
            return _SPECIAL.get(name) or Reference(name, lexeme.offset)
        if lexeme.text not in ("(", "["):
            self._expected("a word, a rule's name, '(' or '['")
        if depth == _MAX_DEPTH:
            self._fail(
                f"expected groups nested at most {_MAX_DEPTH} deep; move the inner ones into rules"
            )
        self._take()
        inner = self._choice(depth + 1)
        self._symbol(")" if lexeme.text == "(" else "]")
        return inner if lexeme.text == "(" else Choice((inner, NULL))

    def _symbol(self, symbol: str) -> None:
        if self._next.text != symbol:
            missing = "; is a ';' missing before it?" if self._next.text == "=" else ""
            self._expected(repr(symbol), missing)
        self._take()

    def _take(self) -> _Lexeme:
        taken = self._next
        if taken.kind != "end":
            self._next = next(self._lexemes)
        return taken

    def _expected(self, what: str, advice: str = "") -> NoReturn:
        found = repr(self._next.text) if self._next.text else "the end of the file"
        before = self._source.text_before(self._next.offset)
        self._fail(
            f"expected {what}{f' after `{before}`' if before else ''}, found {found}{advice}"
        )

    def _fail(self, message: str, offset: int | None = None) -> NoReturn:
        raise AsrError(
            f"{self._source.location(self._next.offset if offset is None else offset)}: {message}"
        )
