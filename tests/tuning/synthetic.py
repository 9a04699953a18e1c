"""Small dev sets with noisy emissions."""

import numpy as np
import torch

from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion, FusionConfig
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.text.tokens import TokenTable
from asr.tuning.dev_set import DecodingTrial, DevSet
from tests.oracles import log_softmax

TABLE = TokenTable(tuple(" ABCDEN"))
SENTENCES = [words.split() for words in ["BAD BED", "A BED", "DEAN CAN", "CAN A BEAD", "BAD"]]


def emissions_of(text: str, seed: int, clarity: float = 5.0) -> torch.Tensor:
    """Emissions of a text, two frames a character: one holds it, one is blank, both are noisy."""
    generator = np.random.default_rng(seed)
    tokens = TABLE.encode(text)
    logits = generator.normal(scale=1.5, size=(2 * len(tokens), len(TABLE)))
    logits[np.arange(0, len(logits), 2), tokens] += clarity
    logits[1::2, 0] += clarity
    return torch.from_numpy(log_softmax(logits))


def dev_set_of(texts: list[str], clarity: float) -> DevSet:
    emissions = tuple(emissions_of(text, seed, clarity) for seed, text in enumerate(texts))
    return DevSet(tuple(texts), emissions, audio_seconds=0.04 * sum(map(len, emissions)))


def noisy_dev_set() -> DevSet:
    """On which greedy search errs."""
    return dev_set_of([" ".join(sentence) for sentence in SENTENCES * 3], clarity=2.5)


def word_decoder() -> Decoder:
    """With a 2-gram of the sentences."""
    model = compile_model(estimate(SENTENCES, 2).table)
    return Decoder(fusion=Fusion(TABLE, FusionConfig(), word_model=model))


def trial_of(milliseconds: float, errors: int) -> DecodingTrial:
    return DecodingTrial(Decoder(), (), errors, errors / 100, errors / 300, milliseconds)
