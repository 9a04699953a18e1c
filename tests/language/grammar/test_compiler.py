"""Compiled grammars: the sentences that they allow, and what cannot be compiled."""

import contextlib
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import AsrError, TextError
from asr.language.automata.automaton import Automaton
from asr.language.grammar.compiler import compile_grammar, parse_grammar, read_grammar
from asr.text.tokens import TokenTable
from tests.oracles_automata import (
    TABLE,
    accepts,
    assert_same_language,
    assert_well_formed,
    sentences,
    strings,
    word_list,
)
from tests.support import REPOSITORY

LETTERS = TokenTable(tuple(" ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def compiled(text: str, table: TokenTable = LETTERS) -> Automaton:
    return compile_grammar(parse_grammar(text), table)


def allowed(text: str, limit: int = 50, table: TokenTable = LETTERS) -> set[str]:
    """The shortest sentences; the set of all if they are fewer than the limit."""
    return {table.decode(tokens) for tokens in sentences(compiled(text, table), limit)}


LENGTH = 6

Language = frozenset[str]
"""Sentences with a space after each word, of up to LENGTH characters and that space."""


@dataclass(frozen=True)
class Expansion:
    """An expansion as it is written, and its language where those of the rules are given."""

    text: str
    language: Callable[[dict[str, Language]], Language] = field(repr=False)


def _leaf(text: str, *sentences: str) -> Expansion:
    return Expansion(text, lambda _: frozenset(sentences))


def _rule(name: str) -> Expansion:
    return Expansion(f"<{name}>", lambda rules: rules[name])


def _choice(parts: list[Expansion]) -> Expansion:
    text = " | ".join(f"({part.text})" for part in parts)
    return Expansion(text, lambda rules: frozenset().union(*(p.language(rules) for p in parts)))


def _sequence(parts: list[Expansion]) -> Expansion:
    def language(rules: dict[str, Language]) -> Language:
        return reduce(_concatenated, (part.language(rules) for part in parts))

    return Expansion(" ".join(f"({part.text})" for part in parts), language)


def _repeated(part: Expansion, sign: str) -> Expansion:
    def language(rules: dict[str, Language]) -> Language:
        once = part.language(rules)
        found: Language = frozenset({""}) if sign == "*" else once
        while True:
            more = found | _concatenated(found, once)
            if more == found:
                return found
            found = more

    return Expansion(f"({part.text}){sign} {{tag}}", language)


def _concatenated(first: Language, second: Language) -> Language:
    return frozenset(a + b for a in first for b in second if len(a + b) <= LENGTH + 1)


def _optional(part: Expansion) -> Expansion:
    return Expansion(f"[{part.text}]", lambda rules: part.language(rules) | {""})


def expansions(*rules: str) -> st.SearchStrategy[Expansion]:
    """Expansions of every kind, with references to some rules."""
    words = [_leaf(word, f"{word} ") for word in ("A", "B", "AB")]
    special = [_leaf("<NULL>", ""), _leaf("<VOID>"), _leaf('"A B"', "A B ")]
    return st.recursive(
        st.sampled_from([*words, *map(_rule, rules), *special]),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(_choice),
            st.lists(inner, min_size=1, max_size=3).map(_sequence),
            st.builds(_repeated, inner, st.sampled_from("*+")),
            inner.map(_optional),
        ),
        max_leaves=6,
    )


def allows_words(text: str) -> bool:
    """Whether a grammar compiles; else the reason must be that it allows no word."""
    with contextlib.suppress(AsrError):
        compiled(text, TABLE)
        return True
    with pytest.raises(AsrError, match="expected a sentence with a word, found none in <zero>"):
        compiled(text, TABLE)
    return False


@settings(max_examples=150)
@given(expansions("one", "two"), expansions("two"), expansions())
def test_language_is_that_of_sets_of_sentences(
    zero: Expansion, one: Expansion, two: Expansion
) -> None:
    text = f"public <zero> = {zero.text}; <one> = {one.text}; <two> = {two.text};"
    rules: dict[str, Language] = {}
    for name, expansion in (("two", two), ("one", one), ("zero", zero)):
        rules[name] = expansion.language(rules)
    wanted = {sentence.removesuffix(" ") for sentence in rules["zero"]}

    if not wanted - {""} and not allows_words(text):
        return  # refused as it should be
    automaton = compiled(text, TABLE)

    assert any(sentences(automaton, 2))  # perhaps all longer than LENGTH
    assert {t for t in strings(LENGTH) if accepts(automaton, TABLE.encode(t))} == wanted
    assert_well_formed(automaton)


def test_utterance_is_a_sentence_of_any_public_rule() -> None:
    text = "public <a> = A <c>; <b> = NEVER; public <c> = C; <d> = D;"

    assert allowed(text) == {"A C", "C"}


def test_repetition() -> None:
    digit = "public <s> = N <d>+; <d> = ONE | TWO;"

    assert allowed(digit, limit=6) == {
        f"N {a}{b}" for a in ("ONE", "TWO") for b in ("", " ONE", " TWO")
    }
    assert accepts(compiled(digit), LETTERS.encode("N" + " TWO" * 50))
    assert allowed("public <s> = (A [B])*;", 4) == {"", "A", "A A", "A B"}


def test_loop_over_words_is_the_word_list() -> None:
    words = ["A", "AB", "BAB", "CAB"]

    looped = compiled("public <s> = <w>*; <w> = A | AB | BAB | CAB;")
    assert_same_language(looped, word_list(words, LETTERS))


@pytest.mark.parametrize(
    ("recursive", "plain"),
    [
        ("public <s> = A <s> | B;", "public <s> = A* B;"),
        ("public <s> = A <s>;  public <t> = B;", "public <s> = B;"),
        ("public <s> = A [<s>];", "public <s> = A+;"),
        ("public <s> = A <t> | C; <t> = B <s> | <s>;", "public <s> = (A [B])* C;"),
        ("public <s> = X <t> Y; <t> = A <t> | B;", "public <s> = X A* B Y;"),
        ("public <s> = <t>; <t> = A (B <t> | C {c} <s>) | D;", "public <s> = (A (B | C))* D;"),
    ],
)
def test_recursion_at_the_end_of_a_rule_is_repetition(recursive: str, plain: str) -> None:
    assert_same_language(compiled(recursive), compiled(plain))


def test_equal_languages_are_found_equal() -> None:
    first = compiled("public <s> = A B | A C | [A] D;")
    second = compiled("public <x> = D | A <y>; <y> = (C | D) | B | B;")

    assert_same_language(first, second)


def test_deep_and_long_grammars() -> None:
    nested = "(" * 50 + "A" + ")" * 50
    rules = "".join(f"<r{i}> = A <r{i + 1}>;" for i in range(2000))
    alternatives = " | ".join(itertools.repeat("B", 5000))

    assert allowed(f"public <s> = {nested};") == {"A"}
    chain = compiled(f"public <s> = <r0>; {rules} <r2000> = {alternatives};")
    assert accepts(chain, LETTERS.encode("A " * 2000 + "B"))


@pytest.mark.parametrize(
    "text",
    [
        "public <s> = <NULL>;",
        "public <s> = A <VOID>;",
        "public <s> = A <s>;",
        "public <s> = [<t>]; <t> = <VOID>; <u> = A;",
        "public <s> = /0/ A;",
    ],
)
def test_grammar_without_a_word_to_say_is_refused(text: str) -> None:
    with pytest.raises(AsrError, match="expected a sentence with a word, found none in <s>"):
        compiled(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "public <s> = YES |\n YES-;",
            r"^grammar: expected words in the model's characters ' ABC.*', found 1 that are not: "
            r"line 2, column 2: 'YES-' has '-' \(the model writes 'YES'\); spell them",
        ),
        (
            "public <s> = A; <t> = B7;",
            r"line 1, column 23: 'B7' has '7' \(write numbers as they are said, in words\); spell",
        ),
        (
            "public <s> = a1 b1 c1 a1 d1 e1 f1 g1;",
            r"found 7 that are not: line 1, column 14: 'a1' .*and 2 more",
        ),
    ],
)
def test_words_that_the_table_lacks_are_refused(text: str, fault: str) -> None:
    with pytest.raises(TextError, match=fault):
        compiled(text)


