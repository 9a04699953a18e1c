"""Transcripts as files: subtitles, CTM, JSON."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

from asr.errors import TextError
from asr.inference.transcript import Alternative, Transcript
from asr.inference.writers import OutputFormat, captions, render, transcript_json
from asr.text.scripts import columns, continues
from asr.text.timed import Timed, TimedWord, render_ctm

RECORDING = Path("talks/monday.wav")


def said(*words: tuple[str, float, float]) -> Transcript:
    return Transcript(
        text=" ".join(text for text, _, _ in words),
        duration_seconds=5000.0,
        log_score=-1.5,
        processing_seconds=0.25,
        words=tuple(TimedWord(text, start, end, 0.9) for text, start, end in words),
    )


TWO_CAPTIONS = said(("A<B", 0.5, 0.75), ("&", 0.8, 1.0), ("LATER", 3661.0, 3661.5))


def test_srt() -> None:
    assert render(RECORDING, TWO_CAPTIONS, OutputFormat.SRT) == (
        "1\n00:00:00,500 --> 00:00:01,000\nA<B &\n\n2\n01:01:01,000 --> 01:01:01,500\nLATER\n\n"
    )


def test_vtt_escapes_its_markup() -> None:
    assert render(RECORDING, TWO_CAPTIONS, OutputFormat.VTT) == (
        "WEBVTT\n\n"
        "00:00:00.500 --> 00:00:01.000\nA&lt;B &amp;\n\n"
        "01:01:01.000 --> 01:01:01.500\nLATER\n\n"
    )


def test_tsv_is_in_milliseconds() -> None:
    assert render(RECORDING, TWO_CAPTIONS, OutputFormat.TSV) == (
        "start\tend\ttext\n500\t1000\tA<B &\n3661000\t3661500\tLATER\n"
    )


def test_ctm() -> None:
    assert render(RECORDING, TWO_CAPTIONS, OutputFormat.CTM) == (
        "monday 1 0.500 0.250 A<B 0.9000\n"
        "monday 1 0.800 0.200 & 0.9000\n"
        "monday 1 3661.000 0.500 LATER 0.9000\n"
    )
    with pytest.raises(TextError, match="cannot be the name of a recording in CTM"):
        render(Path("on monday.wav"), TWO_CAPTIONS, OutputFormat.CTM)


def test_nothing_said() -> None:
    silence = said()
    found = {kind: render(RECORDING, silence, kind) for kind in OutputFormat.ALL.kinds}
    assert found.pop(OutputFormat.JSON)
    assert found == {
        OutputFormat.TXT: "\n",
        OutputFormat.SRT: "",
        OutputFormat.VTT: "WEBVTT\n\n",
        OutputFormat.TSV: "start\tend\ttext\n",
        OutputFormat.CTM: "",
    }


def test_long_speech_is_cut_where_it_can_be_read() -> None:
    words = [("INDEED", 0.5 * i, 0.5 * i + 0.4) for i in range(60)]
    found = list(captions(said(*words).words))
    assert " ".join(c.text for c in found).split() == ["INDEED"] * 60
    for caption in found:
        assert caption.end_seconds - caption.start_seconds <= 7
        lines = caption.text.split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= 42 for line in lines)
    for before, after in pairwise(found):
        assert before.end_seconds <= after.start_seconds
    quick = [("INDEED", 0.05 * i, 0.05 * i + 0.04) for i in range(60)]
    assert all(len(c.text) <= 85 for c in captions(said(*quick).words))


def test_a_word_too_long_for_a_line_stays_whole() -> None:
    (caption,) = captions(said(("X" * 50, 0.0, 1.0)).words)
    assert caption.text == "X" * 50


def unspaced(text: str, seconds: float = 0.25, pause_after: int = -1) -> TimedWord:
    """A sentence as one word, whose characters follow each other without gaps."""
    starts = [i * seconds + 2.0 * (-1 < pause_after < i) for i in range(len(text) + 1)]
    spans = tuple(Timed(c, *times) for c, times in zip(text, pairwise(starts), strict=True))
    return TimedWord(text, 0.0, starts[-1], 0.9, spans)


@pytest.mark.parametrize("seconds", [0.04, 0.25, 0.7])
@pytest.mark.parametrize("text", ["今天天气很好我们去公园" * 9, "สวัสดีครับที่กำลัง" * 9, "天。" * 40])
def test_scripts_without_spaces_are_cut_between_characters(text: str, seconds: float) -> None:
    found = list(captions([unspaced(text, seconds)]))
    assert len(found) > 1
    for caption in found:
        assert caption.end_seconds - caption.start_seconds <= 7.0001
        lines = caption.text.split("\n")
        assert len(lines) <= 2
        assert all(columns(line) <= 42 for line in lines)
        assert not any(continues(line[0]) for line in lines)
        assert caption.in_one_line == "".join(lines)
    assert "".join(caption.in_one_line for caption in found) == text
    assert [c.start_seconds for c in found[1:]] == [c.end_seconds for c in found[:-1]]
    longest = max(columns(line) for c in found for line in c.text.split("\n"))
    assert seconds > 0.1 or longest > 38


def test_pauses_and_words_of_other_scripts_in_unspaced_text() -> None:
    words = [unspaced("我们用GPS走", pause_after=1), TimedWord("HELLO", 4.0, 5.5)]
    words.append(TimedWord("好的", 5.5, 6.0))  # without times of its characters
    first, second = captions(words)
    assert first.text == "我们"
    assert second.text == "用GPS走 HELLO 好的"
    ctm = render_ctm("a", words)
    assert [line.split()[4] for line in ctm.splitlines()] == [
        *"我们用",
        "GPS",
        "走",
        "HELLO",
        "好的",
    ]
    assert ctm.splitlines()[3] == "a 1 2.750 0.750 GPS 0.9000"


def test_wide_characters_take_two_columns() -> None:
    words = [(word, 0.1 * i, 0.1 * i + 0.1) for i, word in enumerate(["안녕하세요"] * 8)]
    (caption,) = captions(said(*words[:6]).words)
    assert [len(line.split()) for line in caption.text.split("\n")] == [3, 3]
    assert len(list(captions(said(*words).words))) == 2


def test_json_says_what_was_asked() -> None:
    plain = transcript_json(Transcript("HI", 1.0, -0.5, 0.1))
    assert plain == {"text": "HI", "log_score": -0.5, "log_language": 0.0}
    full = Transcript(
        text="HI",
        duration_seconds=1.0,
        log_score=-2.0,
        processing_seconds=0.1,
        log_language=-1.0,
        nbest=(Alternative("HI", -2.0, -1.0), Alternative("HEY", -3.0, -1.5)),
        words=(TimedWord("HI", 0.25, 0.5, 0.75),),
        log_ratio=-0.125,
    )
    assert transcript_json(full) == {
        "text": "HI",
        "log_score": -2.0,
        "log_language": -1.0,
        "nbest": [
            {"text": "HI", "log_score": -2.0, "log_language": -1.0},
            {"text": "HEY", "log_score": -3.0, "log_language": -1.5},
        ],
        "words": [{"word": "HI", "start": 0.25, "end": 0.5, "confidence": 0.75}],
        "log_ratio": -0.125,
        "rejected": False,
    }


def test_json_of_the_impossible_is_null() -> None:
    nothing = Transcript("", 1.0, -math.inf, 0.1, rejected=True)
    values = json.loads(render(RECORDING, nothing, OutputFormat.JSON))
    assert (values["text"], values["log_score"], values["rejected"]) == ("", None, True)


def test_all_is_every_format() -> None:
    assert set(OutputFormat.ALL.kinds) == set(OutputFormat) - {OutputFormat.ALL}
    assert not OutputFormat.TXT.is_timed
    assert not OutputFormat.JSON.is_timed
    assert all(kind.is_timed for kind in OutputFormat.ALL.kinds[2:])


def test_no_format_holds_control_characters() -> None:
    word = "A\x1b[2J\u202e\x9bB"
    hostile = said((word, 0.5, 0.75))
    for kind in OutputFormat.ALL.kinds:
        text = render(Path("calls/\x1b]0;x\x07.wav"), hostile, kind)
        assert not set(text) & set("\x07\x1b\x9b\u202e"), kind
        if kind is OutputFormat.JSON:
            assert json.loads(text)["text"] == word
        else:
            assert "A\\x1b[2J\\u202e\\x9bB" in text, kind
