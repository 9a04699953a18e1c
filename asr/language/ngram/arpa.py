"""Reading and writing n-gram models in the ARPA format.

    \\data\\
    ngram 1=3
    ngram 2=2

    \\1-grams:
    -99	<s>	-0.30103
    -0.30103	</s>
    -0.30103	yes	-0.1

    \\2-grams:
    -0.2	<s> yes
    -0.4	yes </s>

    \\end\\

Each n-gram has a line with log10 of its probability, its words, and log10 of its back-off weight,
which may be left out where it is 0, as it always is in the highest order. Text before `\\data\\`
and after `\\end\\` is ignored. Source of the format: SRILM, ngram-format(5).
"""

import gzip
import io
import itertools
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from asr.errors import AsrError
from asr.files import atomic_write
from asr.language.ngram.arpa_section import Vocabulary, parse_section
from asr.language.ngram.table import SENTENCE_END, SENTENCE_START, NgramTable

LARGEST_ORDER = 20
"""Word models rarely exceed order 5, character models order 20 (Likhomanenko et al., "Who Needs
Words? Lexicon-Free Speech Recognition", Interspeech 2019)."""

_MOST_UNPACKED, _LARGEST_RATIO = 1 << 26, 50
"""Text is compressed by a factor of 3 to 10; small files of repetitions may exceed the ratio."""
_LN_10 = math.log(10)
_DATA = re.compile(rb"^(?:\xef\xbb\xbf)?\\data\\[ \t\r]*$", re.MULTILINE)
_COUNT = re.compile(rb"ngram\s+(\d{1,18})\s*=\s*(\d{1,18})")
_NUMBER = re.compile(
    rb"[+-]?(?:\d{1,100}\.?\d{0,100}|\.\d{1,100})(?:[eE][+-]?\d+)?|[+-]?inf", re.IGNORECASE
)
_TRUNCATED = "the file is truncated or was edited: copy it again or rebuild it"


@dataclass(frozen=True)
class ArpaText:
    """The text of an ARPA file and where its sections begin, to locate errors for messages."""

    path: Path
    data: bytes
    sections: list[int] = field(default_factory=list)
    """The position after the heading of each section."""

    def locate_ngram(self, order: int, row: int) -> str:
        """The file and line of an n-gram."""
        lines = (at for at, line in self.lines(self.sections[order - 1]) if line.strip())
        return self.locate(next(itertools.islice(lines, row, None)))

    def locate(self, position: int) -> str:
        """The file and line of a position in the text."""
        newlines = self.data.count(b"\n", 0, position)
        return f"{self.path}, line {newlines + 1}"

    def lines(self, position: int) -> Iterator[tuple[int, bytes]]:
        """The lines from a position on, each with the position where it begins."""
        while position < len(self.data):
            end = self.data.find(b"\n", position) % (len(self.data) + 1)
            yield position, self.data[position:end]
            position = end + 1