def test_words_may_have_another_case_than_the_model_writes() -> None:
    upper, lower = TokenTable(tuple(" AB")), TokenTable(tuple(" ab"))
    for table, words in ((upper, {"AB", "A"}), (lower, {"ab", "a"})):
        assert allowed("public <s> = Ab | a;", table=table) == words
    # With both cases each is what it is.
    assert allowed("public <s> = Ab;", table=TokenTable(tuple(" Aab"))) == {"Ab"}


def test_table_without_a_space() -> None:
    table = TokenTable(("A", "B"))

    assert allowed("public <s> = A | AB | <VOID> A;", table=table) == {"A", "AB"}
    with pytest.raises(TextError, match=r"no space .*expected only sentences of one word"):
        compiled("public <s> = A B;", table)


@pytest.mark.parametrize(
    "text",
    [
        "public <s> = (A | B)* A " + "(A | B) " * 40 + ";",
        "public <s> = " + "[A] " * 3000 + ";",
        "public <r0> = A; "
        + "".join(f"public <r{i}> = <r{i - 1}> <r{i - 1}>;" for i in range(1, 60)),
    ],
    ids=["subsets", "optional parts", "rules in rules"],
)
def test_grammar_that_grows_too_large_is_refused(text: str) -> None:
    grammar = parse_grammar(text)
    began = time.process_time()

    with pytest.raises(AsrError, match="expected a grammar that compiles within 50,000 states"):
        compile_grammar(grammar, LETTERS, max_size=50_000)
    assert time.process_time() - began < 5


