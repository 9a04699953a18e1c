"""CTM, STM and trn, read by the rules that NIST's sclite states for them.

https://github.com/usnistgov/SCTK/blob/master/doc/infmts.htm
"""

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import TextError
from asr.text.nist import render_ctm, render_stm, render_trn
from asr.text.timed import TimedWord
from tests.text.test_phrases import unspaced


class Segment(NamedTuple):
    recording: str
    channel: str
    speaker: str
    start: float
    end: float
    words: list[str]


def records(text: str) -> list[str]:
    """Records are separated by newlines; lines that begin with ;; and blank ones are ignored."""
    assert text == "" or text.endswith("\n")
    return [line for line in text.split("\n") if line.strip() and not line.startswith(";;")]


def read_ctm(text: str) -> list[tuple[str, str, float, float, str, float | None]]:
    """`<F> <C> <BT> <DUR> word [ <CONF> ]`, sorted by the first two as text, then by time."""
    found = []
    for line in records(text):
        recording, channel, start, duration, word, *confidence = line.split(" ")
        assert len(confidence) <= 1
        number = float(confidence[0]) if confidence else None
        found.append((recording, channel, float(start), float(duration), word, number))
    assert [row[:3] for row in found] == sorted(row[:3] for row in found)
    return found


def read_stm(text: str) -> list[Segment]:
    """`<F> <C> <S> <BT> <ET> [ <LABEL> ] transcript`, sorted in the same way.

    A label has angle brackets around it; braces, with slashes between, hold alternatives.
    """
    found = []
    for line in records(text):
        recording, channel, speaker, start, end, *rest = line.split(" ")
        if re.fullmatch("<.*>", rest[0]):
            del rest[0]
        assert not set(" ".join(rest)) & set("{}")
        found.append(Segment(recording, channel, speaker, float(start), float(end), rest))
    assert found == sorted(found, key=lambda row: (*row[:2], row.start))
    return found


def read_trn(text: str) -> list[tuple[str, str]]:
    """A word sequence, and after it the id of the utterance in parentheses."""
    found = []
    for line in records(text):
        match = re.fullmatch(r"(?:(.*) )?\(([^\s()]+)\)", line)
        assert match
        assert not set(match[1] or "") & set("{}")
        found.append((match[2], match[1] or ""))
    return found


WORDS = [
    TimedWord("AB", 0.1, 0.3, 0.75),
    TimedWord("<C>", 0.30000049, 1.0),
    TimedWord("D", 2.5, 3.0, 1.0),
]


def test_ctm_has_a_line_per_word() -> None:
    assert render_ctm("call", WORDS) == (
        "call 1 0.100 0.200 AB 0.7500\ncall 1 0.300 0.700 <C>\ncall 1 2.500 0.500 D 1.0000\n"
    )
    assert [row[4] for row in read_ctm(render_ctm("call", WORDS))] == ["AB", "<C>", "D"]
    assert render_ctm("call", []) == ""


def test_ctm_durations_end_where_the_rounded_end_is() -> None:
    words = [TimedWord("A", 0.0004, 0.0016), TimedWord("B", 0.0016, 0.0024)]
    assert render_ctm("r", words) == "r 1 0.000 0.002 A\nr 1 0.002 0.000 B\n"


def test_stm_has_a_line_per_phrase() -> None:
    text = render_stm("call", WORDS)
    assert text == "call 1 call 0.100 1.000 <O> AB <C>\ncall 1 call 2.500 3.000 <O> D\n"
    assert read_stm(text) == [
        Segment("call", "1", "call", 0.1, 1.0, ["AB", "<C>"]),
        Segment("call", "1", "call", 2.5, 3.0, ["D"]),
    ]
    assert render_stm("call", []) == ""


@given(st.sampled_from(["<UNK>", "<a,b>", "<", "A", ";;", "/", "@", "(A)"]))
def test_any_first_word_of_a_segment_is_a_word(word: str) -> None:
    assert read_stm(render_stm("a", [TimedWord(word, 0.0, 1.0)]))[0].words == [word]


def test_in_scripts_without_spaces_ctm_and_stm_have_characters() -> None:
    words = [unspaced("我们走", [0.0, 0.2, 0.4, 0.6])]
    assert [row[4] for row in read_ctm(render_ctm("a", words))] == list("我们走")
    assert read_stm(render_stm("a", words))[0].words == list("我们走")


def test_trn_ends_in_the_id() -> None:
    assert render_trn("cmh_sa01", "AB (UH) C") == "AB (UH) C (cmh_sa01)\n"
    assert render_trn("silence", "") == "(silence)\n"
    both = render_trn("a", "AB (UH) C") + render_trn("silence", "")
    assert read_trn(both) == [("a", "AB (UH) C"), ("silence", "")]


@pytest.mark.parametrize("name", ["", "two words", "tab\there", ";;comment", " padded ", "a\nb"])
def test_names_that_would_break_the_lines_are_refused(name: str) -> None:
    for kind, render in (("CTM", render_ctm), ("STM", render_stm)):
        with pytest.raises(TextError, match=f"cannot be the name of a recording in {kind}"):
            render(name, [])
    with pytest.raises(TextError, match="cannot be the name of a recording in trn"):
        render_trn(name, "A")


def test_what_else_cannot_be_written() -> None:
    for name in ("a(b", "b)"):
        with pytest.raises(TextError, match=r"without spaces or \( or \)"):
            render_trn(name, "A")
    with pytest.raises(TextError, match="comment sign"):
        render_trn("a", ";; A")
    for word in ("{", "A}", "{x"):
        with pytest.raises(TextError, match="cannot stand in trn: expected words without braces"):
            render_trn("a", f"B {word}")
        with pytest.raises(TextError, match="cannot stand in STM"):
            render_stm("a", [TimedWord(word, 0.0, 1.0)])
