"""Checks of grammars: undefined, recursive, unused and impossible rules."""

import logging

import pytest

from asr.errors import AsrError
from asr.language.grammar.compiler import parse_grammar


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"^grammar: expected a public rule such as .*, found no rules"),
        ("<s> = A; <t> = B;", r"found 2 rules, none of them public"),
        (
            "public <s> = A <b> |\n <c>; <d> = <e>;",
            r"found none of <b> \(line 1, column 16\); <c> \(line 2, column 2\); <e> \(line 2",
        ),
        ("public <s> = <s> A | B;", r"line 1, column 8: left recursion, <s> → <s>; .*\* or \+"),
        ("public <s> = <s>;", r"left recursion, <s> → <s>"),
        ("public <s> = [A] <s> | B;", r"left recursion"),
        ("public <s> = <t> <s> | B; <t> = A*;", r"left recursion, <s> → <s>"),
        ("public <s> = A; <a> = <b> X;\n<b> = <c>; <c> = <a> | Y;", r"left recursion, (<.> → ){3}"),
        (
            "public <s> = A\n <s> B | C;",
            r"line 2, column 2: recursion inside a rule, <s> → <s>; .*as many levels",
        ),
        ("public <s> = (A <s>)* B;", r"column 17: recursion inside a rule, <s> → <s>"),
        ("public <s> = A <t> B; <t> = C <s>;", r"recursion inside a rule, <s> → <t> → <s>"),
        ("public <s> = A <s> <s> | B;", r"column 16: recursion inside a rule"),
    ],
)
def test_grammar_is_refused(text: str, fault: str) -> None:
    with pytest.raises(AsrError, match=fault) as error:
        parse_grammar(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("public <s> = A;\n<t> = B <u>; <u> = C;", "no public rule uses <t> (line 2, column 1);"),
        (
            "public <s> = A | <t>; <t> = B <t>;",
            "no sentence is possible in <t> (line 1, column 23): a rule that is",
        ),
        ("public <s> = /0.5/ A | /0/ B | /2/ C;", "ignoring 2 weights"),
    ],
)
def test_what_has_no_effect_is_reported(
    text: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        parse_grammar(text)

    assert warning in caplog.text


def test_correct_grammar_raises_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        parse_grammar("public <s> = A {tag} <t> | <NULL>; <t> = [B] C <t> | <u>*; public <u> = D;")

    assert not caplog.records


def test_many_rules_beside_a_cycle_take_linear_time() -> None:
    rules = "".join(f"<r{i}> = A <r{i + 1}>;\n" for i in range(4000))
    everything = " ".join(f"<r{i}>" for i in range(4001))
    cycle = "<a> = B <a> | B;\n"
    grammar = parse_grammar(
        f"#JSGF V1.0;\ngrammar g;\npublic <c> = {everything};\npublic {cycle}{rules}<r4000> = B;\n"
    )
    assert len(grammar.rules) == 4003


def test_recursion_through_several_rules_is_found_among_many() -> None:
    rules = "".join(f"<r{i}> = A <r{i + 1}>;\n" for i in range(200))
    with pytest.raises(AsrError, match=r"recursion inside a rule, <r200> → <r100> → .* → <r200>"):
        parse_grammar(f"grammar g;\npublic <c> = <r0>;\n{rules}<r200> = B <r100> C | D;\n")
