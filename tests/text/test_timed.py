"""Words with times, and their JSON values."""

import pytest

from asr.text.timed import Timed, TimedWord, words_json

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


@pytest.mark.parametrize(("start", "end"), [(-0.1, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_times_must_increase(start: float, end: float) -> None:
    with pytest.raises(AssertionError):
        Timed("A", start, end)
