"""The dataset: an utterance's audio and text to features and targets, and batches of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from asr.corpus.check import minimum_frames
from asr.corpus.manifest import Utterance
from asr.corpus.noise_corpus import NoiseCorpus
from asr.corpus.recordings import read_utterance
from asr.corpus.sampler import UtteranceKey
from asr.errors import AsrError, AudioError
from asr.signal.augment import AugmentConfig, augment_waveform
from asr.signal.features import FeatureExtractor
from asr.signal.rng import seeded_generator
from asr.signal.spec_augment import mask_features, warp_features, warp_time
from asr.text.tokens import TokenTable


@dataclass(frozen=True)
class Batch:
    """Padded features and targets of N utterances.

    With two views, each utterance is in the batch twice, with different masks: first the first
    view of every utterance, then the second view of every utterance. N counts both.
    """

    ids: list[str]
    features: Tensor
    """`(N, T, F)`, zeros beyond each length."""
    feature_lengths: Tensor
    """`(N,)`, frames."""
    targets: Tensor
    """`(N, U)`, zeros beyond each length."""
    target_lengths: Tensor
    """`(N,)`, tokens."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        tensors = (self.features, self.feature_lengths, self.targets, self.target_lengths)
        return Batch(self.ids, *(tensor.to(device, non_blocking=True) for tensor in tensors))


LARGEST_DIFFERENCE_SECONDS, LARGEST_DIFFERENCE = 0.5, 0.05
"""By so much, in seconds or as a part, whichever is more, a recording may be longer or shorter than
its manifest says: some round to whole seconds."""

Item = tuple[str, list[Tensor], Tensor]
"""Id, views of the features `(T, F)` and target `(U,)` of an utterance."""


class UtteranceDataset(Dataset[Item]):
    """Features and targets of utterances, indexed by `UtteranceKey`.

    With `augment`, each item has `views` versions of the features that differ in their masks.
    `seconds_per_frame` maps an epoch to the duration of an output frame of the encoder, for
    recordings played at the fastest speed; trimming then never leaves an utterance with fewer
    frames than its target needs.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokens: TokenTable,
        extractor: FeatureExtractor,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        views: int = 1,
        seconds_per_frame: Callable[[int], float] | None = None,
    ) -> None:
        self.utterances = utterances
        self.tokens = tokens
        self.extractor = extractor
        self.augment = augment
        self.seed = seed
        self.views = views
        self.seconds_per_frame = seconds_per_frame
        noises = augment.noises if augment is not None else ()
        self.noise = NoiseCorpus(noises, extractor.config.sample_rate) if noises else None

    def __getitem__(self, key: UtteranceKey) -> Item:
        """Raises AudioError if the recording cannot be read or is not as long as the manifest says,
        TextError on unknown characters."""
        utterance = self.utterances[key.utterance]
        target = self.tokens.encode(utterance.text)
        waveform, rate = read_utterance(utterance, self.extractor.config.sample_rate)
        _check_duration(utterance, len(waveform) / rate)
        frame_seconds = self.seconds_per_frame(key.epoch) if self.seconds_per_frame else 0.0
        # Two frames to spare: resampling and subsampling round lengths.
        min_seconds = (minimum_frames(target) + 2) * frame_seconds
        views = self._views(waveform, key, min_seconds)
        return utterance.id, views, torch.tensor(target, dtype=torch.long)

    def __getitems__(self, keys: Sequence[UtteranceKey]) -> list[Item] | AsrError:
        """The items of a batch, or the error that prevented it, for `BatchLoader` to raise.

        Returned rather than raised: a worker process would turn it into the text of a traceback.
        """
        try:
            return [self[key] for key in keys]
        except AsrError as error:
            return error

    def _views(self, waveform: Tensor, key: UtteranceKey, min_seconds: float) -> list[Tensor]:
        augment = self.augment
        if augment is None:
            return [self.extractor(waveform)]
        # Seeded by epoch and utterance: neither the batch, the worker nor a resumed run matters.
        generator = seeded_generator(self.seed, key.epoch, key.utterance)
        sample_rate = self.extractor.config.sample_rate
        waveform = augment_waveform(
            waveform, sample_rate, augment, generator, key.speed, min_seconds, self.noise
        )
        frames = warp_features(self.extractor.frames(waveform), augment, generator)
        frames = warp_time(frames, augment, generator)
        return [
            self.extractor.stacked(mask_features(frames, augment, generator))
            for _ in range(self.views)
        ]


def _check_duration(utterance: Utterance, seconds: float) -> None:
    """Batches are planned, and memory is measured, by what the manifest says."""
    stated = utterance.duration
    if abs(seconds - stated) > max(LARGEST_DIFFERENCE_SECONDS, LARGEST_DIFFERENCE * stated):
        raise AudioError(
            f"{utterance.audio_filepath}: expected a recording of {stated:.6g} s, as the manifest "
            f"says of {utterance.id}, found {seconds:.6g} s; if the file was replaced, write the "
            "manifest anew"
        )


def collate(items: Sequence[Item]) -> Batch:
    """Pad the utterances of a batch with zeros to the longest."""
    ids, views, targets = zip(*items, strict=True)
    # From utterance by utterance to view by view, the order that `Batch` states.
    features = [frames for same_view in zip(*views, strict=True) for frames in same_view]
    num_views = len(features) // len(ids)
    all_targets = list(targets) * num_views
    return Batch(
        ids=list(ids) * num_views,
        features=pad_sequence(features, batch_first=True),
        feature_lengths=torch.tensor([len(frames) for frames in features]),
        targets=pad_sequence(all_targets, batch_first=True),
        target_lengths=torch.tensor([len(target) for target in all_targets]),
    )
