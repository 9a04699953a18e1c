"""Words with times: JSON values and the CTM and TextGrid formats."""

import pytest

from asr.errors import TextError
from asr.text.timed import Timed, TimedWord, render_ctm, render_textgrid, words_json

WORDS = [
    TimedWord("AB", 0.1, 0.3, 0.75, (Timed("A", 0.1, 0.2), Timed("B", 0.2, 0.3))),
    TimedWord("C", 0.30000049, 1.0),
]


def test_json_rounds_and_leaves_out_what_is_missing() -> None:
    assert words_json(WORDS) == [
        {
            "word": "AB",
            "start": 0.1,
            "end": 0.3,
            "confidence": 0.75,
            "characters": [
                {"character": "A", "start": 0.1, "end": 0.2},
                {"character": "B", "start": 0.2, "end": 0.3},
            ],
        },
        {"word": "C", "start": 0.3, "end": 1.0},
    ]


def test_ctm_has_a_line_per_word() -> None:
    assert render_ctm("call", WORDS) == "call 1 0.100 0.200 AB 0.7500\ncall 1 0.300 0.700 C\n"


def test_ctm_durations_end_where_the_rounded_end_is() -> None:
    words = [TimedWord("A", 0.0004, 0.0016), TimedWord("B", 0.0016, 0.0024)]

    assert render_ctm("r", words) == "r 1 0.000 0.002 A\nr 1 0.002 0.000 B\n"


@pytest.mark.parametrize("name", ["", "two words", "tab\there", ";;comment", " padded "])
def test_ctm_refuses_names_that_it_cannot_hold(name: str) -> None:
    with pytest.raises(TextError, match="cannot be the name of a recording in CTM"):
        render_ctm(name, WORDS)


def test_textgrid_fills_gaps_in_both_tiers() -> None:
    text = render_textgrid(WORDS[:1], 0.5)

    assert text.count("intervals: size = 3") == 1  # before, the word, after
    assert text.count("intervals: size = 4") == 1
    lines = [line.strip() for line in text.splitlines()]
    starts = [line for line in lines if line.startswith("xmin")]
    ends = [line for line in lines if line.startswith("xmax")]
    assert starts[2:5] == ["xmin = 0", *(line.replace("xmax", "xmin") for line in ends[2:4])]
    assert ends[4] == "xmax = 0.5"


def test_textgrid_escapes_quotation_marks() -> None:
    assert 'text = "say ""A"""' in render_textgrid([TimedWord('say "A"', 0.0, 1.0)], 1.0)


def test_textgrid_without_words_is_one_empty_interval() -> None:
    assert render_textgrid([], 2.0).count('text = ""') == 2


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_times_must_increase(start: float, end: float) -> None:
    with pytest.raises(AssertionError):
        Timed("A", start, end)
