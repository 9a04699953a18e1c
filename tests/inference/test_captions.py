"""Captions, read by webvtt-py and pysrt."""

import csv
import html
import io
from itertools import pairwise

import pysrt
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from asr.inference.captions import (
    CAPTION_SECONDS,
    COLUMNS_A_SECOND,
    LINE_COLUMNS,
    Caption,
    captions,
    render_srt,
    render_tsv,
    render_vtt,
)
from asr.text.scripts import columns, continues
from asr.text.timed import TimedWord
from tests.text.test_phrases import unspaced


def spoken(text: str, start: float = 0.0, word: float = 0.4, pause: float = 0.1) -> list[TimedWord]:
    """The words of a text, each of one length, with pauses between them."""
    step = word + pause
    return [
        TimedWord(w, start + i * step, start + i * step + word) for i, w in enumerate(text.split())
    ]


def texts(words: list[TimedWord], duration_seconds: float = 1000.0) -> list[str]:
    return [caption.in_one_line for caption in captions(words, duration_seconds)]


def check(found: list[Caption]) -> None:
    """What holds of all captions: some time each, one after the other, two lines that fit."""
    for caption in found:
        assert caption.start < caption.end
        assert len(caption.text.split("\n")) <= 2
    for before, after in pairwise(found):
        assert before.end <= after.start


SHOWN = [
    Caption("A<B &\nC>", 500, 1000, "A<B & C>"),
    Caption("LATER", 3_661_000, 3_661_500, "LATER"),
    Caption("É", 360_000_000, 360_000_001, "É"),
]


def test_srt() -> None:
    assert render_srt(SHOWN[1:2]) == "1\n01:01:01,000 --> 01:01:01,500\nLATER\n\n"
    found = pysrt.from_string(render_srt(SHOWN))
    assert [item.index for item in found] == [1, 2, 3]
    assert [item.text for item in found] == [caption.text for caption in SHOWN]
    assert [(item.start.ordinal, item.end.ordinal) for item in found] == [
        (caption.start, caption.end) for caption in SHOWN
    ]


def test_vtt_escapes_its_markup() -> None:
    text = render_vtt(SHOWN)
    assert text.startswith(
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.000\nA&lt;B &amp;\nC&gt;\n\n01:01:01.000 -->"
    )
    cues = webvtt.from_string(text, strict=True).captions
    assert [html.unescape(cue.text) for cue in cues] == [caption.text for caption in SHOWN]
    assert [(cue.start, cue.end) for cue in cues][1:] == [
        ("01:01:01.000", "01:01:01.500"),
        ("100:00:00.000", "100:00:00.001"),
    ]


