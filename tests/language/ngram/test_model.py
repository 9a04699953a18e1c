"""N-gram models: what ARPA files say, what they may not say, and what is kept of them.

The scores of GOLDEN were printed by the `kenlm` package, version 0.3.0, for the file SMALL.
"""

import gzip
import math
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import AsrError, TextError
from asr.language.ngram import model as ngram
from asr.language.ngram.arpa import NgramTable, write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import NgramModel, compile_model, read_arpa, score_word
from tests.language.ngram.test_kneser_ney import artificial_text

SMALL = """\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<s>\t-0.30103
-0.7\t</s>
-0.5\tyes\t-0.1
-0.6\tno\t-0.2
-1.1\t<unk>

\\2-grams:
-0.2\t<s> yes\t-0.15
-0.4\tyes </s>
-0.3\tyes no\t0
-0.33\tno yes\t-0.3

\\3-grams:
-0.05\t<s> yes no
-0.07\tno yes </s>

\\end\\
"""
GOLDEN = {
    "yes": -0.75,
    "yes no": -1.15,
    "no yes": -1.30103,
    "yes no yes no": -2.08,
    "foo yes no": -3.10103,
    "": -1.00103,
    "no no no": -3.40103,
}


def written(folder: Path, content: str | bytes, name: str = "lm.arpa") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def log10_prob(model: NgramModel, sentence: str) -> float:
    return model.log_prob(sentence) / math.log(10)


class Definition:
    """The back-off formula over n-grams in a dictionary."""

    def __init__(self, table: NgramTable) -> None:
        self.words = table.words
        self.log_probs: dict[tuple[int, ...], float] = {}
        self.log_backoffs: dict[tuple[int, ...], float] = {}
        for order, grams in enumerate(table.grams):
            for row, gram in enumerate(map(tuple, grams.tolist())):
                self.log_probs[gram] = float(table.log_probs[order][row])
                self.log_backoffs[gram] = float(table.log_backoffs[order][row])

    def log_prob(self, context: tuple[int, ...], word: int) -> float:
        if (*context, word) in self.log_probs:
            return self.log_probs[*context, word]
        return self.log_backoffs.get(context, 0.0) + self.log_prob(context[1:], word)

    def word_log_probs(self, sentence: list[str], order: int) -> list[float]:
        """As `NgramModel.word_log_probs`, with `order - 1` words of context at most."""
        numbers = [self.words.index(word) for word in ("<s>", *sentence, "</s>")]
        return [
            self.log_prob(tuple(numbers[max(0, i - order + 1) : i]), numbers[i])
            for i in range(1, len(numbers))
        ]


@st.composite
def tables(draw: st.DrawFn) -> NgramTable:
    """Models of every shape, in any order of rows: contexts are there, suffixes need not be."""
    words = ("<s>", "yes", "</s>", "no", "<unk>")
    order = draw(st.integers(1, 4))
    seed = random.Random(draw(st.integers(0, 10**6)))
    levels: list[list[tuple[int, ...]]] = [[(word,) for word in range(len(words))]]
    for _ in range(order - 1):
        longer = [(*gram, word) for gram in levels[-1] for word in range(len(words))]
        levels.append(seed.sample(longer, min(len(longer), seed.randrange(12))))
    weights = [0.0, -0.5, -2.25, 0.75]
    return NgramTable(
        words,
        tuple(
            np.array(level, dtype=np.int32).reshape(len(level), length)
            for length, level in enumerate(levels, start=1)
        ),
        tuple(np.array([-5 * seed.random() for _ in level]) for level in levels),
        tuple(
            np.array([seed.choice(weights) * (length < order) for _ in level])
            for length, level in enumerate(levels, start=1)
        ),
    )


sentences = st.lists(st.sampled_from(["yes", "no", "<unk>"]), max_size=8)


