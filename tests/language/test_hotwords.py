"""Hot words against counting them in whole texts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError, TextError
from asr.language.hotwords import build_hotwords, follow
from asr.text.tokens import TokenTable
from tests.oracles_search import Sources

SPACED, JOINED = TokenTable(tuple(" ab")), TokenTable(tuple("ab"))
_PHRASES = st.dictionaries(
    st.from_regex(r"[ab]{1,3}( [ab]{1,2})?", fullmatch=True),
    st.sampled_from([2.0, 0.5, -1.0]),
    min_size=1,
    max_size=5,
)


def followed(phrases: dict[str, float], table: TokenTable, text: str) -> tuple[float, float]:
    """The boosts earned by a text of single spaces, and the credit of what is begun behind it."""
    hotwords = build_hotwords(phrases, table)
    state, earned = hotwords.start, 0.0
    for token in table.encode(text):
        state = follow(hotwords.trie, hotwords.fail, state, token)
        earned += hotwords.boost[state]
    return earned, float(hotwords.credit[state])


@given(_PHRASES, st.from_regex(r"([ab]{1,4} ){0,5}[ab]{0,3}", fullmatch=True))
def test_boosts_and_credit_equal_those_of_the_whole_text(
    phrases: dict[str, float], text: str
) -> None:
    world = Sources(SPACED, hotwords=phrases)
    earned, credit = followed(phrases, SPACED, text)
    assert earned == pytest.approx(world.boosts(text, ended=False))
    assert credit == pytest.approx(world.credit(text))


@given(_PHRASES, st.text("ab", max_size=8))
def test_without_a_space_phrases_count_wherever_they_are(
    phrases: dict[str, float], text: str
) -> None:
    phrases = {phrase.replace(" ", ""): boost for phrase, boost in phrases.items()}
    world = Sources(JOINED, hotwords=phrases)
    earned, credit = followed(phrases, JOINED, text)
    assert earned == pytest.approx(world.boosts(text, ended=False))
    assert credit == pytest.approx(world.credit(text))


@given(_PHRASES, st.lists(st.sampled_from([1, 2, 3]), max_size=12))
def test_no_token_gains_more_than_the_largest_gain(
    phrases: dict[str, float], tokens: list[int]
) -> None:
    hotwords = build_hotwords(phrases, SPACED)
    state = hotwords.start
    for token in tokens:
        before = hotwords.credit[state]
        state = follow(hotwords.trie, hotwords.fail, state, token)
        gain = hotwords.boost[state] + hotwords.credit[state] - before
        assert gain <= hotwords.largest_gain + 1e-12


def test_whole_words_alone_count_and_beginnings_are_credited_in_part() -> None:
    assert followed({"ab": 6.0}, SPACED, "ab ab bab aba") == (12.0, 0.0)
    assert followed({"ab": 6.0}, SPACED, "a") == (0.0, 2.0)
    assert followed({"ab": 6.0}, SPACED, "ab") == (0.0, 4.0)
    assert followed({"ab": 6.0}, SPACED, "abb") == (0.0, 0.0)
    assert followed({"a b": 3.0, "b": 1.0}, SPACED, "a b ") == (4.0, 0.0)


def test_spaces_of_a_phrase_are_single() -> None:
    assert followed({"  a   b ": 3.0}, SPACED, "a b ") == (3.0, 0.0)


def test_a_phrase_may_have_another_case_than_the_model_writes() -> None:
    assert followed({"AB b": 3.0}, SPACED, "ab b ") == (3.0, 0.0)


@pytest.mark.parametrize(
    ("phrase", "found"), [("caba", "'c'"), ("", "no characters"), ("  ", "no characters")]
)
def test_a_phrase_that_cannot_be_spelt_is_named(phrase: str, found: str) -> None:
    with pytest.raises(TextError, match=rf"hot word {phrase!r}: .* found {found}"):
        build_hotwords({phrase: 1.0}, SPACED)


def test_a_phrase_of_two_words_needs_a_space() -> None:
    with pytest.raises(TextError, match=r"hot word 'a b': .* found ' '"):
        build_hotwords({"a b": 1.0}, JOINED)


@pytest.mark.parametrize("boost", [math.nan, math.inf, 1e308, -1.1e6])
def test_a_boost_out_of_range_is_refused(boost: float) -> None:
    with pytest.raises(ConfigError) as raised:
        build_hotwords({"ab": boost}, SPACED)
    expected = f"hot word 'ab': expected a boost from -1e+06 to 1e+06, found {boost}"
    assert str(raised.value) == expected
