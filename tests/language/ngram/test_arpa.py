"""ARPA files: forms that are read, errors that are reported, and what is written."""

import gzip
import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from asr.errors import AsrError
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model, read_arpa
from asr.language.ngram.table import SPECIAL_WORDS, NgramTable
from tests.oracles_ngram import (
    GOLDEN,
    SMALL,
    artificial_text,
    log10_prob,
    sentences,
    tables,
    written,
)


@given(table=tables(), sentence=sentences)
def test_text_and_back(
    table: NgramTable, sentence: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("arpa") / "lm.arpa"
    write_arpa(path, table)
    again = read_arpa(path)

    assert (again.words, again.order) == (table.words, table.order)
    np.testing.assert_allclose(
        again.word_log_probs(sentence), compile_model(table).word_log_probs(sentence), atol=1e-5
    )


VARIANTS = {
    "spaces for tabs": SMALL.replace("\t", " "),
    "many blanks": SMALL.replace("\t", " \t ").replace("<s> yes", "<s>\t\tyes"),
    "CRLF": SMALL.replace("\n", "\r\n"),
    "blanks at ends": SMALL.replace("\n", " \n"),
    "unsorted": re.sub("(-0.5\tyes.*\n)(-0.6\tno.*\n)", r"\2\1", SMALL),
    "no last newline": SMALL.rstrip(),
    "byte-order mark": "\ufeff" + SMALL,
    "comment": "made by hand\n\n" + SMALL + "and more\n",
    "zero back-offs": SMALL.replace("</s>\n", "</s>\t-0.0\n", 1).replace("no\t0\n", "no\n"),
    "exponents": re.sub(r"-0\.(\d)\t", r"-.0\1E+01\t", SMALL).replace("-0.1\n", "-100e-003\n"),
    "no blank lines": re.sub("\n+", "\n", SMALL),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_forms_of_the_same_file(name: str, compressed: bool, tmp_path: Path) -> None:
    content = VARIANTS[name].encode()
    path = written(tmp_path, gzip.compress(content) if compressed else content)
    model = read_arpa(path)

    for sentence, expected in GOLDEN.items():
        assert log10_prob(model, sentence) == pytest.approx(expected, abs=1e-6)


def test_impossible_words_and_strange_spellings(tmp_path: Path) -> None:
    text = SMALL.replace("-0.6\tno", "-inf\tno").replace("yes", "\u00e9t\u00e9\u3042")
    model = read_arpa(written(tmp_path, text))

    assert model.log_prob("no") == -math.inf
    assert log10_prob(model, "\u00e9t\u00e9\u3042") == pytest.approx(GOLDEN["yes"])


@pytest.mark.parametrize("zero", ["0", "-0.0", "0e5"])
def test_the_highest_order_may_have_back_offs_of_zero(zero: str, tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, edited("<s> yes no\n", f"<s> yes no\t{zero}\n")))
    for sentence, expected in GOLDEN.items():
        assert log10_prob(model, sentence) == pytest.approx(expected, abs=1e-6)


def edited(old: str, new: str) -> str:
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


BROKEN = {
    "empty": ("", None, "no line `\\data\\`"),
    "another text": ("<html>", None, "found a file that begins b'<html>'"),
    "header alone": ("\\data\\\n", 2, "expected lines `ngram 1=COUNT`"),
    "no counts": ("\\data\\\n\n\\1-grams:\n", 3, "expected lines `ngram 1=COUNT`"),
    "no 1-grams": ("\\data\\\nngram 1=0\n\n\\1-grams:\n\\end\\\n", 4, "at least one 1-gram"),
    "an order left out": (edited("ngram 2=4\n", ""), 3, "expected `ngram 2=`"),
    "count no number": (edited("ngram 2=4", "ngram 2=x"), 3, "found 'ngram 2=x'"),
    "fewer 1-grams": (edited("ngram 1=5", "ngram 1=6"), 13, "expected 6 1-grams before this"),
    "fewer 2-grams": (edited("ngram 2=4", "ngram 2=9"), 19, "found 4"),
    "far fewer": (edited("ngram 2=4", f"ngram 2={10**17}"), 19, "found 4"),
    "more 1-grams": (edited("ngram 1=5", "ngram 1=4"), 11, "expected `\\2-grams:`"),
    "more 3-grams": (edited("ngram 3=2", "ngram 3=1"), 21, "expected `\\end\\`"),
    "heading missing": (edited("\\2-grams:\n", ""), 13, "expected `\\2-grams:`"),
    "heading of another": (edited("\\2-grams:", "\\3-grams"), 13, "found '\\\\3-grams'"),
    "order not announced": (edited("ngram 3=2\n", ""), 13, "no back-off but 0, as 2-grams are"),
    "order without section": (edited("ngram 3=2", "ngram 3=2\nngram 4=0"), 24, "`\\4-grams:`"),
    "no end": (edited("\\end\\\n", ""), 23, "expected `\\end\\`, found the end of the file"),
    "cut in a section": (SMALL[: SMALL.index("-0.33")], 17, "expected 4 2-grams"),
    "cut in a line": (SMALL[: SMALL.index(" </s>")], 15, "found 2 fields"),
    "NaN": (edited("-0.33", "nan"), 17, "expected a number, found 'nan'"),
    "no number": (edited("-0.33", "x"), 17, "expected a number, found 'x'"),
    "two points": (edited("-0.33", "-0.3.3"), 17, "expected a number, found '-0.3.3'"),
    "sign alone": (edited("-0.33", "-"), 17, "expected a number, found '-'"),
    "no exponent": (edited("-0.33", "-1e"), 17, "expected a number, found '-1e'"),
    "hexadecimal": (edited("-0.33", "-0x1"), 17, "expected a number, found '-0x1'"),
    "long number": (edited("-0.33", "-" + "1" * 400), 17, "expected a number, found '-111"),
    "infinite": (edited("-0.33", "inf"), 17, "expected a number, found 'inf'"),
    "above one": (edited("-0.33", "0.33"), 17, "0 or less, found 0.33"),
    "back-off NaN": (edited("\t-0.3\n", "\tNaN\n"), 17, "expected a number, found 'NaN'"),
    "back-off infinite": (edited("\t-0.3\n", "\tinf\n"), 17, "expected a number, found 'inf'"),
    "back-off at the top": (edited("<s> yes no\n", "<s> yes no\t-1\n"), 20, "found 5 fields"),
    "back-off NaN at the top": (edited("<s> yes no\n", "<s> yes no\tx\n"), 20, "found 5 fields"),
    "fields after 0": (edited("<s> yes no\n", "<s> yes no\t0 0\n"), 20, "found 6 fields"),
    "word missing": (edited("-0.4\tyes </s>", "-0.4\tyes"), 15, "found 2 fields"),
    "word too many": (edited("yes </s>\n-0.3\t", "yes </s> no no\n-0.3\t"), 15, "found 5 fields"),
    "1-gram without word": (edited("-0.7\t</s>", "-0.7"), 8, "found 1 fields"),
    "word unknown": (edited("yes no\t0", "yes nay\t0"), 16, "the word 'nay' is not among"),
    "1-gram twice": (edited("<unk>", "yes"), 11, "the 1-gram 'yes' is already on an"),
    "2-gram twice": (edited("yes no\t0", "<s> yes\t0"), 16, "the 2-gram '<s> yes': is already"),
    "3-gram twice": (
        edited("no yes </s>", "<s> yes no"),
        21,
        "the 3-gram '<s> yes no': is already",
    ),
    "context missing": (edited("<s> yes no", "<s> no no"), 20, "'<s> no no': its first words"),
    "no start": (SMALL.replace("<s>", "<S>"), None, "<s> is not among the 1-grams"),
    "no end word": (SMALL.replace("</s>", "</S>"), None, "</s> is not among the 1-grams"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_broken_files_are_refused_by_line(name: str, newline: str, tmp_path: Path) -> None:
    content, line, message = BROKEN[name]
    path = written(tmp_path, content.replace("\n", newline))
    with pytest.raises(AsrError) as raised:
        read_arpa(path)

    where = f"{path}: " if line is None else f"{path}, line {line}: "
    assert str(raised.value).startswith(where), raised.value
    assert message in str(raised.value)


def test_every_cut_is_refused(tmp_path: Path) -> None:
    whole = SMALL.rstrip()
    for size in range(len(whole)):
        with pytest.raises(AsrError, match=r"lm\.arpa"):
            read_arpa(written(tmp_path, whole[:size]))


def test_gzip_cut_or_damaged_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(SMALL.encode())
    damaged = bytearray(content)
    damaged[40] ^= 0xFF
    for broken in (*(content[:size] for size in range(2, len(content), 7)), bytes(damaged)):
        with pytest.raises(AsrError, match=r"lm\.arpa\.gz: the gzip data is truncated or damaged"):
            read_arpa(written(tmp_path, broken, "lm.arpa.gz"))


def test_a_word_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    content = SMALL.replace("no", "n\u00f6").encode("latin-1")
    with pytest.raises(AsrError, match=r"line 10: the word 'n\\\\xf6' is not UTF-8"):
        read_arpa(written(tmp_path, content))


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.arpa"):
        with pytest.raises(AsrError, match="cannot read"):
            read_arpa(path)


def test_same_sentences_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    text = artificial_text(1)
    write_arpa(tmp_path / "a.arpa.gz", estimate(text, 3, (0, 0, 1)).table)
    write_arpa(tmp_path / "b.arpa.gz", estimate(reversed(text), 3, (0, 0, 1)).table)
    write_arpa(tmp_path / "plain.arpa", estimate(text, 3, (0, 0, 1)).table)

    content = (tmp_path / "a.arpa.gz").read_bytes()
    assert content == (tmp_path / "b.arpa.gz").read_bytes()
    assert gzip.decompress(content) == (tmp_path / "plain.arpa").read_bytes()


def test_text_of_a_small_model(tmp_path: Path) -> None:
    table = estimate([["ja", "nein"], ["ja"]], 2).table
    write_arpa(tmp_path / "lm.arpa", table)
    lines = (tmp_path / "lm.arpa").read_text().splitlines()

    assert table.words == (*SPECIAL_WORDS, "ja", "nein")
    assert lines[:5] == ["\\data\\", "ngram 1=5", "ngram 2=4", "", "\\1-grams:"]
    assert lines[6].split("\t")[:2] == ["-99", "<s>"]
    assert lines[-1] == "\\end\\"


def test_write_refuses_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="create the folder first"):
        write_arpa(tmp_path / "nowhere" / "lm.arpa", estimate([["a"]], 1).table)


@pytest.mark.slow
def test_a_million_ngrams_load_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa.gz"
    table = estimate(artificial_text(3, 120_000), 5).table
    assert sum(map(len, table.grams)) > 1_000_000
    write_arpa(path, table)
    read_arpa(written(tmp_path, SMALL))  # compiled functions are ready

    seconds = []
    for _ in range(2):
        start = time.process_time()
        read_arpa(path)
        seconds.append(time.process_time() - start)
    assert seconds[0] < 5
    assert seconds[1] < 0.5


def test_decomposed_words_are_those_of_composed_ones(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    grams = "-99\t<s>\n-1\t</s>\n-0.5\tcafe\u0301\n-1\t<unk>"
    text = f"\\data\\\nngram 1=4\n\n\\1-grams:\n{grams}\n\n\\end\\\n"
    path.write_text(text, encoding="utf-8")

    assert "caf\u00e9" in read_arpa(path).words
