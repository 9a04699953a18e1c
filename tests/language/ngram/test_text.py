"""Text for language models: what is read, left out and refused."""

import gzip
import logging
from pathlib import Path

import pytest

from asr.corpus.manifest import Utterance, write_manifest
from asr.errors import AsrError, TextError
from asr.language.ngram import arpa
from asr.language.ngram.text import read_sentences, split_characters


def test_one_sentence_per_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffyes  no\r\ncafe\u0301\t\n".encode())

    assert read_sentences(path) == [["yes", "no"], ["caf\u00e9"]]


def test_compressed_text(tmp_path: Path) -> None:
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"yes no\nno\n"))

    assert read_sentences(path) == [["yes", "no"], ["no"]]


def test_manifest(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write_manifest(path, [Utterance("u", tmp_path / "u.wav", 1.0, "yes no")])

    assert read_sentences(path) == [["yes", "no"]]


def test_characters_as_words(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab  c\n", encoding="utf-8")

    assert read_sentences(path, units="characters") == [["a", "b", "<space>", "c"]]
    assert split_characters(["ab", "c"]) == ["a", "b", "<space>", "c"]


def test_empty_sentences_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("yes\n\n  \nno\n", encoding="utf-8")

    with caplog.at_level(logging.WARNING, "asr"):
        assert read_sentences(path) == [["yes"], ["no"]]
    assert f"{path}: left out 2 empty sentences" in caplog.text


@pytest.mark.parametrize("word", ["<s>", "</s>", "<unk>", "<space>"])
def test_reserved_words_are_refused_by_line(tmp_path: Path, word: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(f"yes\nno {word}\n", encoding="utf-8")

    with pytest.raises(TextError, match=rf"text\.txt, line 2: {word} is reserved"):
        read_sentences(path)


def test_text_without_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\n \n", encoding="utf-8")

    with pytest.raises(TextError, match="the text has no words"):
        read_sentences(path)


def test_unreadable_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"yes \xff")

    with pytest.raises(TextError, match=r"text\.txt: not UTF-8 \(.* at byte 4\)"):
        read_sentences(path)
    with pytest.raises(AsrError, match=r"none\.txt: cannot read"):
        read_sentences(tmp_path / "none.txt")


def test_characters_of_no_text_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a\u200bb\tc\nd\x07 \u200b\n", encoding="utf-8")

    with pytest.raises(TextError, match=r"CONTROL CHARACTER \(1 times\), U\+200B.*\(2 times\)"):
        read_sentences(path)


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n \n\t"])
@pytest.mark.parametrize("beginning", ["", "\n", " \n\n"])
def test_lines_are_counted_as_they_are_seen(
    tmp_path: Path, beginning: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "text"
    content = f"{beginning}  A B \n\n \nC{ending}"
    path.write_text(content, encoding="utf-8")
    assert read_sentences(path) == [["A", "B"], ["C"]]
    blank = len([line for line in content.removesuffix("\n").split("\n") if not line.strip()])
    assert f"left out {blank} empty sentences" in caplog.text
    path.write_text(f"{content}\n\n<s> D", encoding="utf-8")
    with pytest.raises(TextError, match=f"line {path.read_text().count(chr(10)) + 1}: <s> is"):
        read_sentences(path)


def test_a_gzip_file_that_would_fill_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arpa, "_MOST_UNPACKED", 1 << 20)
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"\n" * (1 << 20) + b"A"))
    with pytest.raises(AsrError, match=r"text\.gz: expected at most 1 MB in .* of gzip data"):
        read_sentences(path)
    path.write_bytes(gzip.compress(b"\n" * 1000 + b"A"))
    assert read_sentences(path) == [["A"]]
