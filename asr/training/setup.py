"""What a run needs before its first step: checked data, a model, an optimizer, a restored state."""

import logging
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import ConfigError
from asr.model.acoustic import AcousticModel, IntermediateOutputs, weightless_model
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.data import Data, dev_loader, train_loader
from asr.training.distributed import Group
from asr.training.fine_tune import choose_tokens, load_initial_weights
from asr.training.lineage import source_of
from asr.training.memory import available_bytes
from asr.training.objective import autocast_dtype
from asr.training.optimizer import make_optimizer, make_scaler
from asr.training.run import Progress, Run
from asr.training.state import (
    check_resumable,
    find_state,
    restore_state,
    saved_source,
    saved_tokens,
)
from asr.training.teacher import load_teacher

_log = logging.getLogger("asr.training")


def prepare(
    config: Config,
    folder: Path,
    device: torch.device,
    group: Group,
    resume: bool,
    accept_changed_data: bool = False,
) -> tuple[Run, Progress]:
    """Read and check the data, build the model and its optimizer, restore the state to resume.

    Raises AsrError on data, settings, a checkpoint or a state that cannot be used.
    """
    state = find_state(folder, group, resume)
    torch.manual_seed(config.seed)

    data = Data.open(config)
    same_batches = state is None or check_resumable(
        state, config, data.manifests, group.size, accept_changed_data
    )

    # The weights of a resumed run come from its state.
    initial = load_checkpoint(config.init_from) if config.init_from and state is None else None
    teacher = load_teacher(config, device)
    if state is None:
        origin = initial or teacher
        known = origin.tokens if origin else None
        tokens = choose_tokens(data.train.tokens, config.text.units, known)
    else:
        tokens = saved_tokens(state)
    if teacher is not None:
        teacher.check_tokens(tokens)
    data.check(config, tokens)
    if state is None and initial is None:
        data.warn_if_little()

    check_memory(config, len(tokens), device)
    model = AcousticModel(config.encoder, config.features.num_features, len(tokens))
    model.set_truncation(config.optim.truncate_frames)
    source = saved_source(state) if state else None
    if initial is not None:
        load_initial_weights(model, tokens, initial, config)
        source = source_of(initial, config.init_from)
    model.to(device)
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, device)

    progress = Progress()
    if state is not None:
        progress = restore_state(state, folder, model, optimizer, scaler)
        if progress.totals and not same_batches:
            _log.info("epoch %d starts over: its batches have changed", progress.epoch + 1)
            progress.batch, progress.totals = 0, {}
        _log.info("resuming at epoch %d, batch %d", progress.epoch + 1, progress.batch)
    train_batches, loader = train_loader(config, data, tokens, device, group)
    log_start(config, device, group, data, tokens, model)
    run = Run(
        config=config,
        folder=folder,
        device=device,
        group=group,
        tokens=tokens,
        model=model,
        network=group.data_parallel(IntermediateOutputs(model)),
        optimizer=optimizer,
        scaler=scaler,
        train_batches=train_batches,
        train_loader=loader,
        dev_loader=dev_loader(config, data, tokens, device, group),
        references={utterance.id: utterance.text for utterance in data.dev},
        manifests=data.manifests,
        source=source,
        teacher=teacher,
        writer=tensorboard_writer(folder, progress) if group.is_main else None,
    )
    return run, progress


def tensorboard_writer(folder: Path, progress: Progress) -> SummaryWriter:
    """The writer of TensorBoard events; it hides those of later steps, which will be repeated."""
    return SummaryWriter(str(folder / "tensorboard"), purge_step=progress.step + 1)


def log_start(
    config: Config,
    device: torch.device,
    group: Group,
    data: Data,
    tokens: TokenTable,
    model: AcousticModel,
) -> None:
    """Log the sizes of data and model, and the device."""
    dtype = autocast_dtype(config, device) or torch.float32
    _log.info(
        "%d training utterances (%.2f h), %d validation utterances, %d tokens, %.2f M parameters, "
        "%s on %s%s",
        len(data.train),
        float(data.train.durations.sum()) / 3600,
        len(data.dev),
        len(tokens),
        sum(p.numel() for p in model.parameters()) / 1e6,
        str(dtype).removeprefix("torch."),
        device,
        f", {group.size} processes" if group.size > 1 else "",
    )
    coarse = config.optim.coarse_epochs
    if coarse:
        _log.info(
            "%d of the %d epochs have output frames of %g ms, those after them of %g ms",
            *(coarse, config.optim.epochs),
            *(1e3 * config.features.frame_seconds * config.subsampling_in(e) for e in (0, coarse)),
        )
    if config.optim.consistency and config.optim.single_view_epochs:
        _log.info(
            "%d of the %d epochs have one view of each utterance, those after them two",
            *(config.optim.single_view_epochs, config.optim.epochs),
        )
    data.log_sizes(config)


def check_memory(config: Config, num_tokens: int, device: torch.device) -> None:
    """Raise ConfigError, before anything is allocated, on a model that memory cannot hold.

    A parameter takes 16 bytes: itself, its gradient and two moments of Adam.
    """
    model = weightless_model(config.encoder, config.features.num_features, num_tokens)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    available = available_bytes(device)
    if 16 * parameters > available:
        raise ConfigError(
            f"encoder: expected a model that trains in the {available / 1e9:.1f} GB of memory "
            f"there are, found {parameters:,} parameters, which take {16 * parameters / 1e9:,.1f} "
            "GB; lower encoder.hidden, projection or layers"
        )