def uncompressed(content: bytes, path: Path | str) -> bytes:
    """The content of a file, decompressed if its first two bytes are those of gzip.

    Raises AsrError if the compressed data is truncated or damaged, or if there is far more in it
    than any text gives: a small file could fill memory.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    most = max(_MOST_UNPACKED, _LARGEST_RATIO * len(content))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(most + 1)
        if len(unpacked) <= most:
            return unpacked
        raise AsrError(
            f"{path}: expected at most {most >> 20} MB in {len(content):,} bytes of gzip data, "
            "found more; if it is sound, decompress it first"
        )
    except (OSError, EOFError, zlib.error) as error:
        raise AsrError(
            f"{path}: the gzip data is truncated or damaged ({error}); copy the file again "
            "or rebuild it"
        ) from error


def parse_arpa(data: bytes, path: Path | str) -> tuple[NgramTable, ArpaText]:
    """Parse an ARPA text; `path` is only used in messages.

    Fields are separated by tabs or spaces, lines may end in CRLF, and the n-grams of a section may
    be in any order. Raises AsrError, naming the line, on a missing heading, a wrong count, an order
    above `LARGEST_ORDER`, a truncated text, and on a line that is not an n-gram of its section: not
    a number, a probability above 1, a word that is not a unigram or not UTF-8, a repeated
    unigram.
    """
    text = ArpaText(Path(path), data)
    counts, position = _header(text)
    vocabulary = Vocabulary.for_words(_capacity(counts[0], 1, data))
    words: tuple[str, ...] = ()
    tables = []
    for order, count in enumerate(counts, start=1):
        position = _heading(text, position, f"\\{order}-grams:", counts)
        text.sections.append(position)
        grams = np.empty((_capacity(count, order, data), order), dtype=np.int32)
        scores = np.zeros((len(grams), 2))
        rows, position, sound = parse_section(
            np.frombuffer(data, dtype=np.uint8),
            position,
            order < len(counts),
            vocabulary.slots,
            vocabulary.spans,
            grams,
            scores,
        )
        if not sound:
            _refuse(text, position, order, order < len(counts), words)
        if rows != count:
            raise AsrError(
                f"{text.locate(position)}: expected {count} {order}-grams before this, as the line "
                f"`ngram {order}={count}` says, found {rows}; {_TRUNCATED}"
            )
        words = words or _decoded(text, vocabulary)
        tables.append((grams, scores[:, 0] * _LN_10, scores[:, 1] * _LN_10))
    _heading(text, position, "\\end\\", counts)
    for mark in (SENTENCE_START, SENTENCE_END):
        if mark not in words:
            raise AsrError(
                f"{text.path}: {mark} is not among the 1-grams; expected a model of sentences "
                f"between {SENTENCE_START} and {SENTENCE_END}"
            )
    return NgramTable(words, *zip(*tables, strict=True)), text


def _header(text: ArpaText) -> tuple[list[int], int]:
    """The number of n-grams of each order as announced, and where the sections begin."""
    start = _DATA.search(text.data)
    if start is None:
        raise AsrError(
            f"{text.path}: no line `\\data\\`; expected an ARPA language model, plain or "
            f"compressed by gzip, found a file that begins {text.data[:40]!r}"
        )
    counts: list[int] = []
    for position, line in text.lines(start.end() + 1):
        line = line.strip()
        if line.startswith(b"\\"):
            break
        if not line:
            continue
        match = _COUNT.fullmatch(line)
        if match is None or int(match[1]) != len(counts) + 1:
            raise AsrError(
                f"{text.locate(position)}: expected `ngram {len(counts) + 1}=` and a count, then "
                f"the section `\\1-grams:`; found {_shown(line)}"
            )
        if len(counts) == LARGEST_ORDER:
            raise AsrError(
                f"{text.locate(position)}: expected n-grams of at most {LARGEST_ORDER} words, "
                f"found {_shown(line)}; build the model with a lower order"
            )
        counts.append(int(match[2]))
    else:
        position = len(text.data)
    if not counts or not counts[0]:
        raise AsrError(
            f"{text.locate(position)}: expected lines `ngram 1=COUNT`, `ngram 2=COUNT` and so on, "
            "with at least one 1-gram, after `\\data\\`; found none"
        )
    return counts, position


def _heading(text: ArpaText, position: int, heading: str, counts: list[int]) -> int:
    """The position after a heading, which must be the next line that is not empty."""
    for at, line in text.lines(position):
        found = line.strip()
        if found == heading.encode():
            return min(at + len(line) + 1, len(text.data))
        if found:
            announced = ", ".join(f"{n} {k}-grams" for k, n in enumerate(counts, start=1))
            raise AsrError(
                f"{text.locate(at)}: expected `{heading}`, as the header announces {announced}; "
                f"found {_shown(found)}; {_TRUNCATED}"
            )
    raise AsrError(
        f"{text.locate(len(text.data))}: expected `{heading}`, found the end of the file; "
        f"{_TRUNCATED}"
    )


def _capacity(count: int, order: int, data: bytes) -> int:
    """Rows to allocate: as many as announced, but no more than can fit in the file."""
    return min(count, len(data) // (2 * order + 2) + 1)


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("utf-8", errors="backslashreplace"))


def _refuse(
    text: ArpaText, position: int, order: int, backs_off: bool, words: tuple[str, ...]
) -> NoReturn:
    """Raise the error of the line that the compiled parser stopped at."""
    _, line = next(text.lines(position))
    fields = line.split()
    top = len(fields) == order + 2 and not backs_off and not _is_zero(fields[-1])
    if top or not order + 1 <= len(fields) <= order + 2:
        backoff = (
            "optionally a log10 back-off"
            if backs_off
            else f"no back-off but 0, as {order}-grams are the highest order"
        )
        error = (
            f"expected a log10 probability, {order} word(s) and {backoff}; found {len(fields)} "
            "fields"
        )
    elif error := next(filter(None, map(_number_error, (fields[0], *fields[order + 1 :]))), ""):
        pass
    elif float(fields[0]) > 0:
        error = f"expected a log10 probability of 0 or less, found {fields[0].decode()}"
    elif order == 1:
        error = f"the 1-gram {_shown(fields[1])} is already on an earlier line"
    else:
        known = {word.encode() for word in words}
        unknown = next(word for word in fields[1 : order + 1] if word not in known)
        error = f"the word {_shown(unknown)} is not among the 1-grams"
    raise AsrError(f"{text.locate(position)}: {error}; the line is {_shown(line.strip())}")


def _is_zero(number: bytes) -> bool:
    return _NUMBER.fullmatch(number) is not None and float(number) == 0


def _number_error(number: bytes) -> str:
    """What is wrong with a probability or back-off, of which -inf is valid; empty if nothing."""
    if not _NUMBER.fullmatch(number) or float(number) == math.inf:
        return f"expected a number, found {_shown(number)}"
    return ""


def _decoded(text: ArpaText, vocabulary: Vocabulary) -> tuple[str, ...]:
    words = []
    for first, past in vocabulary.spans.tolist():
        word = text.data[first:past]
        try:
            words.append(unicodedata.normalize("NFC", word.decode()))
        except UnicodeDecodeError as error:
            raise AsrError(
                f"{text.locate(first)}: the word {_shown(word)} is not UTF-8 ({error.reason}); "
                "convert the file to UTF-8"
            ) from error
    return tuple(words)


def write_arpa(path: Path | str, table: NgramTable) -> None:
    """Write a model as ARPA text, compressed if the name ends in `.gz`.

    The same table always gives the same bytes. Numbers have 7 significant digits. Raises AsrError
    if the file cannot be written.
    """
    path = Path(path)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".gz":  # no name and time in its header: the same bytes each time
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                packed.writelines(block.encode() for block in _blocks(table))
        else:
            file.writelines(block.encode() for block in _blocks(table))


def _blocks(table: NgramTable) -> Iterator[str]:
    """The text of a model in blocks, so that it is never in memory as a whole."""
    yield "\\data\\\n"
    for order, grams in enumerate(table.grams, start=1):
        yield f"ngram {order}={len(grams)}\n"
    for order, grams in enumerate(table.grams, start=1):
        yield f"\n\\{order}-grams:\n"
        for start in range(0, len(grams), 1 << 16):
            rows = slice(start, start + (1 << 16))
            columns = [[table.words[word] for word in column] for column in grams[rows].T.tolist()]
            scores = (table.log_probs[order - 1][rows] / _LN_10).tolist()
            backoffs = (table.log_backoffs[order - 1][rows] / _LN_10).tolist()
            yield "".join(
                f"{score:.7g}\t{' '.join(words)}\t{backoff:.7g}\n"
                if backoff
                else f"{score:.7g}\t{' '.join(words)}\n"
                for score, backoff, *words in zip(scores, backoffs, *columns, strict=True)
            )
    yield "\n\\end\\\n"
