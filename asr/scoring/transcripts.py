"""Reading files of transcripts, utterance id → text, in three common formats.

JSONL: objects with `id` and `text` (a manifest, or hypotheses); other keys are ignored. Kaldi text:
`id word word`. NIST trn: `word word (id)`. The suffix or the caller determines the format; it is
never guessed from the contents.
"""

import enum
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from asr.errors import ManifestError
from asr.files import parse_json
from asr.printing import shown
from asr.scoring.alternatives import check_alternatives
from asr.text.normal import normal_form


class TranscriptFormat(enum.StrEnum):
    """The format of a file of transcripts."""

    JSONL = "jsonl"
    KALDI = "kaldi"
    TRN = "trn"


_SUFFIXES = {
    ".jsonl": TranscriptFormat.JSONL,
    ".trn": TranscriptFormat.TRN,
    ".txt": TranscriptFormat.KALDI,
    ".text": TranscriptFormat.KALDI,
    "": TranscriptFormat.KALDI,
}


def read_transcripts(
    path: Path | str,
    transcript_format: TranscriptFormat | None = None,
    *,
    alternatives: bool = False,
) -> dict[str, str]:
    """Read id → text, in the file's order, each text in its normal form.

    A byte-order mark, CRLF and empty lines are accepted; a text may be empty. The suffix (.jsonl;
    .trn; .txt, .text or none for Kaldi) determines the format unless it is given. With
    `alternatives` a trn file is one of references, which may have them in braces (see
    `asr.scoring.alternatives`). Raises ManifestError, with the line number, on a malformed line, a
    repeated id, an empty file, and texts that seem to have no ids.
    """
    path = Path(path)
    kind = transcript_format or format_of(path)
    parse = _PARSERS[kind]
    transcripts: dict[str, str] = {}
    first_lines: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        key, text = (_nfc(part, where) for part in parse(line, where))
        if kind is TranscriptFormat.TRN:
            _check_braces(text, where, alternatives)
        if key in transcripts:
            raise ManifestError(
                f"{where}: the id {key!r} is already on line {first_lines[key]}; ids must be unique"
            )
        transcripts[key], first_lines[key] = text, number
    if not transcripts:
        raise ManifestError(f"{path}: the file is empty; expected one utterance per line")
    if kind is TranscriptFormat.KALDI and transcript_format is None:
        _refuse_words_as_ids(path, transcripts)
    return transcripts


def read_speakers(path: Path | str) -> dict[str, str]:
    """Read id → speaker from the lines of a JSONL file that have a `speaker`.

    Raises ManifestError on a malformed line or a speaker that is not text.
    """
    path = Path(path)
    speakers: dict[str, str] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        entry = _json_object(line, where)
        if entry.get("speaker") is not None:
            key = _nfc(_string(entry, "id", where), where)
            speakers[key] = _nfc(_string(entry, "speaker", where), where)
    return speakers


def format_of(path: Path) -> TranscriptFormat:
    """The format that the suffix of a file determines. Raises ManifestError if it does not."""
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise ManifestError(
            f"{path}: the suffix {path.suffix!r} does not determine the format; expected .jsonl, "
            ".trn, or .txt, .text or none for Kaldi; rename the file, or give its format "
            f"({', '.join(TranscriptFormat)})"
        ) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path}: cannot read the transcripts ({error}); expected a UTF-8 text file"
        ) from error
    # Not splitlines(), which also splits at U+2028 and other separators that a text may contain.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _nfc(text: str, where: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ManifestError(f"{where}: not valid Unicode ({error}); found {text!r}") from error
    return normal_form(text)


def _parse_jsonl(line: str, where: str) -> tuple[str, str]:
    entry = _json_object(line, where)
    key = _string(entry, "id", where)
    if not key.strip():
        raise ManifestError(f"{where}: the id is empty")
    return key, _string(entry, "text", where)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise ManifestError(f"{where}: not JSON ({error}); found {line[:80]!r}") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {line[:80]!r}")
    return entry


def _string(entry: Mapping[str, Any], key: str, where: str) -> str:
    if key not in entry:
        found = ", ".join(entry)[:200] or "none"
        raise ManifestError(f"{where}: the key {key!r} is missing; found the keys {found}")
    value = entry[key]
    if not isinstance(value, str):
        raise ManifestError(f"{where}: {key!r} must be text, found {shown(value)}")
    return value


def _parse_kaldi(line: str, where: str) -> tuple[str, str]:
    key, *text = line.split(maxsplit=1)
    return key, text[0] if text else ""


def _parse_trn(line: str, where: str) -> tuple[str, str]:
    # By hand: a regular expression would take time quadratic in the spaces of a line.
    text, opened, key = line.removesuffix(")").rpartition("(")
    if not (line.endswith(")") and opened) or key.split() != [key] or ")" in key:
        raise ManifestError(f"{where}: expected `word word (id)`, found {line[:80]!r}")
    return key, text.rstrip()


def _check_braces(text: str, where: str, alternatives: bool) -> None:
    if not alternatives and "{" in text:
        raise ManifestError(
            f"{where}: expected alternatives in braces only in references, found {text[:80]!r}; "
            "choose one of them"
        )
    if alternatives:
        try:
            check_alternatives(text)
        except ManifestError as error:
            raise ManifestError(f"{where}: {error}") from error


def _refuse_words_as_ids(path: Path, keys: Collection[str]) -> None:
    """Raise if the first words of the lines look like words: most ids have a digit or a hyphen."""
    words = [key for key in keys if not re.search(r"[\d_\-./:@#]", key)]
    if 2 * len(words) > len(keys):
        raise ManifestError(
            f"{path}: expected an id before each text, found words ({', '.join(words[:3])[:80]}); "
            "put the same ids in front of references and hypotheses, or, if these are ids, name "
            "the format (--format_reference kaldi, --format_hypothesis kaldi)"
        )


_PARSERS: dict[TranscriptFormat, Callable[[str, str], tuple[str, str]]] = {
    TranscriptFormat.JSONL: _parse_jsonl,
    TranscriptFormat.KALDI: _parse_kaldi,
    TranscriptFormat.TRN: _parse_trn,
}
