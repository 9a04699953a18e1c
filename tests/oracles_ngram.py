"""N-gram models to test with, and their definition in a slow and simple form.

The scores of GOLDEN were printed by the `kenlm` package, version 0.3.0, for the file SMALL.
"""

import math
import random
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from asr.language.ngram.model import NgramModel
from asr.language.ngram.table import NgramTable

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


def artificial_text(seed: int, sentences: int = 600) -> list[list[str]]:
    """Sentences of a chain over 300 words, some of them rare; the same on every machine."""
    generator = random.Random(seed)
    text = []
    for _ in range(sentences):
        words, word = [], int(300 ** generator.random())
        while generator.random() < 0.85:
            words.append(f"w{word}")
            habit = (7 * word + int(5 ** generator.random())) % 300
            word = habit if generator.random() < 0.6 else int(300 ** generator.random())
        text.append(words)
    return text


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
