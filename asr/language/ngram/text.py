"""Reading text to train language models on or to evaluate them with."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.manifest import read_manifest
from asr.errors import AsrError, TextError
from asr.language.ngram.arpa import uncompressed
from asr.language.ngram.table import SPACE, SPECIAL_WORDS
from asr.text.normal import describe_characters, normal_form, stray_characters
from asr.text.tokens import Units, split_text

_LINE = re.compile(r"\S[^\n]*")
"""A line that is not blank, from its first word on. Found so that blank ones, of which a small
compressed file may hold billions, take no time of Python's."""

_log = logging.getLogger(__name__)


def read_sentences(path: Path | str, units: Units | None = None) -> list[list[str]]:
    """The sentences of a text, each a list of words in Unicode NFC.

    A `.jsonl` file is a manifest, whose texts are taken; any other file has one sentence per line,
    in UTF-8, and may be compressed with gzip. With `units` each character is a word, and SPACE is
    the one between words. Empty sentences are left out, with a warning that counts them.

    Raises AsrError (ManifestError, TextError) if the file cannot be read, has no words or has
    characters that are no text, and, naming the line, if a word is SPACE or one of `SPECIAL_WORDS`.
    """
    path = Path(path)
    sentences, empty = [], 0
    characters_found: Counter[str] = Counter()
    for where, text, blank_lines in _texts(path):
        empty += blank_lines
        if not text.isprintable():
            characters_found.update(text)
        words = text.split()
        forbidden = next((special for special in (*SPECIAL_WORDS, SPACE) if special in words), None)
        if forbidden is not None:
            raise TextError(
                f"{where}: {forbidden} is reserved for language models; expected only words, found "
                f"{text[:80]!r}; remove it from the text"
            )
        if words:
            sentences.append(split_characters(words, units) if units else words)
        else:
            empty += 1
    strays = stray_characters(characters_found)
    if strays:
        found = describe_characters(Counter({c: characters_found[c] for c in strays}))
        raise TextError(f"{path}: expected text, found {found}; remove them from the text")
    if not sentences:
        raise TextError(f"{path}: the text has no words; expected at least one sentence")
    if empty:
        _log.warning("%s: left out %d empty sentences", path, empty)
    return sentences


def split_characters(words: list[str], units: Units = "characters") -> list[str]:
    """A sentence as the words of a character model: its characters, and SPACE between words."""
    text = " ".join(words)
    return [SPACE if character == " " else character for character in split_text(text, units)]


def _texts(path: Path) -> Iterator[tuple[str, str, int]]:
    """Each text, with its location for messages and the number of blank lines before it."""
    if path.suffix.lower() == ".jsonl":
        for utterance in read_manifest(path, require_audio=False):
            yield f"{path}: {utterance.id}", utterance.text, 0
        return
    try:
        content = uncompressed(path.read_bytes(), path).decode("utf-8-sig")
    except OSError as error:
        raise AsrError(
            f"{path}: cannot read ({error.strerror or error}); expected a text file"
        ) from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert the file to UTF-8"
        ) from error
    end, number = 0, 1
    for line in _LINE.finditer(content):
        newlines = content.count("\n", end, line.start())
        number += newlines
        blank_lines = newlines - 1 if end else newlines  # the first one ends the line before
        yield f"{path}, line {number}", normal_form(line[0]), blank_lines
        end = line.end()
    blank_lines = content[end:].removesuffix("\n").count("\n")
    if blank_lines:
        yield f"{path}, line {number + blank_lines}", "", blank_lines - 1
