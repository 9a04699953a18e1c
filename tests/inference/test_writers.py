"""Transcripts as files."""

import html
import json
import math
from pathlib import Path

import pytest
import tgt

from asr.errors import TextError
from asr.inference.transcript import Alternative, Transcript, make_readable
from asr.inference.writers import OutputFormat, render, render_each, transcript_json
from asr.text.readable import Readable, TextCase
from asr.text.timed import TimedWord

RECORDING = Path("talks/monday.wav")


def said(*words: tuple[str, float, float]) -> Transcript:
    return Transcript(
        text=" ".join(text for text, _, _ in words),
        duration_seconds=5000.0,
        log_score=-1.5,
        processing_seconds=0.25,
        words=tuple(TimedWord(text, start, end, 0.9) for text, start, end in words),
    )


NAMES = "talks/monday.wav", "on monday.wav", "caf\udce9.wav", "a\nb\x1b.wav", "(a).wav", ";;.wav"
TWO_PHRASES = said(("A<B", 0.5, 0.75), ("&", 0.8, 1.0), ("LATER", 3661.0, 3661.5))


def test_people_get_readable_text_and_scorers_what_was_spoken() -> None:
    spoken = said(("ENTER", 0.5, 0.75), ("FIVE", 0.8, 1.0), ("ONE", 1.0, 1.5))
    transcript = make_readable(spoken, Readable(TextCase.TITLE, "en"))
    found = {kind: render(RECORDING, "monday", transcript, kind) for kind in OutputFormat.ALL.kinds}
    for kind in (OutputFormat.JSON, OutputFormat.JSONL):
        values = json.loads(found.pop(kind))
        assert (values["text"], values["raw_text"]) == ("Enter 51", "ENTER FIVE ONE")
        assert [word["word"] for word in values["words"]] == ["ENTER", "FIVE", "ONE"]
    readable = {kind for kind, text in found.items() if "Enter 51" in text}
    assert readable == {OutputFormat.TXT, OutputFormat.SRT, OutputFormat.VTT, OutputFormat.TSV}
    for kind in set(found) - readable:
        assert found[kind] == render(RECORDING, "monday", spoken, kind)
    assert make_readable(spoken, Readable()) is spoken


def test_nothing_said() -> None:
    found = {kind: render(RECORDING, "monday", said(), kind) for kind in OutputFormat.ALL.kinds}
    for kind in (OutputFormat.JSON, OutputFormat.JSONL, OutputFormat.TEXTGRID):
        assert found.pop(kind)
    assert found == {
        OutputFormat.TXT: "\n",
        OutputFormat.SRT: "",
        OutputFormat.VTT: "WEBVTT\n\n",
        OutputFormat.TSV: "start\tend\ttext\n",
        OutputFormat.CTM: "",
        OutputFormat.STM: "",
        OutputFormat.TRN: "(monday)\n",
    }


def test_every_format_holds_what_was_said() -> None:
    for kind in OutputFormat.ALL.kinds:
        text = html.unescape(render(RECORDING, "monday", TWO_PHRASES, kind))
        assert all(word in text for word in TWO_PHRASES.text.split()), kind
        if kind not in (OutputFormat.JSON, OutputFormat.JSONL):
            assert kind.is_timed == ("3661" in text or "01:01:01" in text), kind
    assert render(RECORDING, "monday", TWO_PHRASES, OutputFormat.STM).count("\n") == 2


def test_textgrid_has_tiers_of_words_and_phrases(tmp_path: Path) -> None:
    path = tmp_path / f"a{OutputFormat.TEXTGRID.suffix}"
    path.write_text(render(RECORDING, "monday", TWO_PHRASES, OutputFormat.TEXTGRID))
    tiers = {tier.name: tier for tier in tgt.io.read_textgrid(path).tiers}
    assert [span.text for span in tiers["words"]] == ["A<B", "&", "LATER"]
    assert [span.text for span in tiers["phrases"]] == ["A<B &", "LATER"]
    assert (tiers["phrases"][0].start_time, tiers["phrases"][0].end_time) == (0.5, 1.0)


def test_json_lines_have_the_values_of_json() -> None:
    provenance = {"decoding": {"search": "greedy"}, "versions": {"asr": "1"}}
    lines = "".join(
        render(Path(name), Path(name).stem, TWO_PHRASES, OutputFormat.JSONL, provenance)
        for name in NAMES
    )
    values = [json.loads(line) for line in lines.splitlines()]
    assert [value["id"] for value in values] == [Path(name).stem for name in NAMES]
    assert [value["audio_filepath"] for value in values] == list(NAMES)
    for name, value in zip(NAMES, values, strict=True):
        alone = json.loads(
            render(Path(name), Path(name).stem, TWO_PHRASES, OutputFormat.JSON, provenance)
        )
        assert alone == value
        assert {key: alone[key] for key in provenance} == provenance


@pytest.mark.parametrize("name", NAMES)
def test_formats_that_cannot_hold_a_name_are_left_out(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    texts = render_each(Path(name), Path(name).stem, TWO_PHRASES, OutputFormat.ALL.kinds)
    left_out = [kind for kind in OutputFormat.ALL.kinds if kind not in texts]
    for kind, text in texts.items():
        assert text == render(Path(name), Path(name).stem, TWO_PHRASES, kind)
        text.encode("utf-8")
        assert not set(text) & set("\x1b\udce9")
    for kind in left_out:
        with pytest.raises(TextError, match="cannot be the name"):
            render_each(Path(name), Path(name).stem, TWO_PHRASES, [kind])
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == bool(left_out)
    assert all(f"not written as {', '.join(left_out)}: " in warning for warning in warnings)
    assert left_out == {
        "talks/monday.wav": [],
        "caf\udce9.wav": [],
        "(a).wav": [OutputFormat.TRN],
    }.get(name, [OutputFormat.CTM, OutputFormat.STM, OutputFormat.TRN])


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
    values = json.loads(render(RECORDING, "monday", nothing, OutputFormat.JSON))
    assert (values["text"], values["log_score"], values["rejected"]) == ("", None, True)


def test_all_is_every_format() -> None:
    assert set(OutputFormat.ALL.kinds) == set(OutputFormat) - {OutputFormat.ALL}
    assert len({kind.suffix for kind in OutputFormat.ALL.kinds}) == len(OutputFormat) - 1


def test_no_format_holds_control_characters() -> None:
    word = "A\x1b[2J\u202e\x9bB"
    hostile = said((word, 0.5, 0.75))
    for kind in OutputFormat.ALL.kinds:
        text = render(Path("calls/\x1b]0;x\x07.wav"), "\x1b]0;x\x07", hostile, kind)
        assert not set(text) & set("\x07\x1b\x9b\u202e"), kind
        if kind in (OutputFormat.JSON, OutputFormat.JSONL):
            assert json.loads(text)["text"] == word
        else:
            assert "A\\x1b[2J\\u202e\\x9bB" in text, kind
