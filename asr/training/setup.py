"""What a run needs before its first step: checked data, a model, an optimizer."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from asr.checkpoint.checkpoint import load_checkpoint
from asr.config import to_dict
from asr.corpus.check import check_corpus
from asr.corpus.dataset import Batch, UtteranceDataset
from asr.corpus.loader import make_loader
from asr.corpus.manifest import Corpus
from asr.corpus.sampler import DurationBatchSampler
from asr.errors import CheckpointError, ConfigError
from asr.files import make_folder
from asr.model.acoustic import AcousticModel, IntermediateOutputs
from asr.signal.features import FeatureExtractor
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.distributed import Group
from asr.training.objective import autocast_type
from asr.training.resume import check_resumable
from asr.training.start import start_from, tokens_to_start_with
from asr.training.state import Progress, load_state, save_state, state_files

_log = logging.getLogger("asr.training")


@dataclass
class Run:
    """What the steps of a run share."""

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
    manifests: dict[str, str]
    """SHA-256 of each manifest, by its path."""
    writer: SummaryWriter | None


def prepare(
    config: Config,
    folder: Path,
    device: torch.device,
    group: Group,
    resume: bool,
    accept_changed_data: bool = False,
) -> tuple[Run, Progress]:
    """Read and check the data, build the model and its optimizer, restore the state to resume."""
    state = find_state(folder, group, resume)
    torch.manual_seed(config.seed)
    train_set, dev_set = Corpus.open(config.data.train), Corpus.open([config.data.dev])
    manifests = {**train_set.sha256, **dev_set.sha256}
    same_plan = state is None or check_resumable(
        state, config, manifests, group.size, accept_changed_data
    )
    start = load_checkpoint(config.init_from) if config.init_from and state is None else None
    tokens = tokens_to_start_with(state["tokens"] if state else train_set.characters, start)
    model = AcousticModel(config.encoder, config.features.num_features, len(tokens))
    check_data(config, tokens, train_set, dev_set)
    if start is not None:
        start_from(start, config, model, tokens)
    model.to(device)
    optimizer = make_optimizer(config, model)
    scaled = autocast_type(config, device) is torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=scaled)
    progress = Progress()
    if state is not None:
        progress = restore(state, folder, model, optimizer, scaler)
        if progress.totals and not same_plan:
            _log.info("epoch %d begins anew: its batches are others now", progress.epoch + 1)
            progress.batch, progress.totals = 0, {}
        _log.info("resuming at epoch %d, batch %d", progress.epoch + 1, progress.batch)
    batches, train_loader, dev_loader = make_loaders(
        config, tokens, train_set, dev_set, device, group
    )
    describe(config, device, group, train_set, dev_set, tokens, model)
    writer = None
    if group.writes:
        writer = SummaryWriter(str(folder / "tensorboard"), purge_step=progress.step + 1)
    network = group.parallel(IntermediateOutputs(model))
    run = Run(
        *(config, folder, device, group, tokens, model, network, optimizer, scaler),
        *(batches, train_loader, dev_loader, {u.id: u.text for u in dev_set}, manifests, writer),
    )
    return run, progress


def make_optimizer(config: Config, model: AcousticModel) -> torch.optim.Optimizer:
    """What changes the weights; the schedule sets its rate anew at each step."""
    return torch.optim.AdamW(
        model.parameters(),
        config.optim.peak_rate,
        (0.9, 0.98),
        weight_decay=config.optim.weight_decay,
        fused=True,
    )


def find_state(folder: Path, group: Group, resume: bool) -> dict[str, Any] | None:
    """The state to go on from, as the first process finds it; None for a new run."""
    state = None
    if group.writes:
        stands = bool(state_files(folder))
        if stands and not (resume or group.restarts):
            raise ConfigError(
                f"{folder}: a run stands here already; add --resume or name another folder"
            )
        make_folder(folder)
        if stands or resume:
            state = load_state(folder)
    return group.from_first(state)


def restore(
    state: dict[str, Any],
    folder: Path,
    model: AcousticModel,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> Progress:
    """Bring model, optimizer and scale to where `keep_state` left them."""
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if scaler.is_enabled() and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        return Progress(**state["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: cannot resume from this state ({' '.join(str(error).split())[:200]}); "
            "start anew in another folder"
        ) from error


def keep_state(run: Run, progress: Progress) -> None:
    """Write all that the run needs to go on from here."""
    if not run.group.writes:
        return
    state = {
        "progress": vars(progress),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "config": to_dict(run.config),
        "manifests": run.manifests,
        "tokens": list(run.tokens.characters),
        "world_size": run.group.size,
    }
    save_state(run.folder, progress.step, state, run.config.optim.keep_states)
    if run.writer is not None:
        run.writer.flush()  # a resumed run goes on from this step


def make_loaders(
    config: Config,
    tokens: TokenTable,
    train_set: Corpus,
    dev_set: Corpus,
    device: torch.device,
    group: Group,
) -> tuple[DurationBatchSampler, DataLoader[Batch], DataLoader[Batch]]:
    """The plan of the training batches, and what reads them and the validation batches."""
    extractor, optim = FeatureExtractor(config.features), config.optim
    batches = DurationBatchSampler(
        train_set.durations,
        optim.batch_seconds,
        config.seed,
        config.augment.speeds,
        train_set.shard_indices,
        config.data.shard_window,
        group.rank,
        group.size,
    )
    dataset = UtteranceDataset(
        train_set,
        tokens,
        extractor,
        config.augment,
        config.seed,
        optim.views,
        config.shortest_frame_seconds,
    )
    dev_batches = DurationBatchSampler(
        dev_set.durations, optim.batch_seconds, rank=group.rank, world_size=group.size
    )
    on_gpu = device.type == "cuda"
    return (
        batches,
        make_loader(dataset, batches, optim.workers, on_gpu),
        make_loader(UtteranceDataset(dev_set, tokens, extractor), dev_batches, 0, on_gpu),
    )


def describe(
    config: Config,
    device: torch.device,
    group: Group,
    train_set: Corpus,
    dev_set: Corpus,
    tokens: TokenTable,
    model: AcousticModel,
) -> None:
    """Tell the log what is about to be trained on what."""
    dtype = autocast_type(config, device) or torch.float32
    _log.info(
        "%d utterances (%.2f h) to learn from, %d to validate on, %d tokens, %.2f M parameters, "
        "%s on %s%s",
        len(train_set),
        float(train_set.durations.sum()) / 3600,
        len(dev_set),
        len(tokens),
        sum(p.numel() for p in model.parameters()) / 1e6,
        str(dtype).removeprefix("torch."),
        device,
        f", {group.size} processes" if group.size > 1 else "",
    )
    coarse = config.optim.coarse_epochs
    if coarse:
        _log.info(
            "%d of the %d epochs take output frames of %g ms, those after them of %g ms",
            *(coarse, config.optim.epochs),
            *(1e3 * config.features.frame_seconds * config.subsampling_in(e) for e in (0, coarse)),
        )
    silent, silent_dev = train_set.min_frames == 0, dev_set.min_frames == 0
    if silent.any() or silent_dev.any():
        _log.info(
            "%d of the utterances to learn from (%.2f h), and %d of those to validate on, say "
            "nothing",
            *(silent.sum(), float(train_set.durations[silent].sum()) / 3600, silent_dev.sum()),
        )
    budget = config.optim.batch_seconds
    if float(train_set.durations.sum()) < budget:
        _log.info("all of it fits one batch of %g s: an epoch is one step", budget)
    alone = int((train_set.durations > budget).sum())
    if alone:
        _log.warning(
            "%d utterances are longer than optim.batch_seconds=%g: each makes a batch of its own",
            *(alone, budget),
        )


def check_data(config: Config, tokens: TokenTable, train_set: Corpus, dev_set: Corpus) -> None:
    """Refuse what cannot be learnt from, and say so when dev is also trained on."""

    def num_frames(duration: float) -> int:
        frames = int(duration / config.augment.fastest_speed / config.features.frame_seconds)
        return math.ceil(frames / config.subsampling_in(0))

    may_be_empty = config.data.empty_text == "nothing"
    check_corpus(train_set, tokens, num_frames, "training data", may_be_empty)
    check_corpus(dev_set, tokens, num_frames, config.data.dev, may_be_empty)
    warn_of_overlap(train_set, dev_set)


def warn_of_overlap(train_set: Corpus, dev_set: Corpus) -> None:
    """Say so when recordings are both trained on and validated on."""
    both = set(dev_set.recording_hashes.tolist()).intersection(train_set.recording_hashes.tolist())
    shared = sum(recording in both for recording in dev_set.recording_hashes.tolist())
    if shared:
        _log.warning(
            "%d of the %d validation recordings are also trained on: their error rate will flatter",
            shared,
            len(dev_set),
        )
