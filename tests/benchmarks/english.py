"""English without a corpus: the prose that Python packages carry in their strings and comments.

Sentences are taken from the standard library and from installed packages: to estimate a language
model on most of them, and to utter what others say about other things. The same versions give the
same text; `--text` of the benchmark takes other text in its place.
"""

import importlib.util
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.errors import TextError

STANDARD_LIBRARY = "the standard library"
KNOWN = (STANDARD_LIBRARY, *"torch numpy sympy numba mypy pip hypothesis tensorboard".split())
"""What the language model is estimated on."""
UTTERED = ("matplotlib", "networkx", "PIL")
"""What is spoken: about 3 % of its words occur nowhere in KNOWN."""

_PYTHON = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'|((?:^[ \t]*#.*\n)+)', re.DOTALL | re.MULTILINE)
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<![^\s(\"])[A-Z][A-Za-z'’,;:()\"\- ]{20,400}?[.!?](?=\s|$|[\"')])")
"""From a capital to a full stop, without digits, code or mark-up."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_FEWEST_WORDS = 5
_DOCUMENT_SENTENCES = 20
"""Of a file's last tenth; an utterance needs some and comes from one document."""

Document = list[str]
"""Sentences of a-z, apostrophes and single spaces, in their order."""


@dataclass(frozen=True)
class English:
    """Documents of two kinds; no sentence occurs twice."""

    known: list[Document]
    uttered: list[Document]


def from_packages() -> English:
    """The prose of what is installed here. Raises TextError if no package to utter is."""
    seen: set[str] = set()
    known = [d for package in KNOWN for d in _documents(package, seen)]
    uttered = [d for package in UTTERED for d in _documents(package, seen)]
    if not uttered:
        raise TextError(f"expected one of {', '.join(UTTERED)} to be installed, found none")
    return English(known, uttered)


def from_files(paths: Sequence[Path]) -> English:
    """The prose of UTF-8 files: nine tenths of each known, the last tenth uttered.

    Raises TextError if they hold too few sentences.
    """
    seen: set[str] = set()
    documents = [list(_sentences([path.read_text("utf-8")], seen)) for path in paths]
    cuts = [len(document) * 9 // 10 for document in documents]
    known = [document[:cut] for document, cut in zip(documents, cuts, strict=True)]
    uttered = [
        document[start : start + _DOCUMENT_SENTENCES]
        for document, cut in zip(documents, cuts, strict=True)
        for start in range(cut, len(document), _DOCUMENT_SENTENCES)
    ]
    if sum(map(len, uttered)) < 10:
        raise TextError(
            f"{', '.join(map(str, paths))}: expected 100 sentences or more, found "
            f"{sum(map(len, documents))}; sentences begin with a capital and end in a full stop"
        )
    return English(known, uttered)


def passages(document: Document, characters: int) -> Iterator[str]:
    """Successive sentences joined until each passage has at least so many characters.

    What is left at the end of the document makes a shorter passage.
    """
    passage = ""
    for sentence in document:
        passage = f"{passage} {sentence}".lstrip()
        if len(passage) >= characters:
            yield passage
            passage = ""
    if passage:
        yield passage


def _documents(package: str, seen: set[str]) -> Iterator[Document]:
    """A document for each file of a package; none if it is not installed."""
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
    else:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return
        root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if path.suffix not in (".py", ".pyi", ".txt", ".rst", ".md") or not path.is_file():
            continue
        if "site-packages" in inside or "dist-packages" in inside:
            continue
        text = path.read_text("utf-8", errors="replace")
        blocks = [text]
        if path.suffix in (".py", ".pyi"):
            blocks = ["".join(block).replace("#", " ") for block in _PYTHON.findall(text)]
        document = list(_sentences(blocks, seen))
        if document:
            yield document


def _sentences(blocks: Iterable[str], seen: set[str]) -> Iterator[str]:
    """The sentences of prose in blocks of text that are not among those `seen`."""
    for block in blocks:
        for paragraph in _PARAGRAPH.split(block):
            prose = " ".join(paragraph.replace("`", "").split())
            for match in _SENTENCE.findall(prose):
                words = _WORD.findall(match.lower().replace("’", "'"))
                sentence = " ".join(words)
                if len(words) >= _FEWEST_WORDS and sentence not in seen:
                    seen.add(sentence)
                    yield sentence
