"""Error rates in a checkpoint's metrics."""

from typing import Any

import pytest

from asr.checkpoint.figures import Figures, figures_of, is_interval, percent


def test_rates_intervals_and_command_are_told_from_the_rest() -> None:
    record = {
        "wer": 0.0285,
        "wer_interval": [0.017, 0.0414],
        "cer": 0.01,
        "cer_interval": "unknown",
        "command": "asr evaluate english test.jsonl",
        "utterances": 130,
    }
    assert figures_of("AN4 test", record) == Figures(
        name="AN4 test",
        rates={"wer": 0.0285, "cer": 0.01},
        intervals={"wer": (0.017, 0.0414)},
        command="asr evaluate english test.jsonl",
        rest={"cer_interval": "unknown", "utterances": 130},
    )


@pytest.mark.parametrize("record", [None, 3, "wer", [], {}, {"wer": None}, {"loss": 0.5}])
def test_record_without_an_error_rate(record: Any) -> None:
    assert figures_of("x", record) is None


@pytest.mark.parametrize("value", [[], [0.1], [0.1, 0.2, 0.3], ["a", "b"], "ab", None, [0.1, -1]])
def test_what_is_no_interval(value: Any) -> None:
    assert not is_interval(value)


def test_percent() -> None:
    assert percent(0.02847) == "2.85"
