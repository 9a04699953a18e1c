"""Partial results take each other's place on a terminal; final ones are lines of stdout."""

import json
import os

import pytest

from asr.cli.live_output import LiveFormat, LivePrinter
from asr.inference.events import Final, Partial, StreamEvent
from asr.inference.transcript import Transcript

EVENTS: list[StreamEvent] = [
    Partial("ONE T", 0.5, 1.0),
    Partial("ONE TWO\x1b[2J", 0.5, 2.0),
    Final(Transcript("ONE TWO", 2.0, -1.0, 0.0), 0.5, 2.5),
    Partial("一二三四五六七", 3.0, 4.0),
    Partial("", 3.0, 4.0),
]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_text(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((12, 24)))
    LivePrinter(LiveFormat.TXT, partials=False)(EVENTS)
    printed = capsys.readouterr()
    assert printed.out == "ONE TWO\n"
    shown = ["", "ONE T", "NE TWO\\x1b[2J"[-11:], "", "三四五六七", ""]
    assert printed.err == ("\r\x1b[K".join(shown) if is_terminal else "")


@pytest.mark.parametrize("partials", [False, True])
def test_json_lines(partials: bool, capsys: pytest.CaptureFixture[str]) -> None:
    LivePrinter(LiveFormat.JSONL, partials)(EVENTS)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines if line["type"] == "final"] == ["ONE TWO"]
    assert (lines[0]["start"], lines[-1]["end"]) == ((0.5, 4.0) if partials else (0.5, 2.5))
    assert len(lines) == (5 if partials else 1)
