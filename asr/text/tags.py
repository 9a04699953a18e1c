"""Tags in transcripts: marks such as `<unk>`, `[noise]` or `{breath}` that stand for no letters.

Nothing tells what a tag means: a corpus may mark with it a word that was not understood, a sound
between words, or the topic. So they stay as they are until somebody says what becomes of them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from asr.errors import TextError
from asr.text.normal import normal_form
from asr.text.scripts import count_unspaced

_TAG = re.compile(r"<[^<>\s]+>|\[(?=\s*[^\[\]\s])[^\[\]]+\]|\{(?=\s*[^{}\s])[^{}]+\}")
_DROPPED, _REPLACED = "\ufdd0", "\ufdd1"
"""Stand for a dropped tag, and around the number of a replacement, until all tags are found. They
are no characters of any text, and refused as such (`stray_characters`)."""
_MARK = re.compile(rf"{_DROPPED}[{_DROPPED}\s]*|{_REPLACED}(\d+){_REPLACED}")
_DEEPEST = 4
"""How many tags in tags are looked for."""
_NAMED = 10
"""Tags that a message names; the rest is counted."""
_TIMES = {1: "once", 2: "twice"}


def tags(text: str) -> list[str]:
    """The tags in a text, in order."""
    return _TAG.findall(text)


def without_tags(text: str, replacements: Mapping[str, str], drop_others: bool = False) -> str:
    """A text in its normal form with some tags as other text, or without them where that is empty.

    All other tags are dropped or stay; brackets around nothing but dropped tags are dropped, too.
    What was on the two sides of a tag become two words, except in scripts that are written without
    spaces.
    """

    def replaced(match: re.Match[str]) -> str:
        tag = match[0]
        if replacements.get(tag):
            wordings.append(replacements[tag])
            return f"{_REPLACED}{len(wordings) - 1}{_REPLACED}"
        if tag in replacements:
            return _DROPPED
        return _DROPPED if drop_others or not tag[1:-1].strip(_DROPPED + " ") else tag

    def between(match: re.Match[str]) -> str:
        wording = wordings[int(match[1])] if match[1] else ""
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        return wording if count_unspaced(before) and count_unspaced(after) else f" {wording} "

    if _DROPPED in text or _REPLACED in text:
        return normal_form(text)
    wordings: list[str] = []
    for _ in range(_DEEPEST):  # tags in tags: the inner ones first
        text = _TAG.sub(replaced, text)
    return normal_form(_MARK.sub(between, text))


def check_replacements(replacements: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """Raise TextError on a replacement of what is not a tag, or of one that no text has.

    `counts` has the tags of the texts.
    """
    for tag in replacements:
        if tags(tag) != [tag]:
            raise TextError(
                f"expected a tag such as <unk>, [noise] or {{breath}} to replace, found {tag!r}"
            )
        if tag not in counts:
            found = describe_tags(counts) if counts else "none at all"
            raise TextError(f"{tag}: expected a tag that the texts have, which are {found}")


def count_tags(texts: Iterable[str]) -> Counter[str]:
    """How often each tag occurs."""
    return Counter(tag for text in texts for tag in tags(text))


def describe_tags(counts: Mapping[str, int]) -> str:
    """Tags with how often each occurs, the most frequent first."""
    ranked = Counter(counts).most_common()
    named = ", ".join(
        f"{tag} ({_TIMES.get(count, f'{count} times')})" for tag, count in ranked[:_NAMED]
    )
    return named + (f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else "")
