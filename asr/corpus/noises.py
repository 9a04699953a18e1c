"""Recordings of noise, to mix into speech."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from asr.corpus.manifest import Corpus, Utterance
from asr.corpus.recordings import read_utterance
from asr.signal.rng import below, uniform

_SPARE_SECONDS = 0.01
"""Read beyond what is needed, for rounding at another rate."""


class RecordedNoise:
    """Random parts of random recordings; one is read when it is asked for, and as much of it.

    Fit for worker processes as `Corpus` is. Raises ManifestError as `Corpus` does.
    """

    def __init__(self, manifests: Sequence[str], sample_rate: int) -> None:
        self.corpus = Corpus.open(manifests)
        self.sample_rate = sample_rate

    def __call__(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Noise `(S,)`; a recording that is too short is repeated from a random start on.

        Raises AudioError as `read_utterance` does.
        """
        recording = self.corpus[below(len(self.corpus), generator)]
        seconds = num_samples / self.sample_rate + _SPARE_SECONDS
        waveform, _ = read_utterance(_part(recording, seconds, generator), self.sample_rate)
        if len(waveform) >= num_samples:
            start = below(len(waveform) - num_samples + 1, generator)
            return waveform[start : start + num_samples]
        repeated = waveform.roll(below(len(waveform), generator))
        return repeated.repeat(-(-num_samples // len(waveform)))[:num_samples]


def _part(recording: Utterance, seconds: float, generator: torch.Generator) -> Utterance:
    """A random part of a recording, of so many seconds if it has them; all of one in a shard."""
    if recording.member is not None or recording.duration <= seconds:
        return recording
    start = uniform(0, recording.duration - seconds, generator)
    offset = (recording.offset or 0.0) + start
    return dataclasses.replace(recording, offset=offset, duration=seconds)
