"""What a run needs before its first step: checked data, a model, an optimizer."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from asr.checkpoint.bundle import Bundle, load_bundle
from asr.config import to_dict
from asr.corpus.batches import Batch, DurationBatches, UtteranceDataset, make_loader
from asr.corpus.check import check_utterances, minimum_frames
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import ConfigError
from asr.files import make_folder
from asr.model.acoustic import AcousticModel
from asr.signal.features import FeatureExtractor
from asr.text.tokens import TokenTable
from asr.training.config import Config
from asr.training.state import STATE_FILE

_log = logging.getLogger("asr.training")


@dataclass
class Run:
    """What the steps of a run share."""

    config: Config
    folder: Path
    device: torch.device
    tokens: TokenTable
    model: AcousticModel
    optimizer: torch.optim.Optimizer
    train_batches: DurationBatches
    train_loader: DataLoader[Batch]
    dev_loader: DataLoader[Batch]
    references: dict[str, str]
    writer: SummaryWriter


def prepare(config: Config, folder: Path, device: torch.device, resume: bool) -> Run:
    """Read and check the data, build the model and its optimizer."""
    if (folder / STATE_FILE).exists() and not resume:
        raise ConfigError(
            f"{folder}: a run stands here already; add --resume or name another folder"
        )
    make_folder(folder)
    torch.manual_seed(config.seed)
    train_set = [u for path in config.data.train for u in read_manifest(path)]
    dev_set = read_manifest(config.data.dev)
    warn_of_overlap(train_set, dev_set)
    tokens = TokenTable.from_texts(u.text for u in train_set)
    extractor = FeatureExtractor(config.features)
    model = AcousticModel(config.encoder, config.features.num_features, len(tokens))
    train_targets = _check(config, model, tokens, train_set, "training data")
    dev_targets = _check(config, model, tokens, dev_set, config.data.dev)
    if config.init_from and not resume:
        start_from(load_bundle(config.init_from), config, model, tokens)
    model.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        config.optim.peak_rate,
        (0.9, 0.98),
        weight_decay=config.optim.weight_decay,
    )
    batches = DurationBatches(
        [u.duration for u in train_set], config.optim.batch_seconds, config.seed
    )
    views = 2 if config.optim.consistency else 1
    dataset = UtteranceDataset(
        train_set,
        train_targets,
        extractor,
        config.augment,
        config.seed,
        views,
        [_seconds_needed(config, target) for target in train_targets],
    )
    dev_batches = DurationBatches([u.duration for u in dev_set], config.optim.batch_seconds)
    dev_dataset = UtteranceDataset(dev_set, dev_targets, extractor)
    _log.info(
        "%d utterances (%.2f h) to learn from, %d to validate on, %d tokens, %.2f M parameters, %s",
        len(train_set),
        sum(u.duration for u in train_set) / 3600,
        len(dev_set),
        len(tokens),
        sum(p.numel() for p in model.parameters()) / 1e6,
        "bfloat16" if uses_bfloat16(config, device) else "float32",
    )
    return Run(
        config,
        folder,
        device,
        tokens,
        model,
        optimizer,
        batches,
        make_loader(dataset, batches, config.optim.workers),
        make_loader(dev_dataset, dev_batches),
        {u.id: u.text for u in dev_set},
        SummaryWriter(str(folder / "tensorboard")),
    )


def warn_of_overlap(train_set: list[Utterance], dev_set: list[Utterance]) -> None:
    """Say so when recordings are both trained on and validated on."""
    known = {u.audio_filepath for u in train_set}
    shared = sum(u.audio_filepath in known for u in dev_set)
    if shared:
        _log.warning(
            "%d of the %d validation recordings are also trained on: their error rate will flatter",
            shared,
            len(dev_set),
        )


def start_from(bundle: Bundle, config: Config, model: AcousticModel, tokens: TokenTable) -> None:
    """Take over the weights of a checkpoint; with other tokens, the output layer starts anew.

    Raises ConfigError if its features or encoder are not those of this run.
    """
    where = config.init_from
    for part, wanted in (("features", config.features), ("encoder", config.encoder)):
        found = bundle.config[part]
        differing = [k for k, v in to_dict(wanted).items() if k != "dropout" and found.get(k) != v]
        if differing:
            raise ConfigError(
                f"init_from={where}: its {part} differ from this run's in {', '.join(differing)}; "
                f"set them alike (`asr describe {where}`)"
            )
    weights = bundle.weights
    if tuple(bundle.config["tokens"]) != tokens.characters:
        _log.info("%s has other tokens: the output layer starts anew", where)
        weights = {k: v for k, v in weights.items() if not k.startswith("output.")}
    model.load_state_dict(weights, strict=False)


def _check(
    config: Config,
    model: AcousticModel,
    tokens: TokenTable,
    utterances: list[Utterance],
    where: str,
) -> list[list[int]]:
    def num_frames(duration: float) -> int:
        frames = int(duration / _fastest(config) / config.features.frame_seconds)
        return int(model.output_lengths(torch.tensor(frames)))

    return check_utterances(utterances, tokens, num_frames, where)


def _fastest(config: Config) -> float:
    return max((1.0, *config.augment.speeds))


def _seconds_needed(config: Config, target: list[int]) -> float:
    """What a target needs at the fastest speed, and two frames for rounding."""
    frame_seconds = config.features.frame_seconds * config.encoder.subsampling
    return (minimum_frames(target) + 2) * frame_seconds * _fastest(config)


def uses_bfloat16(config: Config, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16 (weights, norms and loss stay in float32)."""
    if config.optim.precision != "auto":
        return config.optim.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # older torch has none
    return bool(capabilities.get("avx512_bf16"))
