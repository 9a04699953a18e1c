"""Sentences for slot filling, in which other words decide the label of a city.

Each has one or two clauses with a city whose part, destination or place of departure, is drawn by
chance, so that neither the city nor the other clause tells it.
"""

import random
from typing import NamedTuple

CITIES = "Taipei Osaka Boston Berlin Prague Lisbon Cairo Lima Oslo Delhi Quito Perth".split()
MONTHS = (
    *"January February March April May June July August September October November".split(),
    "December",
)
DAYS = "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th 13th 14th 15th".split()
ASIDES = ("with my sister", "by train", "at noon", "for two weeks", "if the weather is good")
SIDES = ("before", "after")
FRAMES = {
    "before": (
        ("I * @ ~", "arrive in", "leave"),
        ("I fly * @ ~", "to", "from"),
        ("my * ~ is in @", "arrival", "departure"),
        ("the place where I * ~ is @", "arrive", "depart"),
    ),
    "after": (
        ("@ is where I * ~", "arrive", "depart"),
        ("in @ ~ we * together", "arrive", "depart"),
        ("@ ~ is the place of my *", "arrival", "departure"),
    ),
}
"""Clauses with a city `@`, asides `~`, and what `*` is for a destination and for a departure: the
words that decide the city's label, before it or after it."""
PARTS = ("destination", "departure")
LABELS = ("other", *PARTS, "date")


class Word(NamedTuple):
    """A word, its label, and of a city how far before (> 0) or after (< 0) it its `*` begins."""

    text: str
    label: str = "other"
    distance: int = 0


Sentence = list[Word]


def clause(frame: tuple[str, str, str], part: str, city: str, asides: Sentence) -> Sentence:
    """The words of a frame."""
    pattern, *deciding = frame
    words: Sentence = []
    places = {}
    for piece in pattern.split():
        places[piece] = len(words)
        if piece == "*":
            words += map(Word, deciding[PARTS.index(part)].split())
        else:
            words += asides if piece == "~" else [Word(piece)]
    words[places["@"]] = Word(city, part, places["@"] - places["*"])
    return words


def some_asides(source: random.Random) -> Sentence:
    """Up to three asides, dates among them."""
    words: Sentence = []
    for _ in range(source.randrange(4)):
        if source.random() < 0.5:
            words += map(Word, source.choice(ASIDES).split())
        else:
            month, day = source.choice(MONTHS), source.choice(DAYS)
            words += [Word("on"), Word(month, "date"), Word(day, "date")]
    return words


def some_clause(source: random.Random, side: str, part: str, city: str) -> Sentence:
    """A clause with this city, and the words that decide its label on this side of it."""
    return clause(source.choice(FRAMES[side]), part, city, some_asides(source))


def some_sentence(source: random.Random) -> Sentence:
    """One or two clauses about different cities, each a destination or a place of departure."""
    first, *others = [
        some_clause(source, source.choice(SIDES), source.choice(PARTS), city)
        for city in source.sample(CITIES, source.choice((1, 2)))
    ]
    return [*first, Word("and"), *others[0]] if others else first


def some_pair(source: random.Random, side: str) -> tuple[Sentence, Sentence]:
    """Two sentences of the same words, of which each has a city where the other has the other."""
    first, second = source.sample(CITIES, 2)
    parts = source.sample(PARTS, 2)
    sentence = [
        *some_clause(source, side, parts[0], first),
        Word("and"),
        *some_clause(source, side, parts[1], second),
    ]
    other = {first: second, second: first}
    return sentence, [word._replace(text=other.get(word.text, word.text)) for word in sentence]


def vocabulary() -> dict[str, int]:
    """The number of every word, from 1 (0 is padding)."""
    phrases = [*CITIES, *MONTHS, *DAYS, *ASIDES, "on and"]
    phrases += [text for frames in FRAMES.values() for frame in frames for text in frame]
    words = sorted({word for phrase in phrases for word in phrase.split()})
    return {word: number for number, word in enumerate(words, 1)}


VOCABULARY = vocabulary()
