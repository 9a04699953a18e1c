"""How well a language model foresees a text."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.language.ngram.model import NgramModel


@dataclass(frozen=True)
class SentenceScore:
    """What a model says of one sentence; the </s> behind it counts as one of its tokens."""

    log_prob: float
    """Natural logarithm; -inf if a word is unknown and the model has no <unk>."""
    log_prob_known: float
    """Over the tokens that the model knows, each after all words before it."""
    words: int
    unknown: int
    """Words out of vocabulary (OOV)."""


@dataclass(frozen=True)
class TextScore:
    """The sums over the sentences of a text."""

    sentences: int
    words: int
    unknown: int
    log_prob: float
    log_prob_known: float

    @property
    def perplexity(self) -> float:
        """Over all words and ends of sentences; unknown words count as <unk>."""
        return _exp(-self.log_prob / (self.words + self.sentences))

    @property
    def perplexity_known(self) -> float:
        """Without the unknown words."""
        return _exp(-self.log_prob_known / (self.words + self.sentences - self.unknown))

    @property
    def unknown_rate(self) -> float:
        """Unknown words over words: the OOV rate."""
        return self.unknown / self.words


def score_sentence(model: NgramModel, sentence: Sequence[str]) -> SentenceScore:
    """Score a sentence between <s> and </s>. Raises TextError as `word_log_probs` does."""
    log_probs = model.word_log_probs(sentence)
    known = np.array([model.word_id(word) != model.unknown_word for word in sentence] + [True])
    return SentenceScore(
        log_prob=float(log_probs.sum()),
        log_prob_known=float(log_probs[known].sum()),
        words=len(sentence),
        unknown=int((~known).sum()),
    )


def total(scores: Iterable[SentenceScore]) -> TextScore:
    """The score of a text from those of its sentences."""
    scores = list(scores)
    return TextScore(
        sentences=len(scores),
        words=sum(score.words for score in scores),
        unknown=sum(score.unknown for score in scores),
        log_prob=math.fsum(score.log_prob for score in scores),
        log_prob_known=math.fsum(score.log_prob_known for score in scores),
    )


def _exp(log: float) -> float:
    return math.exp(log) if log < 700 else math.inf
