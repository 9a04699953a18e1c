"""A recurrent language model: which word comes next, given all the words before it.

Words are embedded, an LSTM reads them, and the softmax over the next word shares its weights with
the embedding. Sources: Mikolov et al., "Recurrent Neural Network Based Language Model", Interspeech
2010; Sundermeyer et al., "LSTM Neural Networks for Language Modeling", Interspeech 2012; Press &
Wolf, "Using the Output Embedding to Improve Language Models", EACL 2017.

Shapes: N sentences, L words of the longest and one more, W words with the two marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from asr.errors import ConfigError
from asr.language.perplexity import SentenceScore

BOUNDARY, UNKNOWN_WORD = 0, 1
"""The numbers of the two marks: what begins and ends a sentence, and a word out of vocabulary."""
_MARKS = 2
_TOGETHER = 32  # sentences; bounds the memory of their softmax
_MOST = {"hidden": 4096, "layers": 8}


@dataclass(frozen=True)
class NeuralConfig:
    """The size of a recurrent language model, and what keeps it from learning by heart."""

    hidden: int = 128
    """Of the embedding and of each LSTM layer."""
    layers: int = 1
    dropout: float = 0.5
    """In training, of what goes into the first layer and of what comes out of each."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: expected 1 to {most}, found {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout: expected 0 or more and below 1, found {self.dropout}")


class NeuralModel(nn.Module):
    """A recurrent language model over the words of a text.

    Every sentence stands alone. Threads may share the model while it is not trained.
    """

    def __init__(self, words: Sequence[str], config: NeuralConfig | None = None) -> None:
        """A model that is yet to learn; `words` are those it knows, each once, without marks."""
        super().__init__()
        self.words, self.config = tuple(words), config or NeuralConfig()
        self._numbers = {word: number for number, word in enumerate(words, start=_MARKS)}
        hidden, layers, dropout = self.config.hidden, self.config.layers, self.config.dropout
        self.embedding = nn.Embedding(self.num_words, hidden)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        self.lstm = nn.LSTM(
            hidden, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.bias = nn.Parameter(torch.zeros(self.num_words))
        self.dropout = nn.Dropout(dropout)

    @property
    def num_words(self) -> int:
        """W: the words and the two marks."""
        return _MARKS + len(self.words)

    def encode(self, sentence: Sequence[str]) -> Tensor:
        """The numbers of words; UNKNOWN_WORD for one that the model lacks."""
        numbers = [self._numbers.get(word, UNKNOWN_WORD) for word in sentence]
        return torch.tensor(numbers, dtype=torch.int64)

    def forward(self, inputs: Tensor) -> Tensor:
        """Natural log-probabilities `(N, L, W)` of what comes after each of the inputs `(N, L)`.

        Inputs begin with BOUNDARY, which as an output ends the sentence.
        """
        hidden, _ = self.lstm(self.dropout(self.embedding(inputs)))
        logits = F.linear(self.dropout(hidden), self.embedding.weight, self.bias)
        return logits.log_softmax(dim=-1)

    def word_log_probs(self, sentences: Sequence[Tensor]) -> Tensor:
        """Natural log-probabilities `(N, L)` of the words of encoded sentences and of their ends.

        Behind the end of a shorter sentence stand zeros.
        """
        framed = [F.pad(numbers, (1, 1), value=BOUNDARY) for numbers in sentences]
        lengths = torch.tensor([len(numbers) - 1 for numbers in framed])
        padded = pad_sequence(framed, batch_first=True, padding_value=BOUNDARY)
        log_probs: Tensor = self(padded[:, :-1]).gather(2, padded[:, 1:, None]).squeeze(2)
        outside = torch.arange(log_probs.shape[1]) >= lengths[:, None]
        return log_probs.masked_fill(outside, 0.0)

    @torch.inference_mode()
    def score_sentences(self, sentences: Sequence[Sequence[str]]) -> list[SentenceScore]:
        """Score sentences between <s> and </s>, each as if it were alone.

        An unknown word scores as <unk>.
        """
        encoded = [self.encode(sentence) for sentence in sentences]
        starts = range(0, len(encoded), _TOGETHER)
        return [score for i in starts for score in self._scored(encoded[i : i + _TOGETHER])]

    def _scored(self, encoded: Sequence[Tensor]) -> list[SentenceScore]:
        scores = []
        for numbers, row in zip(encoded, self.word_log_probs(encoded).double(), strict=True):
            unknown = numbers == UNKNOWN_WORD
            log_prob = float(row.sum())
            log_prob_unknown = float(row[: len(numbers)][unknown].sum())
            scores.append(
                SentenceScore(
                    log_prob=log_prob,
                    log_prob_known=log_prob - log_prob_unknown,
                    words=len(numbers),
                    unknown=int(unknown.sum()),
                )
            )
        return scores
