"""Files of transcripts: formats that are read, and errors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ManifestError
from asr.scoring.transcripts import (
    TranscriptFormat,
    read_speakers,
    read_transcripts,
)
from asr.scoring.wer import (
    score,
)

EXPECTED = {"u1": "ONE TWO", "u2": "A", "u3": "", "u4": "caf\u00e9"}
JSONL = (
    '{"id": "u1", "text": " ONE TWO ", "audio_filepath": "a.wav", "duration": 1.0}\n'
    '{"text": "A", "id": "u2"}\n\n{"id": "u3", "text": ""}\n{"id": "u4", "text": "cafe\\u0301"}\n'
)
KALDI = "u1 ONE TWO\nu2\tA\nu3\n\nu4   cafe\u0301\n"
TRN = "ONE TWO (u1)\nA (u2)\n(u3)\ncafe\u0301(u4)\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", JSONL),
        ("a.txt", KALDI),
        ("a.TEXT", KALDI),
        ("text", KALDI),
        ("a.trn", TRN),
    ],
)
def test_formats_follow_the_suffix(
    tmp_path: Path, name: str, content: str, bom: str, ending: str
) -> None:
    path = tmp_path / name
    path.write_bytes((bom + content.replace("\n", ending)).encode())
    assert read_transcripts(path) == EXPECTED


def test_a_format_is_named_or_known_but_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "an4_test.transcription"
    path.write_text(TRN)
    with pytest.raises(ManifestError, match=r"the suffix '\.transcription' does not determine"):
        read_transcripts(path)
    assert read_transcripts(path, TranscriptFormat.TRN) == EXPECTED
    assert read_transcripts(path, TranscriptFormat.KALDI)["A"] == "(u2)"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"id": "a", "text": "A"}\n{"id": "b"', "line 2: not JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", b"[1]", "line 1: expected a JSON object"),
        ("a.jsonl", b'{"id": "a", "pred": "A"}', "'text' is missing; found the keys id, pred"),
        ("a.jsonl", b'{"id": 7, "text": "A"}', "'id' must be text, found 7"),
        ("a.jsonl", b'{"id": "a", "text": null}', "'text' must be text, found None"),
        ("a.jsonl", b'{"id": " ", "text": "A"}', "line 1: the id is empty"),
        ("a.jsonl", b'{"id": "a", "text": "\\ud800"}', "line 1: not valid Unicode"),
        ("a.txt", b"a ONE\nb TWO\n\na THREE", "line 4: the id 'a' is already on line 1"),
        ("a.txt", "e\u0301 A\n\u00e9 B".encode(), "line 2: the id 'é' is already on line 1"),
        ("a.trn", b"ONE TWO (a)\nTHREE", r"line 2: expected `word word \(id\)`"),
        ("a.trn", b"ONE (a b)", r"line 1: expected `word word \(id\)`"),
        ("a.trn", b"{ UH / UM } ONE (a)", "alternatives in braces"),
        ("a.txt", b"", "the file is empty"),
        ("a.txt", b"\xef\xbb\xbf\r\n \n", "the file is empty"),
        ("a.txt", b"a \xff\xfe", "cannot read the transcripts"),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_transcripts(path)
    assert str(caught.value).startswith(str(path))


def test_references_may_have_alternatives(tmp_path: Path) -> None:
    path = tmp_path / "a.trn"
    path.write_text("{ UH / UM } (OH) ONE (u1)\n")
    assert read_transcripts(path, alternatives=True) == {"u1": "{ UH / UM } (OH) ONE"}
    path.write_text("ONE (u1)\n{ UH / ONE (u2)\n")
    with pytest.raises(ManifestError, match=r"line 2: expected } after each {, found"):
        read_transcripts(path, alternatives=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hello big world\nturn the lights on\nstop it\n", "hello, turn, stop"),
        ("今天天气很好\n", "今天天气很好"),
        ("twenty-one\nno\nyes\n", "no, yes"),
    ],
)
def test_texts_without_ids_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "plain.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ManifestError, match=rf"an id before each text, found words \({words}\)"):
        read_transcripts(path)
    assert read_transcripts(path, TranscriptFormat.KALDI)
    path.write_text("u1 ONE\nann_2\nben TWO\n")
    assert list(read_transcripts(path)) == ["u1", "ann_2", "ben"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.txt: cannot read"):
        read_transcripts(tmp_path / "none.txt")
    with pytest.raises(ManifestError, match="cannot read"):
        read_transcripts(tmp_path)


def test_trn_keeps_brackets_inside_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.trn"
    path.write_text("ONE (COUGH) TWO (u1)\n")
    assert read_transcripts(path) == {"u1": "ONE (COUGH) TWO"}


def test_speakers_are_read_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "a", "text": "A", "speaker": "anna"}\n{"id": "b", "text": "B"}\n'
        '{"id": "c", "text": "C", "speaker": null}\n'
    )
    assert read_speakers(path) == {"a": "anna"}
    path.write_text('{"id": "a", "text": "A", "speaker": 3}\n')
    with pytest.raises(ManifestError, match="line 1: 'speaker' must be text, found 3"):
        read_speakers(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hypotheses")


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)


@given(st.dictionaries(words, st.lists(words, max_size=4).map("\u2028".join), min_size=1))
def test_separators_inside_texts_do_not_split_lines(
    folder: Path, hypotheses: dict[str, str]
) -> None:
    path = folder / "hypotheses.jsonl"
    lines = [
        json.dumps({"id": key, "text": text}, ensure_ascii=False)
        for key, text in hypotheses.items()
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    try:
        found = read_transcripts(path)
    except ManifestError as error:
        assert "is already on line" in str(error)  # noqa: PT017 - ids that NFC makes equal
        return
    assert score(found, found).wer == 0 if any(found.values()) else True
    assert len(found) == len(hypotheses)


def test_a_line_of_many_spaces_takes_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "r.trn"
    path.write_text(f"A{' ' * 1_000_000}B (u1)\nC (u 2\n", encoding="utf-8")
    with pytest.raises(
        ManifestError, match=r"line 2: expected `word word \(id\)`, found 'C \(u 2'"
    ):
        read_transcripts(path)
