"""Text from outside as it is shown."""

import json
import logging

import pytest

from asr.printing import PrintableFormatter, printable, printable_json, visible

HARMFUL = (
    "\x00 \x07 \x08 \r \x1b[2J \x7f \x85 \x9b31m \u061c \u200f \u202e \u2066 \u2028 \u2029 \ufeff"
)


def test_control_characters_are_escaped_and_the_form_stays() -> None:
    assert printable("a\x1b[31mb\tc\nd") == "a\\x1b[31mb\tc\nd"
    assert printable("\u202egpj.exe") == "\\u202egpj.exe"
    assert printable("a\ud800") == "a\\ud800"
    shown = printable(HARMFUL)
    assert shown.isprintable()
    assert len(shown.split()) == len(HARMFUL.split(" "))


@pytest.mark.parametrize(
    "text", ["Ünïcode", "क्‍ष", "👩\u200d🚀", "می\u200cخواهم", "e\u0301", "a\u00a0b"]
)
def test_text_that_is_only_unusual_stays(text: str) -> None:
    assert printable(text) == text
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text


def test_json_keeps_its_values() -> None:
    value = {f"key {HARMFUL}": [HARMFUL, "a\nb\tc"], "text": "é"}
    text = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.splitlines())
    assert "é" in text


def test_a_word_shows_what_cannot_be_seen() -> None:
    assert visible("a\u00a0b\u200d") == "a\\xa0b\\u200d"


def test_log_records_are_printable() -> None:
    record = logging.LogRecord("asr", 20, "", 0, "no file %s", ("\x1b]0;x\x07.wav",), None)
    assert PrintableFormatter("%(message)s").format(record) == "no file \\x1b]0;x\\x07.wav"
