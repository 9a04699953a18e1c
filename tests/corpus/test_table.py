"""Tables as utterances."""

import csv
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.manifest import Utterance
from asr.corpus.table import Columns, _rows, read_csv
from asr.errors import ManifestError
from tests.support import REPOSITORY, Command

COMMON_VOICE = """client_id\tpath\tsentence\tup_votes
ann\ta.wav\tHe said "no".\t2
bob\tb.wav\t"Yes, yes\t2
"""


def test_a_table_of_common_voice_is_read(corpus: Path) -> None:
    path = corpus / "train.tsv"
    path.write_text(COMMON_VOICE)
    columns = Columns("path", "sentence", speaker="client_id")

    assert read_csv(path, columns, corpus / "wav") == [
        Utterance("a", corpus / "wav" / "a.wav", 0.05, 'He said "no".', "ann"),
        Utterance("b", corpus / "wav" / "b.wav", 0.1, '"Yes, yes', "bob"),
    ]


def test_cells_of_a_csv_may_be_quoted(corpus: Path) -> None:
    path = corpus / "train.csv"
    path.write_bytes(b'\xef\xbb\xbfkey,file,words\r\n7,wav/a.wav,"ONE, ""TWO"""\r\n')

    (utterance,) = read_csv(path, Columns("file", "words", id="key"), corpus)

    assert utterance == Utterance("7", corpus / "wav" / "a.wav", 0.05, 'ONE, "TWO"')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the column 'path', found none"),
        (b"path,text\n", "expected the column 'sentence', found path, text"),
        (b"path,sentence\na.wav\n", "line 2: expected as many cells .* found fewer"),
        (b"path,sentence\na.wav,A\na.wav,A,B\n", "line 3: expected as many cells .* found more"),
        (b'path,sentence\na.wav,A\na.wav,"A\n', "line 3: cannot read it .*quotes"),
        (b'path,sentence\na.wav,"yes" he said\n', "line 2: cannot read it .* in quotes"),
        (b"path,sentence\na.wav,A\na.wav,\xff\n", "line 3: cannot read it .*UTF-8 table"),
        (b"path,sentence,sentence\na.wav,A,B\n", "the column 'sentence' once, found path, sent"),
        (b"path,sentence\n,A\n", "line 2: expected the path of a recording, found ''"),
        (b"path,sentence,start\na.wav,A,0\n", "expected the column 'end', found path, sentence"),
        (b"path,sentence,start,end\na.wav,A,0:01,2\n", "line 2: .*seconds as start.* '0:01'"),
        (b"path,sentence,start,end\na.wav,A,10,20\n", r"line 2: .* within 0\.050 s, found 10.0 s"),
        (b"path,sentence,start,end\na.wav,A,nan,\n", "line 2: .* found nan s"),
    ],
)
def test_malformed_tables_are_refused(corpus: Path, content: bytes, message: str) -> None:
    path = corpus / "train.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_csv(path, Columns("path", "sentence"), corpus / "wav")


def test_quotes_of_a_writer_are_taken_off(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asr.import")
    path = corpus / "train.tsv"
    path.write_text('path\tsentence\na.wav\t"He said ""no"" twice"\nb.wav\tyes\n')
    utterances = read_csv(path, Columns("path", "sentence"), corpus / "wav")
    assert [u.text for u in utterances] == ['He said "no" twice', "yes"]
    path.write_text(path.read_text().replace("\tyes", '\t"yes" he said'))
    utterances = read_csv(path, Columns("path", "sentence"), corpus / "wav")
    assert [u.text for u in utterances] == ['"He said ""no"" twice"', '"yes" he said']
    unquoted, literal = caplog.messages
    assert "cells in quotes are read without them" in unquoted
    assert "read as part of the texts, as on line 3" in literal


cells = st.text(st.sampled_from('ab" ,'), max_size=4)
broken = cells | st.sampled_from(["a\nb", '"\n"', 'a\t"b', "\t"])


def tables(cell: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.lists(cell, min_size=3, max_size=3), max_size=4)


@given(tables(broken), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_what_a_writer_quotes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], quoting: int
) -> None:
    for suffix, delimiter in (("tsv", "\t"), ("csv", ",")):
        path = tmp_path_factory.getbasetemp() / f"quoted.{suffix}"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
            writer.writerows([["path", "text", "more"], *rows])
        assert [row for _, row in _rows(path)][1:] == rows


@given(tables(cells))
def test_quotes_that_no_writer_would_leave_are_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "bare.tsv"
    rows = [["path", "text", "more"], ["a", '"', "b"], *rows, ["a", 'b"', "c"]]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    assert _rows(path) == list(enumerate(rows, start=1))


def test_rows_that_a_quote_hides_are_announced(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = corpus / "train.csv"
    path.write_text('path,sentence\na.wav,"ONE\nb.wav,TWO"\n')
    assert len(read_csv(path, Columns("path", "sentence"), corpus / "wav")) == 1
    assert "1 rows have cells with line breaks (first on line 2)" in caplog.text


def test_lines_may_be_segments(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = corpus / "train.csv"
    path.write_text(
        "path,sentence,start,end\nb.wav,ONE,0,0.04\nb.wav,TWO,0.04,\nb.wav,SIX,,-1\n"
        "b.wav,TEN,0.05,0.11\n"
    )
    utterances = read_csv(path, Columns("path", "sentence"), corpus / "wav")
    assert [(u.id, u.offset, round(u.duration, 6)) for u in utterances] == [
        ("b-0000000-0000040", 0.0, 0.04),
        ("b-0000040-0000100", 0.04, 0.06),
        ("b-0000000-0000100", 0.0, 0.1),
        ("b-0000050-0000100", 0.05, 0.05),
    ]
    assert "1 segments end after their recordings, by 0.010 s" in caplog.text
    whole = read_csv(path, Columns("path", "sentence", start=""), corpus / "wav")
    assert {(u.id, u.offset) for u in whole} == {("b", None)}
    named = path.read_text().replace("start,end", "from,to")
    path.write_text(named)
    columns = Columns("path", "sentence", start="from", end="to")
    assert read_csv(path, columns, corpus / "wav") == utterances


def test_the_quoted_table_of_the_faults(asr_command: Command, tmp_path: Path) -> None:
    folder = REPOSITORY.parent / "shared" / "faults" / "cv"
    if not folder.is_dir():
        pytest.skip("no folder of inputs that went wrong beside the checkout")
    output = tmp_path / "out.jsonl"
    table = folder / "pandas.tsv", "--root", folder / "clips"
    assert asr_command("import", "csv", *table, "-o", output).code == 0
    assert '"text": "He said \\"no\\" twice"' in output.read_text(encoding="utf-8")