def test_grammar_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lights.jsgf"
    path.write_bytes('\ufeff#JSGF V1.0;\r\npublic <s> = É | \r\n // é\r\n  "ÉÉ" ;\r\n'.encode())

    grammar = read_grammar(path)
    table = TokenTable(("É",))
    found = sentences(compile_grammar(grammar, table), 5)
    assert [table.decode(tokens) for tokens in found] == ["É", "ÉÉ"]
    with pytest.raises(TextError, match=r"lights\.jsgf: .*line 2, column 14: 'É' has 'É'"):
        compile_grammar(grammar, LETTERS)


@pytest.mark.parametrize("content", [None, b"public <s> = \xff;"])
def test_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "lights.jsgf"
    if content:
        path.write_bytes(content)

    with pytest.raises(AsrError, match=r"lights\.jsgf: cannot read the grammar \(.*UTF-8 text"):
        read_grammar(path)


AN4 = REPOSITORY / "recipes" / "an4" / "commands.jsgf"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUBOUT G M E F THREE NINE", True),
        ("OCTOBER TWENTY FOURTH NINETEEN SEVENTY", True),
        ("P I T T S B U R G H", True),
        ("TWELVE THIRTY THREE", True),
        ("STOP", True),
        ("STOP STOP", False),
        ("YES ONE", False),
        ("OCTOBER", False),
        ("ENTER", False),
        ("PITTSBURGH", False),
        ("", False),
    ],
)
def test_grammar_of_an4(text: str, expected: bool) -> None:
    automaton = compile_grammar(read_grammar(AN4), LETTERS)

    assert accepts(automaton, LETTERS.encode(text)) == expected


@pytest.mark.parametrize("split", ["train", "test"])
def test_grammar_of_an4_allows_the_transcripts(shared_data: Path, split: str) -> None:
    path = shared_data / "an4" / "etc" / f"an4_{split}.transcription"
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [" ".join(re.sub(r"\(.*|</?s>", "", line).split()) for line in lines]

    automaton = compile_grammar(read_grammar(AN4), LETTERS)
    refused = [text for text in texts if not accepts(automaton, LETTERS.encode(text))]
    assert len(refused) < 0.01 * len(texts), refused


def of_file(path: Path) -> set[str]:
    """The sentences that a file allows."""
    found = sentences(compile_grammar(read_grammar(path), LETTERS), 50)
    return {LETTERS.decode(tokens) for tokens in found}


LIST = "TURN ON\n\n  GO   BACK \r\nSTOP\nSTOP"


def test_a_list_of_sentences(tmp_path: Path) -> None:
    path = tmp_path / "commands.TXT"
    path.write_text(f"\ufeff{LIST}")
    assert of_file(path) == {"TURN ON", "GO BACK", "STOP"}


def test_a_grammar_may_end_in_txt(tmp_path: Path) -> None:
    path = tmp_path / "grammar.txt"
    path.write_text("#JSGF V1.0;\ngrammar g;\npublic <g> = GO | STOP;\n")
    assert of_file(path) == {"GO", "STOP"}


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_a_list_without_a_sentence_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "commands.txt"
    path.write_text(text)
    with pytest.raises(AsrError, match=r"commands\.txt: expected a sentence a line, found none"):
        read_grammar(path)


def test_what_a_list_cannot_spell_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "commands.txt"
    path.write_text("STOP\nGO 10\n")
    with pytest.raises(TextError, match=r"commands\.txt.* line 2, column 4: '10' has '0', '1'"):
        of_file(path)
