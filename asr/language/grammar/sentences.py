"""A list of sentences, one a line, as a grammar."""

import re

from asr.errors import AsrError
from asr.language.grammar.tree import Choice, Expansion, Grammar, Rule, Sequence, Source, Word

_RULE = "sentence"


def parse_sentences(text: str, path: str) -> Grammar:
    """The grammar of a text each of whose lines is a sentence; empty ones are skipped.

    Raises AsrError on a text without a word.
    """
    sentences: list[Expansion] = []
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        words = [Word(one[0], start + one.start()) for one in re.finditer(r"\S+", line[0])]
        if words:
            sentences.append(Sequence(tuple(words)))
    if not sentences:
        raise AsrError(f"{path}: expected a sentence a line, found none")
    rule = Rule(_RULE, Choice(tuple(sentences)), public=True, offset=0)
    return Grammar(Source(path, text), {_RULE: rule})


def listed_sentences(grammar: Grammar) -> list[str] | None:
    """The different sentences of a grammar that is a mere list of them; None of any other."""
    if len(grammar.rules) != 1:
        return None
    (rule,) = grammar.rules.values()
    one = rule.expansion
    sentences = []
    for sentence in one.alternatives if isinstance(one, Choice) else (one,):
        words = sentence.parts if isinstance(sentence, Sequence) else (sentence,)
        texts = [word.text for word in words if isinstance(word, Word)]
        if len(texts) < len(words):
            return None
        sentences.append(" ".join(texts))
    return list(dict.fromkeys(sentences))
