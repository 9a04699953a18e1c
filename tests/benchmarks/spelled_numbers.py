"""How many spelled numbers and letters of English sentences are written as a person would.

    python -m tests.benchmarks.spelled_numbers MANIFEST...

Of the distinct texts of some manifests, with `--numbers en`, and with wetext where that is
installed. What is expected is worked out here from the words alone: digits said one by one and
letters in one word, years after a month in four digits, numbers with hundreds or thousands, and
ordinals. Of a sentence all digits have to be right, however they are grouped; numbers up to 3
that stand alone stay words in `--numbers`, and count as errors there.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from asr.corpus.manifest import read_manifest
from asr.text.readable import Readable, TextCase

_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 10 * tens for tens, word in enumerate(_TENS, start=2)},
    "oh": 0,
}
_SCALES = {"hundred": 100, "thousand": 1000}
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9}
_ORDINALS = {
    **{f"{word}th": value for word, value in _VALUES.items()},
    **{f"{word[:-1]}ieth": _VALUES[word] for word in _TENS},
    **_IRREGULAR,
    "twelfth": 12,
}
_DIGITS = [*_ONES[:10], "oh"]
_YEAR = re.compile(
    rf"\b(?:january|february|march|april|may|june|july|august|september|october|november|december)"
    rf"\b.* nineteen ({'|'.join(_TENS)})(?: ({'|'.join(_ONES[1:10])}))?$"
)
_LETTERS = re.compile(r"\b[a-z](?: [a-z]\b)+")
_SAID_DIGITS = re.compile(rf"\b(?:{'|'.join(_DIGITS)})\b(?: (?:{'|'.join(_DIGITS)})\b)+")


def numbers(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The kind and the value of each number: `small`, `large` or `ordinal`."""
    i = 0
    while i < len(words):
        value = _VALUES.get(words[i])
        if words[i] in _ORDINALS:
            yield "ordinal", _ORDINALS[words[i]]
        if value is None:
            i += 1
            continue
        (value, kind), i = _below_hundred(words, i), i + 1 + _is_compound(words, i)
        total = 0
        while kind != "ordinal" and i < len(words) and words[i] in _SCALES:
            kind, total, value = "large", total + value * _SCALES[words[i]], 0
            i += 1
            after = i + (words[i : i + 1] == ["and"])
            if after < len(words) and words[after] in _VALUES:
                value, _ = _below_hundred(words, after)
                i = after + 1 + _is_compound(words, after)
        yield kind, total + value


def _is_compound(words: Sequence[str], i: int) -> bool:
    """Whether a word is tens, and ones follow."""
    following = words[i + 1] if i + 1 < len(words) else ""
    ones = _VALUES.get(following, _ORDINALS.get(following, 0))
    return words[i] in _TENS and 1 <= ones <= 9


def _below_hundred(words: Sequence[str], i: int) -> tuple[int, str]:
    value = _VALUES[words[i]]
    if not _is_compound(words, i):
        return value, "small"
    following = words[i + 1]
    if following in _VALUES:
        return value + _VALUES[following], "small"
    return value + _ORDINALS[following], "ordinal"


def expected(text: str) -> Iterator[tuple[str, str]]:
    """A pattern of a word that the result has to have, with its kind.

    Letters and what is said after them may be one word.
    """
    for match in _LETTERS.finditer(text):
        yield "letters", match[0].replace(" ", "") + r"\d*"
    for match in _SAID_DIGITS.finditer(text):
        if text[: match.start()].split()[-1:] not in [[word] for word in (*_TENS, *_SCALES)]:
            yield "digits", "[a-z]*" + "".join(str(_VALUES[word]) for word in match[0].split())
    if year := _YEAR.search(text):
        yield "years", f"19{_VALUES[year[1]] + _VALUES.get(year[2], 0)}"
    for kind, value in numbers(text.split()):
        if kind != "small":
            yield kind, f"[a-z]*{value}(st|nd|rd|th)?"


def measure(texts: Sequence[str], convert: Callable[[str], str]) -> dict[str, str]:
    """Of each kind how many are right."""
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for text in texts:
        shown = convert(text).lower()
        words = re.sub(r"(?<=\d)-(?=\d)", "", shown).split()
        for kind, wanted in expected(text):
            count[kind] += 1
            right[kind] += any(re.fullmatch(wanted, word) for word in words)
        digits = "".join(str(value) for _, value in numbers(text.split()))
        if digits:
            count["sentences"] += 1
            right["sentences"] += re.sub(r"\D", "", shown) == digits
    return {kind: f"{right[kind]} of {total}" for kind, total in sorted(count.items())}


def main() -> None:
    """Print the figures of each way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path)
    manifests = parser.parse_args().manifests
    texts = sorted(
        {u.text.lower() for path in manifests for u in read_manifest(path, require_audio=False)}
    )
    print("--numbers en:", measure(texts, Readable(TextCase.LOWER, "en").of_text))
    try:
        from wetext import Normalizer
    except ImportError:
        return
    print("wetext:", measure(texts, Normalizer(lang="en", operator="itn").normalize))


if __name__ == "__main__":
    main()