@given(tables(), sentences)
def test_scores_are_by_definition(table: NgramTable, sentence: list[str]) -> None:
    model = compile_model(table)
    expected = Definition(table).word_log_probs(sentence, table.order)

    np.testing.assert_allclose(model.word_log_probs(sentence), expected, atol=1e-12)
    assert model.log_prob(sentence) == pytest.approx(math.fsum(expected), abs=1e-12)


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


@pytest.mark.parametrize("sentence", GOLDEN)
def test_scores_are_kenlms(sentence: str, tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))

    assert log10_prob(model, sentence) == pytest.approx(GOLDEN[sentence], abs=1e-6)


def test_scores_are_those_of_kenlm_here(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    text = artificial_text(1)
    path = tmp_path / "lm.arpa"
    table = estimate(text, 4, (0, 0, 1)).table
    # Some tools prune n-grams that longer ones end in, which kenlm reads too.
    used = {tuple(gram[:-1]) for gram in table.grams[2].tolist()}
    kept = np.array([tuple(gram) in used or gram[0] % 2 == 0 for gram in table.grams[1].tolist()])
    table = NgramTable(
        table.words,
        *(
            (columns[0], columns[1][kept], *columns[2:])
            for columns in (table.grams, table.log_probs, table.log_backoffs)
        ),
    )
    write_arpa(path, table)
    model, theirs = read_arpa(path), kenlm.Model(str(path))

    for sentence in (*text[:100], *artificial_text(2, 300), ["oov"], ["w1", "oov", "w1"]):
        expected = [log10 for log10, _, _ in theirs.full_scores(" ".join(sentence))]
        ours = model.word_log_probs(sentence) / math.log(10)
        np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_sentence_marks(begins: bool, ends: bool, tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))
    expected = (-0.2 if begins else -0.5) + (-0.55 if begins else -0.4) * ends

    assert model.log_prob("yes", begins, ends) == pytest.approx(expected * math.log(10))
    with pytest.raises(TextError, match="</s>"):
        model.log_prob("yes </s>", begins, ends)


def test_unknown_words(tmp_path: Path) -> None:
    model = read_arpa(written(tmp_path, SMALL))
    closed = read_arpa(written(tmp_path, SMALL.replace("<unk>", "maybe"), "closed.arpa"))
    shouted = read_arpa(written(tmp_path, SMALL.replace("<unk>", "<UNK>"), "shouted.arpa"))

    assert (model.word_id("foo"), model.word_id("no"), model.end_word) == (4, 3, 1)
    assert (closed.word_id("foo"), closed.unknown_word, shouted.word_id("foo")) == (-1, -1, 4)
    assert closed.log_prob("yes foo") == -math.inf
    assert score_word(closed.arrays, closed.start_state, -1) == (-math.inf, 0)


def test_states_are_as_few_as_tell_contexts_apart(tmp_path: Path) -> None:
    arrays = read_arpa(written(tmp_path, SMALL)).arrays

    # Nothing; <s>, yes, no; <s> yes, no yes. After `yes no`, without back-off, as after `no`.
    assert len(arrays.log_backoff) == 6


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
    "order not announced": (edited("ngram 3=2\n", ""), 13, "no back-off, as 2-grams are the"),
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
    "word missing": (edited("-0.4\tyes </s>", "-0.4\tyes"), 15, "found 2 fields"),
    "word too many": (edited("yes </s>\n-0.3\t", "yes </s> no no\n-0.3\t"), 15, "found 5 fields"),
    "1-gram without word": (edited("-0.7\t</s>", "-0.7"), 8, "found 1 fields"),
    "word unknown": (edited("yes no\t0", "yes nay\t0"), 16, "the word 'nay' is not among"),
    "1-gram twice": (edited("<unk>", "yes"), 11, "the 1-gram 'yes' stands there already"),
    "2-gram twice": (edited("yes no\t0", "<s> yes\t0"), 16, "the 2-gram '<s> yes': stands there"),
    "3-gram twice": (edited("no yes </s>", "<s> yes no"), 21, "the 3-gram '<s> yes no': stands"),
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
        with pytest.raises(AsrError, match=r"lm\.arpa\.gz: the gzip data ends early or is damaged"):
            read_arpa(written(tmp_path, broken, "lm.arpa.gz"))


