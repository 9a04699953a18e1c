"""The data of a run: manifests opened and checked, and the loaders of their batches."""

import logging
import math
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from asr.checkpoint.registry import shipped_checkpoints
from asr.corpus.check import check_corpus
from asr.corpus.dataset import Batch, UtteranceDataset
from asr.corpus.loader import make_loader
from asr.corpus.manifest import Corpus
from asr.corpus.sampler import DurationBatchSampler
from asr.signal.features import FeatureExtractor
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.distributed import Group

LITTLE_MINUTES = 15.0
"""With less speech than this, a model that starts from random weights can learn next to nothing."""

_log = logging.getLogger("asr.training")


@dataclass(frozen=True)
class Data:
    """The utterances to train on and to validate on."""

    train: Corpus
    dev: Corpus

    @classmethod
    def open(cls, config: Config) -> "Data":
        """Open the manifests of a run. Raises ManifestError as `Corpus.open`."""
        units = config.text.units
        return cls(
            Corpus.open(config.data.train, units=units),
            Corpus.open([config.data.dev], units=units),
        )

    @property
    def manifests(self) -> dict[str, str]:
        """SHA-256 of each manifest, by its path."""
        return {**self.train.sha256, **self.dev.sha256}

    def check(self, config: Config, tokens: TokenTable) -> None:
        """Refuse what cannot be trained on, and warn if dev recordings are also trained on.

        Raises ManifestError as `check_corpus`.
        """

        def num_frames(duration: float) -> int:
            frames = int(duration / config.augment.fastest_speed / config.features.frame_seconds)
            return math.ceil(frames / config.subsampling_in(0))

        may_be_empty = config.data.empty_text == "nothing"
        keep_tags = config.data.tags == "keep"
        for corpus, where in ((self.train, "training data"), (self.dev, config.data.dev)):
            check_corpus(corpus, tokens, num_frames, where, may_be_empty, keep_tags)
        self.warn_of_overlap()

    def warn_of_overlap(self) -> None:
        """Warn if recordings are both trained on and validated on."""
        trained_on = set(self.train.recording_hashes.tolist())
        shared = sum(recording in trained_on for recording in self.dev.recording_hashes.tolist())
        if shared:
            _log.warning(
                "%d of the %d validation recordings are also trained on: their error rate will be "
                "too low",
                *(shared, len(self.dev)),
            )

    def warn_if_little(self) -> None:
        """Say what to expect of random initial weights where there are only minutes of speech."""
        minutes = float(self.train.durations.sum()) / 60
        if minutes < LITTLE_MINUTES:
            _log.warning(
                "%.1f minutes of training data are little to start from random weights: 40 "
                "recordings of speech gave 0 %% right after 60 epochs, and 77 %% with a checkpoint "
                "of similar speech to start from (--init_from CHECKPOINT, such as %s); a grammar "
                "of what may be said (--grammar, when decoding) needs no training at all",
                *(minutes, " or ".join(shipped_checkpoints()) or "a folder"),
            )

    def log_sizes(self, config: Config) -> None:
        """Log what is unusual about the utterances: without speech, or few or long for a batch."""
        train, dev = self.train, self.dev
        silent, silent_dev = train.min_frames == 0, dev.min_frames == 0
        if silent.any() or silent_dev.any():
            _log.info(
                "%d training utterances (%.2f h) and %d validation utterances have an empty "
                "transcript",
                *(silent.sum(), float(train.durations[silent].sum()) / 3600, silent_dev.sum()),
            )
        budget = config.optim.batch_seconds
        if float(train.durations.sum()) < budget:
            _log.info("all training data fits one batch of %g s: an epoch is one step", budget)
        alone = int((train.durations > budget).sum())
        if alone:
            _log.warning(
                "%d utterances are longer than optim.batch_seconds=%g: each is a batch of its own",
                *(alone, budget),
            )


def train_loader(
    config: Config, data: Data, tokens: TokenTable, device: torch.device, group: Group
) -> tuple[DurationBatchSampler, DataLoader[Batch]]:
    """The plan of this process's training batches, and their loader."""
    batches = DurationBatchSampler(
        data.train.durations,
        config.optim.batch_seconds,
        config.seed,
        config.augment.speeds,
        data.train.shard_indices,
        config.data.shard_window,
        group.rank,
        group.size,
    )
    dataset = UtteranceDataset(
        data.train,
        tokens,
        FeatureExtractor(config.features),
        config.augment,
        config.seed,
        config.optim.views_in,
        config.subsampling_in,
    )
    return batches, make_loader(dataset, batches, config.optim.workers, device.type == "cuda")


def dev_loader(
    config: Config, data: Data, tokens: TokenTable, device: torch.device, group: Group
) -> DataLoader[Batch]:
    """The loader of this process's validation batches."""
    batches = DurationBatchSampler(
        data.dev.durations, config.optim.batch_seconds, rank=group.rank, world_size=group.size
    )
    dataset = UtteranceDataset(data.dev, tokens, FeatureExtractor(config.features))
    return make_loader(dataset, batches, 0, device.type == "cuda")
