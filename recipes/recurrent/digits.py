"""Spoken digits of FSDD as features, with some of the six speakers left out.

Whoever knows five speakers knows little of a sixth. So training also draws changed copies of each
recording: faster or slower (with another pitch), with other resonances, of another microphone, in
noise (`asr.signal.augment`). The recordings of FSDD differ in the silence at their ends; it is cut
off everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.corpus.manifest import read_manifest
from asr.signal.audio import read
from asr.signal.augment import AugmentConfig, augment_waveform, trim_silence
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.signal.rng import randint, seeded_generator
from asr.signal.spec_augment import mask_features, warp_features
from recipes.fsdd.prepare import SAMPLE_RATE, SPEAKERS, WORDS

FOLDER = Path("data/fsdd")
FEATURES = FeatureConfig(
    sample_rate=SAMPLE_RATE, num_mels=20, high_hz=3800.0, normalise="level", stack=2
)
"""Frames of 20 ms. Of a recording its level alone is taken off: the mean of its spectrum is a part
of the word. Bands of twice the usual width hold less of a voice's pitch."""
SILENCE_DB = 28.0
"""Silence begins so far below the loudest 10 ms."""
AUGMENT = AugmentConfig(
    speeds=(0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25),
    trim_chance=1.0,
    trim_floor_db=(20.0, 38.0),
    colour_db=6.0,
    frequency_warp=0.1,
    noise_chance=0.5,
    noise_snr_db=(5.0, 30.0),
    band_limit_chance=0.3,
    time_masks=1,
    time_mask_frames=10,
    frequency_mask_mels=4,
)
SHORTEST = 0.2
"""Seconds; what cutting would leave shorter stays as it is."""
COPIES = 8
"""Changed copies of each recording, the same for all models."""


@dataclass(frozen=True)
class Digits:
    """All recordings; shapes as in `asr`: T frames, F features."""

    clean: list[Tensor]
    """Features `(T, F)` of each."""
    changed: list[list[Tensor]]
    """Of each, its changed copies."""
    labels: list[int]
    """The digit that is said, 0 to 9."""
    speakers: list[str]

    def of(self, speakers: Sequence[str]) -> list[int]:
        """Numbers of these speakers' recordings, in their order."""
        return [number for number, who in enumerate(self.speakers) if who in speakers]

    def draws(self, speakers: Sequence[str], batch: int) -> "Draws":
        """Endless batches of the numbers of these speakers' recordings."""
        return Draws(self.of(speakers), [len(frames) for frames in self.clean], batch)


@cache
def digits() -> Digits:
    """Every recording of `FOLDER` and its copies: about two minutes for FSDD, once in a call."""
    extractor = FeatureExtractor(FEATURES)
    utterances = [
        utterance
        for split in ("train", "dev", "test")
        for utterance in read_manifest(FOLDER / f"{split}.jsonl")
    ]
    clean, changed = [], []
    for number, utterance in enumerate(utterances):
        waveform, _ = read(utterance.audio_filepath, SAMPLE_RATE)
        speech = trim_silence(waveform, SAMPLE_RATE // 100, SILENCE_DB)
        clean.append(extractor(speech if len(speech) >= SHORTEST * SAMPLE_RATE else waveform))
        changed.append([change(waveform, extractor, number, copy) for copy in range(COPIES)])
    labels = [WORDS.index(utterance.text) for utterance in utterances]
    return Digits(clean, changed, labels, [utterance.speaker or "" for utterance in utterances])


def change(waveform: Tensor, extractor: FeatureExtractor, *seed: int) -> Tensor:
    """Features `(T, F)` of a waveform `(S,)`, changed at random in all of these ways."""
    generator = seeded_generator(*seed)
    speed = AUGMENT.speeds[randint(len(AUGMENT.speeds), generator)]
    waveform = augment_waveform(waveform, SAMPLE_RATE, AUGMENT, generator, speed, SHORTEST)
    frames = warp_features(extractor.frames(waveform), AUGMENT, generator)
    return extractor.stacked(mask_features(frames, AUGMENT, generator))


def left_out(seed: int) -> tuple[str, str]:
    """Two speakers for the test: each speaker is in the test of one of three seeds."""
    first = 2 * seed % len(SPEAKERS)
    return SPEAKERS[first], SPEAKERS[first + 1]


def trained_on(without: Sequence[str]) -> list[str]:
    """All other speakers."""
    return [speaker for speaker in SPEAKERS if speaker not in without]


class Draws:
    """Endless batches of numbers: all, in another order each time, similar lengths together."""

    CHUNK = 32
    """Batches that are sorted by length together, so that little of a batch is padding."""

    def __init__(self, numbers: Sequence[int], lengths: Sequence[int], batch: int) -> None:
        self.numbers, self.lengths, self.batch = numbers, lengths, batch
        self.waiting: list[list[int]] = []

    def next(self) -> list[int]:
        """The next batch, drawn from torch's global generator."""
        if not self.waiting:
            order = [self.numbers[place] for place in torch.randperm(len(self.numbers)).tolist()]
            span = self.CHUNK * self.batch
            for start in range(0, len(order), span):
                chunk = sorted(order[start : start + span], key=lambda n: self.lengths[n])
                self.waiting += [
                    chunk[place : place + self.batch] for place in range(0, len(chunk), self.batch)
                ]
            places = torch.randperm(len(self.waiting)).tolist()
            self.waiting = [self.waiting[place] for place in places]
        return self.waiting.pop()


def padded(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features `(T, F)` as a batch `(N, T, F)`, zero-padded, and its lengths `(N,)`."""
    lengths = torch.tensor([len(frames) for frames in features])
    return pad_sequence(list(features), batch_first=True), lengths


def drawn(spoken: Digits, numbers: Sequence[int]) -> list[Tensor]:
    """Of each of these recordings one of its changed copies, or itself."""
    places = torch.randint(COPIES + 1, (len(numbers),)).tolist()
    return [
        [*spoken.changed[number], spoken.clean[number]][place]
        for number, place in zip(numbers, places, strict=True)
    ]
