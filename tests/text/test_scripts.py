"""Scripts without spaces, and the width of characters."""

import pytest

from asr.text.scripts import columns, continues, count_unspaced, is_unspaced


@pytest.mark.parametrize(
    ("texts", "unspaced"),
    [
        (["今天天气很好"], True),
        (["打开", "关上"], True),
        (["今天 天气 很 好", "打开 门"], False),
        (["สวัสดีครับผมชื่อสมชาย"], True),
        (["これはペンです", "はい"], True),
        (["한국어는 띄어쓰기를 합니다"], False),
        (["YES NO", "TURN LEFT"], False),
        (["a" * 100], False),
        (["今天天气很好", "YES", "NO"], False),
        (["", "今天天气很好", ""], True),
        ([], False),
    ],
)
def test_sentences_without_spaces_are_told_from_words(texts: list[str], unspaced: bool) -> None:
    assert is_unspaced(texts) == unspaced


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("今天", 4),
        ("한국", 4),
        ("ｱﾊﾞ", 3),
        ("กำ", 2),
        ("ที่", 1),
        ("e\u0301", 1),
        ("\u200b", 0),
    ],
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width


def test_marks_continue_a_character() -> None:
    assert list(map(continues, "ที่天。「」")) == [False, True, True, False, True, False, True]
    assert count_unspaced("กa今é") == 2
