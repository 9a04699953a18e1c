"""Text for people: in another case, with digits for spelled numbers and codes for spelled letters.

What is spoken stays as it is for scoring; this is only shown.
"""

import enum
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from asr.errors import ConfigError
from asr.printing import printable
from asr.text.timed import Timed, TimedWord

OFF, AUTO = "off", "auto"
LANGUAGES = ("da", "de", "en", "es", "fr", "it", "nl", "pt")
"""Those whose numbers text2num knows."""
_LARGEST_WORD = 3.0
"""Numbers up to this stay words where no other number stands beside them, as in `one of them`."""
_VOWELS = frozenset("AEIOUYÀÁÅÆÈÉÊÌÍÓÒÔÖØÙÚÜ")
"""Single letters that are words in some language."""
_CENTURIES = ("19", "20")


class TextCase(enum.StrEnum):
    """The case of letters."""

    AS_TRAINED = "as_trained"
    LOWER = "lower"
    TITLE = "title"


class _Group(NamedTuple):
    """Words, from the first up to the end, that are written as one."""

    first: int
    end: int
    text: str


@dataclass(frozen=True)
class Readable:
    """What becomes of the words of a transcript.

    Numbers and codes have a case of their own. Raises ConfigError on a case or a language that is
    not known, and where `numbers` needs the extra `itn`.
    """

    text: TextCase = TextCase.AS_TRAINED
    numbers: str = OFF
    """The language whose numbers become digits, and with them letters codes; "off" for neither;
    "auto" for the language of the checkpoint (`in_language`)."""

    def __post_init__(self) -> None:
        if self.text not in tuple(TextCase):
            raise ConfigError(f"text: expected one of {', '.join(TextCase)}, found {self.text!r}")
        if self.numbers not in (OFF, AUTO, *LANGUAGES):
            raise ConfigError(
                f"numbers: expected {OFF}, {AUTO} or one of {', '.join(LANGUAGES)}, found "
                f"{self.numbers!r}"
            )
        if self.numbers != OFF:
            try:
                import text_to_num  # noqa: F401
            except ImportError as error:
                raise ConfigError(
                    "numbers: expected the package text2num, which is not installed: "
                    "pip install 'ctc-asr[itn]', or leave numbers as words"
                ) from error

    def in_language(self, language: str | None) -> "Readable":
        """The same with `auto` as a language, a BCP 47 tag.

        Raises ConfigError if it is none of those that are known.
        """
        if self.numbers != AUTO:
            return self
        known = (language or "").lower().split("-")[0]
        if known not in LANGUAGES:
            found = f"a checkpoint of {language!r}" if language else "a checkpoint that states none"
            raise ConfigError(
                f"numbers: expected a language, one of {', '.join(LANGUAGES)}, found {found}; "
                f"name the language, or leave numbers as words ({OFF})"
            )
        return replace(self, numbers=known)

    @property
    def changes_nothing(self) -> bool:
        """Whether words stay as they are."""
        return self.text == TextCase.AS_TRAINED and self.numbers == OFF

    def of_text(self, text: str) -> str:
        """A text of words with single spaces."""
        return " ".join(group.text for group in self._groups(text.split()))

    def of_words(self, words: Sequence[TimedWord]) -> list[TimedWord]:
        """Words with times; those that become one last from the first to the end of the last."""
        groups = self._groups([word.text for word in words])
        return [_as_one(words[group.first : group.end], group.text) for group in groups]

    def _groups(self, words: Sequence[str]) -> list[_Group]:
        """All words, in groups."""
        assert self.numbers != AUTO
        found = {}
        if self.numbers != OFF:
            codes = list(_codes(words))
            numbers = _numbers(words, codes, self.numbers)
            found = {group.first: group for group in (*codes, *numbers)}
        groups: list[_Group] = []
        for i, word in enumerate(words):
            if i in found:
                groups.append(found[i])
            elif not groups or groups[-1].end <= i:
                groups.append(_Group(i, i + 1, self._in_case(word)))
        return groups

    def _in_case(self, word: str) -> str:
        if self.text == TextCase.AS_TRAINED:
            return word
        return word.lower() if self.text == TextCase.LOWER else word.capitalize()


def _as_one(words: Sequence[TimedWord], text: str) -> TimedWord:
    first, last = words[0], words[-1]
    if len(words) > 1:
        sure = [word.confidence for word in words if word.confidence is not None]
        confidence = min(sure) if len(sure) == len(words) else None
        return TimedWord(text, first.start_seconds, last.end_seconds, confidence)
    return replace(first, text=text, characters=_characters(first, text))


def _characters(word: TimedWord, text: str) -> tuple[Timed, ...]:
    """The characters of a word in another case, with their times, if there are as many."""
    if len(text) != len(word.text):
        return ()
    ends = list(itertools.accumulate(len(character.text) for character in word.characters))
    return tuple(
        replace(character, text=text[end - len(character.text) : end])
        for character, end in zip(word.characters, ends, strict=True)
    )


def _codes(words: Sequence[str]) -> Iterator[_Group]:
    """Letters that are spelled, such as `A B C`; vowels alone may be words, such as `A` and `I`."""
    start = 0
    for is_letter, run in itertools.groupby(words, lambda word: len(word) == 1 and word.isalpha()):
        letters = list(run)
        end = start + len(letters)
        if is_letter and len(letters) > 1 and set(map(str.upper, letters)) - _VOWELS:
            yield _Group(start, end, "".join(letters).upper())
        start = end


@dataclass(frozen=True)
class _Token:
    """A word as text2num asks for it: as valid Unicode."""

    word: str
    is_code: bool = False

    def text(self) -> str:
        """What may be a number, or a part of one."""
        return self.word

    def nt_separated(self, previous: "_Token") -> bool:
        """Whether a number cannot go on from the word before."""
        return False

    def not_a_number_part(self) -> bool:
        """Whether it stands for itself."""
        return self.is_code


def _numbers(words: Sequence[str], codes: Sequence[_Group], language: str) -> list[_Group]:
    """The numbers among words that are in no code.

    text2num reads each number that is named as a whole, and zeros before it. What is said digit by
    digit, and the two halves of an English year, are put together here.
    """
    from text_to_num import find_numbers

    in_codes = {i for code in codes for i in range(code.first, code.end)}
    tokens = [_Token(printable(word.lower()), i in in_codes) for i, word in enumerate(words)]
    if language == "en":
        tokens = _with_zeros(tokens)
    found: list[_Group] = []
    was_digits = False
    for number in find_numbers(tokens, language, _LARGEST_WORD):
        text = number.text
        is_digits = text.isdecimal() and (len(text) == 1 or text[0] == "0")
        follows = bool(found) and found[-1].end == number.start
        is_year = follows and language == "en" and _is_year(found[-1].text, text)
        if is_year or (follows and is_digits and was_digits):
            before = found.pop()
            found.append(_Group(before.first, number.end, before.text + text))
        else:
            found.append(_Group(number.start, number.end, text))
        was_digits = is_digits and not is_year
    return found


def _is_year(before: str, text: str) -> bool:
    return before in _CENTURIES and text.isdecimal() and len(text) == 2


def _with_zeros(tokens: Sequence[_Token]) -> list[_Token]:
    """With `oh` as a zero where it follows a number."""
    found: list[_Token] = []
    for token in tokens:
        follows = bool(found) and not found[-1].is_code and _is_english_number(found[-1].word)
        found.append(_Token("zero") if token.word == "oh" and follows else token)
    return found


@functools.cache
def _is_english_number(word: str) -> bool:
    from text_to_num import find_numbers

    return bool(find_numbers([_Token(word)], "en", -1.0))
