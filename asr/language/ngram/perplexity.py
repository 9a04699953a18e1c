"""The perplexity of a language model on a text."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.language.ngram.model import NgramModel


@dataclass(frozen=True)
class SentenceScore:
    """The score of one sentence, including the </s> that ends it."""

    log_prob: float
    """Natural logarithm; -inf if a word is out of vocabulary and the model has no <unk>."""
    log_prob_without_oov: float
    """The same without the words out of vocabulary, which stay in the context of the others."""
    words: int
    oov: int
    """Words out of vocabulary."""


@dataclass(frozen=True)
class TextScore:
    """The scores of a text, summed over its sentences."""

    sentences: int
    words: int
    oov: int
    log_prob: float
    log_prob_without_oov: float

    @property
    def perplexity(self) -> float:
        """Per word and sentence end; words out of vocabulary count as <unk>."""
        return _exp(-self.log_prob / (self.words + self.sentences))

    @property
    def perplexity_without_oov(self) -> float:
        """The same, leaving out words out of vocabulary."""
        return _exp(-self.log_prob_without_oov / (self.words + self.sentences - self.oov))

    @property
    def oov_rate(self) -> float:
        """The fraction of words that are out of vocabulary."""
        return self.oov / self.words


def score_sentence(model: NgramModel, sentence: Sequence[str]) -> SentenceScore:
    """Score a sentence between <s> and </s>. Raises TextError as `word_log_probs` does."""
    log_probs = model.word_log_probs(sentence)
    known = np.array([model.word_id(word) != model.unknown_word for word in sentence] + [True])
    return SentenceScore(
        log_prob=float(log_probs.sum()),
        log_prob_without_oov=float(log_probs[known].sum()),
        words=len(sentence),
        oov=int((~known).sum()),
    )


def sum_scores(scores: Iterable[SentenceScore]) -> TextScore:
    """The score of a text from the scores of its sentences."""
    scores = list(scores)
    return TextScore(
        sentences=len(scores),
        words=sum(score.words for score in scores),
        oov=sum(score.oov for score in scores),
        log_prob=math.fsum(score.log_prob for score in scores),
        log_prob_without_oov=math.fsum(score.log_prob_without_oov for score in scores),
    )


def _exp(log: float) -> float:
    return math.exp(log) if log < 700 else math.inf
