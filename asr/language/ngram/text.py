"""Text to estimate language models of, or to measure them on."""

import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.manifest import read_manifest
from asr.errors import AsrError, TextError
from asr.language.ngram.arpa import MARKS, SPACE, uncompressed

_log = logging.getLogger(__name__)


def read_sentences(path: Path | str, characters: bool = False) -> list[list[str]]:
    """The sentences of a text, each a list of words in Unicode NFC.

    A `.jsonl` file is a manifest, of which the texts count; any other has one sentence a line, in
    UTF-8, and may be compressed by gzip. With `characters` the characters are the words, and SPACE
    stands between what were words. Empty sentences are left out, and a message says how many.

    Raises AsrError (ManifestError, TextError) if the file cannot be read or has no words, or if a
    word is one of `MARKS`, naming the line.
    """
    path = Path(path)
    sentences, empty = [], 0
    for where, text in _texts(path):
        words = text.split()
        forbidden = next((mark for mark in (*MARKS, SPACE) if mark in words), None)
        if forbidden is not None:
            raise TextError(
                f"{where}: {forbidden} is a mark of language models; expected words alone, found "
                f"{text[:80]!r}; take the marks out of the text"
            )
        if words:
            sentences.append(spell(words) if characters else words)
        else:
            empty += 1
    if not sentences:
        raise TextError(f"{path}: the text has no words; expected at least one sentence")
    if empty:
        _log.warning("%s: left out %d empty sentences", path, empty)
    return sentences


def spell(words: list[str]) -> list[str]:
    """The characters of a sentence as the words of a character model."""
    return [SPACE if character == " " else character for character in " ".join(words)]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Each text and where it stands."""
    if path.suffix.lower() == ".jsonl":
        for utterance in read_manifest(path, require_audio=False):
            yield f"{path}: {utterance.id}", utterance.text
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
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        yield f"{path}, line {number}", unicodedata.normalize("NFC", line)
