"""JSGF: notation that is read, and syntax errors."""

import re

import pytest

from asr.errors import AsrError
from asr.language.automata.automaton import Automaton
from asr.language.grammar.compiler import compile_grammar, parse_grammar
from asr.language.grammar.jsgf import parse_jsgf
from asr.text.tokens import TokenTable
from tests.oracles_automata import sentences

LETTERS = TokenTable(tuple(" ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def compiled(text: str, table: TokenTable = LETTERS) -> Automaton:
    return compile_grammar(parse_grammar(text), table)


def allowed(text: str, limit: int = 50, table: TokenTable = LETTERS) -> set[str]:
    """The shortest sentences; the set of all if they are fewer than the limit."""
    return {table.decode(tokens) for tokens in sentences(compiled(text, table), limit)}


@pytest.mark.parametrize(
    ("expansion", "expected"),
    [
        ("YES | NO", {"YES", "NO"}),
        ("GO [UP | DOWN] NOW", {"GO NOW", "GO UP NOW", "GO DOWN NOW"}),
        ("[PLEASE] GO", {"GO", "PLEASE GO"}),
        ("GO [PLEASE]", {"GO", "GO PLEASE"}),
        ("[A] [B]", {"", "A", "B", "A B"}),
        ("A B | C D", {"A B", "C D"}),
        ("A (B | C) D", {"A B D", "A C D"}),
        ('"NEW YORK" | "GO"', {"NEW YORK", "GO"}),
        ("A <NULL> B", {"A B"}),
        ("A | B <VOID>", {"A"}),
        ("A {first} B {second} {third}", {"A B"}),
        (r"A {with a \} and \\ in it; | and <b>} B", {"A B"}),
        ("/0.5/ A | /2/ B | /1e1/ C", {"A", "B", "C"}),
        ("/1/ A B | /0/ C | /0.0/ D E", {"A B"}),
        ("// A comment; with | signs\n A /* and\n another; */ B // one more\n", {"A B"}),
        ("public | grammar", {"PUBLIC", "GRAMMAR"}),
    ],
)
def test_notation(expansion: str, expected: set[str]) -> None:
    table = TokenTable(tuple(" abcdefghijklmnopqrstuvwxyz"))
    lower = re.sub(r"(?<![<A-Z])[A-Z]+(?!>)", lambda word: word[0].lower(), expansion)

    assert allowed(f"public <s> = {lower};", table=table) == {text.lower() for text in expected}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "#JSGF V1.0;",
        "#JSGF V1.0 UTF-8 en;\ngrammar x;",
        "// Ours\n#JSGF V1.0;\n\ngrammar com.example.lights-2;\n",
        "grammar x;",
    ],
)
def test_header(header: str) -> None:
    assert allowed(f"{header} public <s> = A;") == {"A"}


def test_quoted_words_may_hold_any_character() -> None:
    table = TokenTable(tuple(sorted('"*/;\\|a')))

    assert allowed(r'public <s> = "a;|" | "a\"\\" | "/*";', table=table) == {"a;|", 'a"\\', "/*"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "public <s> = A",
            r"line 1, column 15: expected ';' after `public <s> = A`, found the end",
        ),
        (
            "<a> = A\npublic <s> = B;",
            r"line 2, column 12: expected ';' after `public <s>`, found '='",
        ),
        (
            "public <a> = A <b>\n<c> = B;",
            r"line 2, column 5: expected ';' after `<c>`, found '='; is a ';' missing before it\?",
        ),
        ("public <s> = ;", r"line 1, column 14: expected a word, a rule's name, .* found ';'"),
        ("public <s> = A | ;", r"column 18: expected a word"),
        (
            "public <s> = (A | B;",
            r"column 20: expected '\)' after `public <s> = \(A \| B`, found ';'",
        ),
        ("public <s> = A);", r"column 15: expected ';' .*found '\)'"),
        ("public <s> = [A);", r"column 16: expected '\]'"),
        ("public <s> = * A;", r"column 14: expected a word"),
        (
            "public <s> = A*+;",
            r"column 16: expected one \* or \+ after a part, found a second one, '\+'",
        ),
        ("public <s> = A {tag;", r"column 16: expected a tag that ends in '}', found '{'"),
        ('public <s> = "A;\n', r"column 14: expected a quoted word that ends in '\"' on its line"),
        ('public <s> = "";', r"column 14: expected a word between the quotation marks"),
        ("public <s> = A /* B;", r"column 16: expected a weight .* or a closed comment"),
        ("public <s> = AND/OR;", r"column 17: .*quote a word that contains /, found '/'"),
        ("public <s> = /high/ A;", r"column 14: expected a weight .*found '/high/'"),
        ("public <s> = /-1/ A;", r"column 14: expected a weight .* 0 or more, found '/-1/'"),
        ("public <s> = /nan/ A;", r"column 14: expected a weight"),
        ("public <s s> = A;", r"column 8: expected a rule's name .* without spaces, found '<'"),
        ("public s = A;", r"column 8: expected a rule such as `public <name> = word;` .*found 's'"),
        ("A B;", r"column 1: expected a rule such as .*, found 'A'"),
        ("#JSGF V2.0;", r"column 7: expected 'V1.0' after `#JSGF`, found 'V2.0'"),
        ("#JSGF V1.0\npublic <s> = A;", r"line 2, column 8: expected ';'"),
        ("grammar ;", r"column 9: expected the grammar's name"),
        ("import <x.y>;", r"column 1: imports are not supported; copy the rules"),
        ("<NULL> = A;", r"column 1: <NULL> is a reserved name; choose another name"),
        (
            "<s> = A;\npublic <s> = B;",
            r"line 2, column 8: the rule <s> is already defined at .*line 1, column 1; rename",
        ),
        (f"public <s> = {'(' * 51}A;", r"column 64: expected groups nested at most 50 deep"),
        (f"public <s> = {'(' * 99_999}A;", r"expected groups nested at most 50 deep"),
    ],
)
def test_syntax_errors(text: str, fault: str) -> None:
    with pytest.raises(AsrError, match=fault) as error:
        parse_jsgf(text, "grammar")
    assert "\n" not in str(error.value)
