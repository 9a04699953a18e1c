"""Noise recordings from manifests, to be mixed into speech."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from asr.corpus.manifest import Corpus, Utterance
from asr.corpus.recordings import read_utterance
from asr.signal.rng import randint, uniform

_MARGIN_SECONDS = 0.01
"""Read beyond what is needed, because resampling rounds lengths."""


class NoiseCorpus:
    """Random segments of random recordings; only the segment that is asked for is read from disk.

    Safe to use in worker processes, as `Corpus` is. Raises ManifestError as `Corpus` does.
    """

    def __init__(self, manifests: Sequence[str], sample_rate: int) -> None:
        self.corpus = Corpus.open(manifests)
        self.sample_rate = sample_rate

    def __call__(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Noise `(S,)`; a recording that is too short is looped from a random position.

        Raises AudioError as `read_utterance` does.
        """
        recording = self.corpus[randint(len(self.corpus), generator)]
        seconds = num_samples / self.sample_rate + _MARGIN_SECONDS
        waveform, _ = read_utterance(_segment(recording, seconds, generator), self.sample_rate)
        if len(waveform) >= num_samples:
            start = randint(len(waveform) - num_samples + 1, generator)
            return waveform[start : start + num_samples]
        looped = waveform.roll(randint(len(waveform), generator))
        return looped.repeat(-(-num_samples // len(waveform)))[:num_samples]


def _segment(recording: Utterance, seconds: float, generator: torch.Generator) -> Utterance:
    """A random segment of at most `seconds`; a recording in a shard can only be read whole."""
    if recording.member is not None or recording.duration <= seconds:
        return recording
    start = uniform(0, recording.duration - seconds, generator)
    offset = (recording.offset or 0.0) + start
    return dataclasses.replace(recording, offset=offset, duration=seconds)
