"""The training of recurrent language models: small ones, on the processor, in seconds to minutes.

Words that the text has only once are read as <unk> now and then, so that <unk> is learned; the
epoch whose model foresees held-out sentences best is kept.
"""

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asr.errors import ConfigError, TextError
from asr.language.neural import UNKNOWN_WORD, NeuralConfig, NeuralModel
from asr.language.perplexity import total

_log = logging.getLogger(__name__)

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True)
class TrainingConfig:
    """How a recurrent language model learns."""

    epochs: int = 100
    """At most."""
    patience: int = 10
    """Epochs without a better perplexity after which training ends."""
    batch_sentences: int = 16
    rate: float = 3e-3
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    unknown_chance: float = 0.5
    """That a word which the text has once is read as <unk>; drawn anew in each epoch."""
    held_out: float = 0.1
    """The part of the sentences to choose the epoch by, where no others are given."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_sentences"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more, found {getattr(self, name)}")


@dataclass(frozen=True)
class Trained:
    """A recurrent language model and how well it came to foresee the held-out sentences."""

    model: NeuralModel
    perplexities: tuple[float, ...]
    """Before training and after each epoch; the model is of the lowest."""
    sentences: int
    """That it learned from."""

    @property
    def epoch(self) -> int:
        """Whose weights the model has; 0: those it began with."""
        return self.perplexities.index(min(self.perplexities))


def train_neural(
    sentences: Sentences,
    dev: Sentences | None = None,
    model_config: NeuralConfig | None = None,
    config: TrainingConfig | None = None,
) -> Trained:
    """Train a model of the words of some sentences, by AdamW.

    Without `dev` a part of them is held out, whose own words the model will not know. The
    perplexity after each epoch is logged. The same seed gives the same model. Raises TextError
    where there are too few sentences to hold one out.
    """
    config = config or TrainingConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if dev is None:
            sentences, dev = _parted(sentences, config.held_out)
        words = sorted({word for sentence in sentences for word in sentence})
        model = NeuralModel(words, model_config)
        perplexities = _fit(model, sentences, dev, config)
    return Trained(model, tuple(perplexities), len(sentences))


def _parted(sentences: Sentences, share: float) -> tuple[Sentences, Sentences]:
    """Sentences to learn from, and a share of them, drawn at random, to choose the epoch by."""
    if len(sentences) < 2:
        raise TextError(
            f"expected at least 2 sentences, one of them to be held out, found {len(sentences)}; "
            "give more text, or other sentences to choose the epoch by"
        )
    order = torch.randperm(len(sentences)).tolist()
    held_out = math.ceil(share * len(sentences))
    return [sentences[i] for i in order[held_out:]], [sentences[i] for i in order[:held_out]]


def _fit(
    model: NeuralModel, sentences: Sentences, dev: Sentences, config: TrainingConfig
) -> list[float]:
    """Train a model until it no longer gets better; returns its perplexities on `dev`."""
    encoded = [model.encode(sentence) for sentence in sentences]
    optimizer = torch.optim.AdamW(model.parameters(), config.rate, weight_decay=config.weight_decay)
    perplexities = [_perplexity(model, dev)]
    best, weights = 0, copy.deepcopy(model.state_dict())
    while len(perplexities) <= min(config.epochs, best + config.patience):
        for batch in _batches(encoded, model.num_words, config):
            tokens = sum(len(numbers) + 1 for numbers in batch)
            loss = -model.word_log_probs(batch).sum() / tokens
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
        perplexity = _perplexity(model, dev)
        if perplexity < perplexities[best]:
            best, weights = len(perplexities), copy.deepcopy(model.state_dict())
        _log.info("epoch %d: perplexity %.3f", len(perplexities), perplexity)
        perplexities.append(perplexity)
    model.load_state_dict(weights)
    model.eval()
    return perplexities


def _perplexity(model: NeuralModel, dev: Sentences) -> float:
    """On held-out sentences; leaves the model in training."""
    perplexity = total(model.eval().score_sentences(dev)).perplexity
    model.train()
    return perplexity


def _batches(
    encoded: Sequence[Tensor], num_words: int, config: TrainingConfig
) -> Iterator[list[Tensor]]:
    """All sentences once, in a new order, some of their words read as <unk>."""
    occurs_once = torch.bincount(torch.cat(list(encoded)), minlength=num_words) == 1
    order = torch.randperm(len(encoded)).tolist()
    for start in range(0, len(order), config.batch_sentences):
        batch = [encoded[i] for i in order[start : start + config.batch_sentences]]
        yield [
            numbers.masked_fill(
                occurs_once[numbers] & (torch.rand(len(numbers)) < config.unknown_chance),
                UNKNOWN_WORD,
            )
            for numbers in batch
        ]
