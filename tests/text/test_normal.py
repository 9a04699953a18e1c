"""One form of text for every door, and what is refused as no text."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text.normal import describe_characters, normal_form, stray_characters
from asr.text.tokens import TokenTable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A\tB\n C  D", "A B C D"),
        (" A\u00a0B\u3000C\u2028D\x85E\x1fF ", "A B C D E F"),
        ("e\u0301te\u0301", "été"),
        ("한글", "한글"),
        ("", ""),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normal_form(text) == expected


@given(st.text())
def test_normal_form_is_final_and_keeps_every_letter(text: str) -> None:
    normal = normal_form(text)
    assert normal_form(normal) == normal
    assert normal.replace(" ", "") == "".join(unicodedata.normalize("NFC", text).split())
    assert normal_form(unicodedata.normalize("NFD", text)) == normal


@given(st.text(min_size=1))
def test_a_table_writes_the_normal_form_as_it_is(text: str) -> None:
    normal = normal_form(text)
    if normal:
        table = TokenTable.from_texts([normal])
        assert table.decode(table.encode(normal)) == normal


STRAY = "\u200b\ufeff\u2060\u00ad\x00\x07\x1b\x7f\u202e\u200f\u2066\ufffd\U000e0041\u0378"


def test_characters_of_no_text() -> None:
    assert stray_characters(STRAY) == sorted(STRAY)
    assert stray_characters("Abc éß ɔ̃ 한글 中文 ไทย हिन्दी 'ʼ-.!?\t\n\u00a0\u3000") == []


def test_joiners_are_letters_where_the_script_needs_them() -> None:
    assert stray_characters("می\u200cخواهم") == []
    assert stray_characters("क्\u200dष") == []
    assert stray_characters("a\u200cb\u200d") == ["\u200c", "\u200d"]


def test_characters_are_described() -> None:
    assert describe_characters(Counter("\u200b\u200b\x07")) == (
        "U+0007 CONTROL CHARACTER (1 times), U+200B ZERO WIDTH SPACE (2 times)"
    )