def test_tsv_is_in_milliseconds() -> None:
    rows = list(csv.reader(io.StringIO(render_tsv(SHOWN)), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows == [
        ["start", "end", "text"],
        ["500", "1000", "A<B & C>"],
        ["3661000", "3661500", "LATER"],
        ["360000000", "360000001", "É"],
    ]


def test_long_speech_is_cut_where_it_can_be_read() -> None:
    found = captions(spoken(60 * "INDEED "), 40.0)
    check(found)
    assert " ".join(c.in_one_line for c in found).split() == ["INDEED"] * 60
    for caption in found:
        assert caption.end - caption.start <= 1000 * CAPTION_SECONDS
        assert all(columns(line) <= LINE_COLUMNS for line in caption.text.split("\n"))
    lengths = [len(c.in_one_line) for c in found]
    assert max(lengths) - min(lengths) <= len("INDEED ")  # no last word alone
    assert all(length <= 2 * LINE_COLUMNS + 1 for length in lengths)
    check(captions(spoken(60 * "INDEED ", word=0.04, pause=0.01), 40.0))


def test_a_word_too_long_for_a_line_stays_whole() -> None:
    long = "X" * 500
    for text in (long, f"A {long} B {long}"):
        lines = [line for c in captions(spoken(text), 9.0) for line in c.text.split("\n")]
        assert lines == text.split()


def test_captions_end_at_pauses() -> None:
    words = [*spoken("ONE TWO"), *spoken("THREE", 1.95), *spoken("FOUR", 2.8)]
    assert texts(words) == ["ONE TWO", "THREE FOUR"]


def test_captions_end_with_sentences() -> None:
    text = "Come and see us at 3.5 today. No. (He said so.) And then, he said, yes"
    assert texts(spoken(text)) == [
        "Come and see us at 3.5 today.",
        "No. (He said so.)",
        "And then, he said, yes",
    ]
    characters = "今天天气很好。我们去公园！好吗"
    starts = [0.25 * i for i in range(len(characters) + 1)]
    assert texts([unspaced(characters, starts)]) == ["今天天气很好。", "我们去公园！", "好吗"]


def test_within_a_sentence_captions_end_at_commas_and_short_pauses() -> None:
    fourteen = 14 * ["INDEED"]
    plain = spoken(" ".join(fourteen))
    assert [len(text.split()) for text in texts(plain)] == [7, 7]
    fourteen[5] = "INDEED,"
    assert len(texts(spoken(" ".join(fourteen)))[0].split()) == 6
    later = [*plain[:9], *spoken(5 * "INDEED ", 5.2)]
    assert [len(text.split()) for text in texts(later)] == [9, 5]


def test_captions_stay_until_they_can_be_read_if_nothing_is_said() -> None:
    quick = spoken("INDEED " * 10, word=0.05, pause=0.01)
    needed = 69 / COLUMNS_A_SECOND

    def shown(duration_seconds: float, then: list[TimedWord]) -> list[tuple[int, int]]:
        return [(c.start, c.end) for c in captions([*quick, *then], duration_seconds)]

    assert shown(60.0, []) == [(0, 1000 * needed)]
    assert shown(60.0, spoken("YES", 20.0)) == [(0, 1000 * needed), (20_000, 21_000)]
    assert shown(3.2, spoken("YES", 2.0)) == [(0, 2000), (2000, 3000)]  # until the next one
    assert shown(1.5, []) == [(0, 1500)]  # until the recording ends
    assert shown(0.0, []) == [(0, 590)]


def test_what_is_said_fast_is_shown_with_what_is_said_slowly() -> None:
    fast = spoken("INDEED " * 4, word=0.1, pause=0.01)
    slow = spoken("INDEED " * 10, 0.45)
    found = captions([*fast, *slow], 10.0)
    assert len(found) == 2
    for caption in found:
        needed = 1000 * columns(caption.in_one_line) / COLUMNS_A_SECOND
        assert caption.end - caption.start >= needed - 100


@pytest.mark.parametrize("seconds", [0.04, 0.25, 0.7])
@pytest.mark.parametrize("text", ["今天天气很好我们去公园" * 9, "สวัสดีครับที่กำลัง" * 9, "天，" * 40])
def test_scripts_without_spaces_are_cut_between_characters(text: str, seconds: float) -> None:
    found = captions([unspaced(text, [i * seconds for i in range(len(text) + 1)])], 0.0)
    check(found)
    assert len(found) > 1
    for caption in found:
        lines = caption.text.split("\n")
        assert all(columns(line) <= LINE_COLUMNS for line in lines)
        assert not any(continues(line[0]) for line in lines)
        assert caption.in_one_line == "".join(lines)
        assert seconds < 0.2 or caption.end - caption.start <= 1000 * CAPTION_SECONDS + 1
    assert "".join(caption.in_one_line for caption in found) == text
    assert [c.start for c in found[1:]] == [c.end for c in found[:-1]]


def test_pauses_and_words_of_other_scripts_in_unspaced_text() -> None:
    words = [unspaced("我们用GPS走", [0.0, 0.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75])]
    words += [TimedWord("HELLO", 4.0, 5.5), TimedWord("好的", 5.5, 6.0)]  # no times of characters
    assert texts(words) == ["我们", "用GPS走 HELLO 好的"]


def test_wide_characters_take_two_columns() -> None:
    (caption,) = captions(spoken("안녕하세요 " * 6, word=0.5, pause=0.1), 10.0)
    assert [len(line.split()) for line in caption.text.split("\n")] == [3, 3]
    assert len(captions(spoken("안녕하세요 " * 8), 10.0)) == 2


@given(
    st.lists(
        st.tuples(
            st.text("AB.,天。", min_size=1, max_size=60),
            st.sampled_from([1e-9, 1e-4, 0.3, 8.0]),
            st.sampled_from([0.0, 1e-4, 0.2, 3.0]),
        ),
        max_size=30,
    )
)
def test_any_words_give_valid_captions(parts: list[tuple[str, float, float]]) -> None:
    words, reached = [], 0.0
    for text, seconds, pause in parts:
        words.append(TimedWord(text, reached + pause, reached + pause + seconds))
        reached += pause + seconds
    found = captions(words, reached)
    check(found)
    assert [word for caption in found for word in caption.in_one_line.split()] == [
        word.text for word in words
    ]
    assert [item.text for item in pysrt.from_string(render_srt(found))] == [c.text for c in found]
    if found:
        assert len(webvtt.from_string(render_vtt(found), strict=True)) == len(found)
