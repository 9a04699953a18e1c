"""What the steps of a run share."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from asr.corpus.dataset import Batch
from asr.corpus.sampler import DurationBatchSampler
from asr.model.acoustic import AcousticModel
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.distributed import Group
from asr.training.lineage import Source
from asr.training.teacher import Teacher


@dataclass
class Run:
    """The settings, data, model and optimizer of a run, as one of its processes holds them."""

    config: Config
    folder: Path
    device: torch.device
    group: Group
    tokens: TokenTable
    model: AcousticModel
    network: torch.nn.Module
    """Every prediction of the model, its gradients averaged over the processes."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    train_batches: DurationBatchSampler
    train_loader: DataLoader[Batch]
    dev_loader: DataLoader[Batch]
    references: dict[str, str]
    """Transcripts of the validation utterances, by id."""
    manifests: dict[str, str]
    """SHA-256 of each manifest, by its path."""
    source: Source | None
    """The checkpoint that the run was initialised from."""
    teacher: Teacher | None
    writer: SummaryWriter | None
    """TensorBoard; None in every process but the main one."""


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Batches done within the current epoch."""
    step: int = 0
    """Batches done in all."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""
    totals: dict[str, float] = field(default_factory=dict)
    """Sums over the current epoch so far, of all processes."""
    weights: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the saved weights of the best epochs, by epoch."""