def test_a_word_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    content = SMALL.replace("no", "n\u00f6").encode("latin-1")
    with pytest.raises(AsrError, match=r"line 10: the word 'n\\\\xf6' is not UTF-8"):
        read_arpa(written(tmp_path, content))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.arpa"):
        with pytest.raises(AsrError, match="cannot read"):
            read_arpa(path)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that is kept ready, although it is small."""
    monkeypatch.setattr(ngram, "KEPT_FROM_BYTES", 1)
    return written(tmp_path, SMALL)


def kept_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.compiled.npz")


def never(*_: object) -> None:
    raise AssertionError("the text was read again")


def test_small_models_are_not_kept(tmp_path: Path) -> None:
    read_arpa(written(tmp_path, SMALL))

    assert [path.name for path in tmp_path.iterdir()] == ["lm.arpa"]


def test_large_models_are_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_arpa(large)
    monkeypatch.setattr(ngram, "parse_arpa", never)
    second = read_arpa(large)

    assert (second.words, second.order) == (first.words, first.order)
    for ours, theirs in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    large.write_text(SMALL.replace("-0.5", "-0.4"))
    with pytest.raises(AssertionError, match="read again"):
        read_arpa(large)


def test_a_kept_model_of_another_text_is_replaced(large: Path) -> None:
    read_arpa(large)
    stale = kept_file(large).read_bytes()
    large.write_text(SMALL.replace("-0.5\tyes", "-0.4\tyes"))

    assert read_arpa(large).log_prob("yes", bos=False, eos=False) == pytest.approx(
        -0.4 * math.log(10)
    )
    assert kept_file(large).read_bytes() != stale


def test_a_damaged_kept_model_is_not_used(large: Path) -> None:
    read_arpa(large)
    whole = kept_file(large).read_bytes()
    cuts = [whole[:size] for size in range(0, len(whole), 97)]
    flips = []
    for position in range(0, len(whole), 41):
        flipped = bytearray(whole)
        flipped[position] ^= 0x55
        flips.append(bytes(flipped))
    for content in (*cuts, *flips, b"", b"PK\x05\x06" + bytes(18)):
        kept_file(large).write_bytes(content)
        model = read_arpa(large)
        assert log10_prob(model, "yes no yes no") == pytest.approx(GOLDEN["yes no yes no"])


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        *(("unigram_state", 0, 6), ("unigram_state", 0, -1), ("next_state", 0, 10**6)),
        *(("backoff_state", 5, 5), ("backoff_state", 5, -1), ("keys", slice(None), 7)),
    ],
)
def test_a_kept_model_never_leads_out_of_bounds(
    large: Path, name: str, position: int | slice, value: int
) -> None:
    read_arpa(large)
    with np.load(kept_file(large)) as file:
        arrays = dict(file)
    arrays[name][position] = value
    np.savez(kept_file(large), **arrays)

    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])


@pytest.mark.parametrize("name", ["keys", "log_prob", "backoff_state", "unigram_state", "words"])
def test_a_kept_model_of_another_shape_is_not_used(large: Path, name: str) -> None:
    read_arpa(large)
    with np.load(kept_file(large)) as file:
        arrays = dict(file)
    for strange in (
        arrays[name][:-1],
        arrays[name].astype(np.float32),
        arrays[name][None],
        np.array(1),
    ):
        np.savez(kept_file(large), **{**arrays, name: strange})
        assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])
    del arrays[name]
    np.savez(kept_file(large), **arrays)
    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])


def test_a_folder_that_cannot_be_written_is_no_error(large: Path) -> None:
    kept_file(large).mkdir()

    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])
    assert sorted(path.name for path in large.parent.iterdir()) == [
        "lm.arpa",
        "lm.arpa.compiled.npz",
    ]


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
