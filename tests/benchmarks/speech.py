"""What the decoders are given: emissions with their references, and text for a language model."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import jiwer
import numpy as np
import torch

from asr.corpus.manifest import read_manifest
from asr.decode.greedy import greedy_search
from asr.errors import ConfigError, TextError
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.tokens import TokenTable
from tests.benchmarks.emissions import FRAME_SECONDS, TABLE, Emissions, emit
from tests.benchmarks.english import English, passages

CHARACTERS_PER_FRAME = 0.53
FRAMES = (300, 1000)
"""The fewest and the most of a synthetic utterance."""
PASSAGE_CHARACTERS = 350
"""An utterance is some sentences long, and so is a line of the language model's text."""
MOST_UNKNOWN = 1 / 8
"""Of an utterance's words; passages with more are lists of names rather than prose."""


@dataclass(frozen=True)
class Speech:
    """Emissions `(T, C)` of some utterances."""

    table: TokenTable
    emissions: list[Emissions]
    references: list[str]
    frame_seconds: float

    @cached_property
    def seconds(self) -> float:
        return sum(map(len, self.emissions)) * self.frame_seconds

    @cached_property
    def greedy(self) -> list[str]:
        """What greedy decoding hears."""
        best = (greedy_search(torch.from_numpy(emissions)) for emissions in self.emissions)
        return [self.table.decode(hypothesis.tokens) for hypothesis in best]

    def word_error_rate(self, hypotheses: list[str]) -> float:
        return float(jiwer.process_words(self.references, hypotheses).wer)

    def word_errors(self, hypotheses: list[str]) -> list[int]:
        """Those of each utterance."""
        pairs = zip(self.references, hypotheses, strict=True)
        outputs = [jiwer.process_words(reference, hypothesis) for reference, hypothesis in pairs]
        return [o.substitutions + o.deletions + o.insertions for o in outputs]

    def character_error_rate(self, hypotheses: list[str]) -> float:
        return float(jiwer.process_characters(self.references, hypotheses).cer)


@dataclass(frozen=True)
class Material:
    """Speech to decode, other speech to tune on, and lines of text that neither utters."""

    test: Speech
    tuning: Speech
    lines: list[list[str]]


def synthetic(english: English, utterances: int, seed: int = 0) -> Material:
    """So many utterances to test on and half as many to tune on, no document in both."""
    wanted = utterances + utterances // 2
    lines = [p.split() for d in english.known for p in passages(d, PASSAGE_CHARACTERS)]
    known = {word for line in lines for word in line}
    generator = np.random.default_rng(seed)
    documents = [english.uttered[i] for i in generator.permutation(len(english.uttered))]
    spoken: list[tuple[str, int]] = []
    for document in documents:
        if len(spoken) == wanted:
            break
        frames = int(generator.integers(FRAMES[0], FRAMES[1] + 1))
        characters = CHARACTERS_PER_FRAME * frames
        # Begin anywhere that leaves enough behind it.
        remaining = list(accumulate(len(sentence) + 1 for sentence in reversed(document)))[::-1]
        starts = sum(count > characters for count in remaining)
        if not starts:
            continue
        start = int(generator.integers(starts))
        text = next(passages(document[start:], round(characters)))
        frames = round(len(text) / CHARACTERS_PER_FRAME)
        words = text.split()
        unknown = sum(word not in known for word in words)
        if frames <= FRAMES[1] and unknown <= MOST_UNKNOWN * len(words):
            spoken.append((text, frames))
    if len(spoken) < wanted:
        raise TextError(
            f"text to utter: expected {wanted} documents of {FRAMES[1]} characters or so, found "
            f"{len(spoken)}; give more of it, or ask for fewer utterances"
        )
    emissions = [emit(text, frames, generator) for text, frames in spoken]
    references = [text for text, _ in spoken]
    test, tuning = (
        Speech(TABLE, emissions[half], references[half], FRAME_SECONDS)
        for half in (slice(utterances), slice(utterances, None))
    )
    return Material(test, tuning, lines)


def recorded(
    checkpoint: Path, test: Path, tuning_checkpoint: Path, tuning: Path, text: Path
) -> Material:
    """What checkpoints make of two manifests; the lines are the transcripts of a third.

    Weights tuned on what a checkpoint was trained on are worthless, hence the second one; it must
    have the tokens of the first, or ConfigError is raised.
    """
    material = Material(
        encoded(Recognizer.load(checkpoint), test),
        encoded(Recognizer.load(tuning_checkpoint), tuning),
        sentences(text),
    )
    if material.test.table != material.tuning.table:
        raise ConfigError(
            f"{tuning_checkpoint}: expected the tokens of {checkpoint}, "
            f"{material.test.table.characters}, found {material.tuning.table.characters}"
        )
    return material


def sentences(manifest: Path) -> list[list[str]]:
    """The words of each transcript."""
    return [utterance.text.split() for utterance in read_manifest(manifest)]


def encoded(recognizer: Recognizer, manifest: Path) -> Speech:
    """What a checkpoint makes of the recordings of a manifest."""
    utterances = read_manifest(manifest)
    waveforms = (audio.read(u.audio_filepath, recognizer.sample_rate)[0] for u in utterances)
    emissions = [recognizer.log_probs(waveform).numpy() for waveform in waveforms]
    features, subsampling = recognizer.extractor.config, recognizer.model.config.subsampling
    frame_seconds = features.frame_seconds * subsampling
    return Speech(recognizer.tokens, emissions, [u.text for u in utterances], frame_seconds)
