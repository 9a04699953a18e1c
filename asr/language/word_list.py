"""Word lists: automata of all sentences made of given words."""

import unicodedata
from pathlib import Path

import numpy as np

from asr.errors import TextError
from asr.language.automata.automaton import Automaton, Edges, trimmed_automaton
from asr.language.spelling import (
    NAMED,
    abbreviate,
    in_known_case,
    speller,
    spelling_error,
    word_trie,
)
from asr.text.tokens import TokenTable


def read_word_list(path: Path | str, table: TokenTable) -> Automaton:
    """The automaton of a UTF-8 text file with one word per line, as `parse_word_list` makes it.

    A byte-order mark is ignored. Raises TextError as `parse_word_list` does, and if the file cannot
    be read or is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(
            f"{path}: cannot read the word list ({error}); expected a UTF-8 text file with one "
            "word per line"
        ) from error
    return parse_word_list(text, table, str(path))


def parse_word_list(text: str, table: TokenTable, name: str = "word list") -> Automaton:
    """Sentences of listed words separated by single spaces; the empty sentence is one of them.

    One word per line; CRLF, empty lines and repeated words are accepted, comments are not. With a
    table that has no space a sentence is a single word. `name` stands for the list in messages.
    Raises TextError, with line numbers, on words that contain white space or that the table cannot
    spell, and on a list without words.
    """
    can_spell = speller(table)
    lines = [line.strip() for line in unicodedata.normalize("NFC", text).split("\n")]
    lines = [in_known_case(line, can_spell) for line in lines]
    words = list(filter(None, lines))
    if not words:
        raise TextError(f"{name}: expected at least one word, found none")
    wrong = [i for i, word in enumerate(lines) if not can_spell(word)]
    if wrong:
        errors = [f"line {i + 1}: {spelling_error(lines[i], table)}" for i in wrong[:NAMED]]
        raise TextError(
            f"{name}: expected words in the model's characters {''.join(table.characters)!r}, "
            f"found {len(wrong)} of {len(words)} that are not: "
            f"{abbreviate(errors, len(wrong))}; spell them as in the training transcripts, or "
            "remove them"
        )
    return _repeat(word_trie(list(dict.fromkeys(words)), table)[0], table)


def _repeat(trie: Automaton, table: TokenTable) -> Automaton:
    """Any number of the words of a trie, with a space between each and the next.

    The start of the result is a copy of the root that also accepts, for the empty sentence; the
    root itself only begins the words after the first, since no sentence ends in a space.
    """
    states = len(trie.accepting)
    source = np.repeat(np.arange(states, dtype=np.int32), np.diff(trie.first_edge))
    from_root = slice(0, trie.first_edge[1])
    # State s of the trie becomes s + 1: the new start takes number 0.
    sources = [source + np.int32(1), np.zeros(trie.first_edge[1], dtype=np.int32)]
    tokens = [trie.edge_token, trie.edge_token[from_root]]
    targets = [trie.edge_target + np.int32(1), trie.edge_target[from_root] + np.int32(1)]
    if table.space >= 0:
        ends = np.flatnonzero(trie.accepting).astype(np.int32)
        sources.append(ends + np.int32(1))
        tokens.append(np.full_like(ends, table.space))
        targets.append(np.ones_like(ends))
    edges = Edges(np.concatenate(sources), np.concatenate(tokens), np.concatenate(targets))
    return trimmed_automaton(edges, np.concatenate([np.ones(1, np.bool_), trie.accepting]))
