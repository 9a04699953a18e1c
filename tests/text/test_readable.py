"""Text for people."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.text.readable import AUTO, LANGUAGES, OFF, Readable, TextCase
from asr.text.timed import Timed, TimedWord

ENGLISH = Readable(numbers="en")


@pytest.mark.parametrize(
    ("spoken", "shown"),
    [  # from the sentences of AN4, but for the last ones
        ("ONE FIVE TWO ONE SEVEN", "15217"),
        ("NINE THREE FIVE OH SIX NINE TWO", "9350692"),
        ("B O X EIGHT OH SEVEN", "BOX 807"),
        ("RUBOUT G M E F THREE NINE", "RUBOUT GMEF 39"),
        ("E Z A K O EIGHT", "EZAKO 8"),
        ("AUGUST SEVENTEEN NINETEEN FORTY SEVEN", "AUGUST 17 1947"),
        ("NINTH OF SEPTEMBER NINETEEN SIXTY FOUR", "9th OF SEPTEMBER 1964"),
        ("ELEVEN TWENTY SEVEN FIFTY SEVEN", "11 27 57"),
        ("A M S J SEVEN THOUSAND ONE HUNDRED AND EIGHTY SIX", "AMSJ 7186"),
        ("FIFTY EIGHT THOUSAND NINE THIRTY NINE", "58009 39"),
        ("E A S T EIGHTY FIFTH S T R E E T", "EAST 85th STREET"),
        ("ENTER TWENTY SIX SEVEN", "ENTER 26 7"),
        ("TWENTY OH FIVE", "2005"),
        ("ONE OF THE SECOND", "ONE OF THE SECOND"),
        ("OH NO AM I A FOOL", "OH NO AM I A FOOL"),
        ("I B M", "IBM"),
        ("", ""),
    ],
)
def test_numbers_and_codes(spoken: str, shown: str) -> None:
    assert ENGLISH.of_text(spoken) == shown
    said = spoken.split()
    lowered = [word.lower() if word in said else word for word in shown.split()]
    assert ENGLISH.of_text(spoken.lower()).split() == lowered


@pytest.mark.parametrize(
    ("language", "spoken", "shown"),
    [
        ("de", "einundzwanzig Leute", "21 Leute"),
        ("fr", "quatre vingt dix neuf", "99"),
        ("es", "treinta y uno", "31"),
        ("pt", "trinta e um", "31"),
        ("it", "ventuno", "21"),
        ("nl", "eenentwintig", "21"),
        ("da", "enogtyve", "21"),
    ],
)
def test_other_languages(language: str, spoken: str, shown: str) -> None:
    assert Readable(numbers=language).of_text(spoken) == shown


def test_case() -> None:
    text = "DON'T SAY STRASSE TWENTY FIRST A B C"
    assert Readable().of_text(text) == text
    assert Readable(TextCase.LOWER).of_text(text) == text.lower()
    assert Readable(TextCase.TITLE).of_text(text) == "Don't Say Strasse Twenty First A B C"
    assert Readable(TextCase.TITLE, "en").of_text(text) == "Don't Say Strasse 21st ABC"
    assert Readable(TextCase.LOWER, "en").of_text(text) == "don't say strasse 21st ABC"


def test_joined_words_last_from_the_first_to_the_last() -> None:
    words = [
        TimedWord("ENTER", 0.0, 0.5, 0.9, (Timed("ENTER", 0.0, 0.5),)),
        TimedWord("TWENTY", 0.6, 1.0, 0.8, (Timed("TWENTY", 0.6, 1.0),)),
        TimedWord("SIX", 1.5, 2.0, 0.7),
        TimedWord("A", 2.0, 2.1),
        TimedWord("B", 2.2, 2.5, 1.0),
    ]
    assert Readable(TextCase.LOWER, "en").of_words(words) == [
        TimedWord("enter", 0.0, 0.5, 0.9, (Timed("enter", 0.0, 0.5),)),
        TimedWord("26", 0.6, 2.0, 0.7),
        TimedWord("AB", 2.0, 2.5),
    ]


def test_characters_follow_the_case_of_their_word() -> None:
    characters = (Timed("我", 0.0, 0.2), Timed("GP", 0.2, 0.4), Timed("S", 0.4, 0.6))
    (word,) = Readable(TextCase.LOWER).of_words([TimedWord("我GPS", 0.0, 0.6, 0.9, characters)])
    assert [character.text for character in word.characters] == ["我", "gp", "s"]
    longer = TimedWord("İA", 0.0, 1.0, None, (Timed("İ", 0.0, 0.5), Timed("A", 0.5, 1.0)))
    assert Readable(TextCase.LOWER).of_words([longer])[0].characters == ()


WORDS = (
    "ZERO OH O ONE NINE TEN NINETEEN TWENTY HUNDRED THOUSAND MILLION AND POINT FIRST A B X ' Ü 天"
)


@given(st.lists(st.sampled_from([*WORDS.split(), "\ud800", "\x00", "12"]), max_size=40))
def test_any_words_are_covered_in_order(texts: list[str]) -> None:
    words = [TimedWord(text, i, i + 1) for i, text in enumerate(texts)]
    found = ENGLISH.of_words(words)
    assert " ".join(word.text for word in found) == ENGLISH.of_text(" ".join(texts))
    edges = [(word.start_seconds, word.end_seconds) for word in found]
    assert [start for start, _ in edges] == [0, *(end for _, end in edges)][: len(edges)]
    assert not edges or edges[-1][1] == len(texts)


def test_the_language_of_a_checkpoint() -> None:
    assert Readable(numbers=AUTO).in_language("en-GB") == ENGLISH
    assert Readable(numbers="de").in_language("en").numbers == "de"
    assert Readable().in_language(None).changes_nothing
    for language in ("ru", None):
        with pytest.raises(ConfigError, match="numbers: expected a language, one of"):
            Readable(numbers=AUTO).in_language(language)
    with pytest.raises(ConfigError, match="text: expected one of as_trained, lower, title"):
        Readable("upper")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"expected off, auto or one of {', '.join(LANGUAGES)}"):
        Readable(numbers="xx")


def test_without_the_extra_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "text_to_num", None)
    assert Readable(TextCase.TITLE, OFF).of_text("ONE TWO") == "One Two"
    for numbers in ("en", AUTO):
        with pytest.raises(ConfigError, match=r"numbers: .*pip install 'ctc-asr\[itn\]'"):
            Readable(numbers=numbers)
