"""NIST's formats of transcripts, as sclite reads them: CTM, STM and trn.

They have a record a line, and lines of several recordings may follow each other. CTM has a line for
each word (`recording channel start duration word confidence`), STM one for each phrase (`recording
channel speaker start end <label> text`), and trn one for each recording (`text (recording)`); `;;`
begins a comment. https://github.com/usnistgov/SCTK/blob/master/doc/infmts.htm
"""

from collections.abc import Iterable, Sequence

from asr.errors import TextError
from asr.text.phrases import phrases, pieces
from asr.text.timed import TimedWord

_COMMENT = ";;"
_LABEL = "<O>"
"""Of all segments, and always there: a text may itself begin with a bracket."""


def render_ctm(recording: str, words: Sequence[TimedWord], channel: int | None = None) -> str:
    """One line per word, to the millisecond, or per character in scripts without spaces.

    The channel is 1 where none was chosen.

    Raises TextError on a recording name that is not possible in CTM.
    """
    _check_name(recording, "CTM")
    lines = []
    for word, _ in pieces(words):
        start, end = round(word.start_seconds, 3), round(word.end_seconds, 3)
        confidence = "" if word.confidence is None else f" {word.confidence:.4f}"
        lines.append(
            f"{recording} {channel or 1} {start:.3f} {end - start:.3f} {word.text}{confidence}\n"
        )
    return "".join(lines)


def render_stm(recording: str, words: Sequence[TimedWord], channel: int | None = None) -> str:
    """One line per phrase, to the millisecond, with spaces where CTM has lines.

    The speaker is called as the recording, with the channel if one was chosen. Raises TextError on
    a name or a word that is not possible in STM.
    """
    _check_name(recording, "STM")
    head = f"{recording} {channel or 1} {recording}{f'-{channel}' if channel else ''}"
    lines = []
    for phrase in phrases(words):
        text = [piece.word.text for piece in phrase]
        _check_words(text, "STM")
        start, end = phrase[0].word.start_seconds, phrase[-1].word.end_seconds
        lines.append(f"{head} {start:.3f} {end:.3f} {_LABEL} {' '.join(text)}\n")
    return "".join(lines)


def render_trn(recording: str, text: str) -> str:
    """One line. Raises TextError on a name or a text that is not possible in trn."""
    _check_name(recording, "trn", "()")
    if text.startswith(_COMMENT):
        raise TextError(
            f"{text[:40]!r} cannot stand in trn: expected a text that does not begin with the "
            f"comment sign {_COMMENT}; choose another format"
        )
    _check_words(text.split(), "trn")
    return f"{text} ({recording})".lstrip() + "\n"


def _check_name(recording: str, kind: str, impossible: str = "") -> None:
    is_word = recording.split() == [recording] and not set(recording) & set(impossible)
    if not is_word or recording.startswith(_COMMENT):
        others = f" or {' or '.join(impossible)}" if impossible else ""
        raise TextError(
            f"{recording!r} cannot be the name of a recording in {kind}: expected one without "
            f"spaces{others} that does not begin with the comment sign {_COMMENT}; rename it, or "
            "choose another format"
        )


def _check_words(words: Iterable[str], kind: str) -> None:
    """Braces stand around alternatives."""
    for word in words:
        if "{" in word or "}" in word:
            raise TextError(
                f"{word!r} cannot stand in {kind}: expected words without braces, which begin "
                "alternatives there; choose another format"
            )
