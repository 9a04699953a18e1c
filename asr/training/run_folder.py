"""A run's folder read back: its metrics and settings, and how the settings of several runs differ.

`config.json` holds the settings, `metrics.jsonl` a line of metrics for each finished epoch,
`starts.jsonl` a line for each start (`asr.training.run_log`), `checkpoint/` the result.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.checkpoint.checkpoint import CONFIG, METRICS
from asr.checkpoint.integrity import parse_object
from asr.checkpoint.run_folder import HISTORY, MAX_BYTES, PLANNED, STARTS, is_run, read_lines
from asr.config import to_dict
from asr.errors import AsrError
from asr.files import is_folder, read_committed
from asr.printing import shown
from asr.training.config import Config


@dataclass(frozen=True)
class RunSummary:
    """A run as its folder describes it; rates are fractions, losses nats per utterance."""

    folder: Path
    config: dict[str, Any]
    """As written by the version that trained: keys may be missing, or unknown to this version."""
    history: tuple[dict[str, float], ...]
    """The metrics of each epoch."""
    starts: tuple[dict[str, Any], ...]
    """What `record_start` wrote; empty for a run of an older version."""
    checkpoint: dict[str, Any] | None
    """Metrics of the checkpoint, once there is one."""
    parameters: int | None
    """Size of the checkpoint's model."""

    @property
    def name(self) -> str:
        return self.folder.absolute().name

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return int(self.last["epoch"]) if self.last else 0

    @property
    def planned_epochs(self) -> int | None:
        """The epochs that the settings ask for, if they say."""
        optim = self.config.get("optim")
        epochs = optim.get("epochs") if isinstance(optim, dict) else None
        return epochs if isinstance(epochs, int) else None

    @property
    def finished(self) -> bool:
        """Whether there is a checkpoint of the whole run, every epoch trained so far included."""
        return (
            self.checkpoint is not None
            and PLANNED not in self.checkpoint
            and self.checkpoint.get("epochs", self.epochs) == self.epochs
        )

    @property
    def last(self) -> dict[str, float] | None:
        """The metrics of the newest epoch."""
        return self.history[-1] if self.history else None

    @property
    def best(self) -> dict[str, float] | None:
        """The metrics of the epoch that training ranks first: by CER, then WER, then the later."""

        def rank(metrics: dict[str, float]) -> tuple[float, float, float]:
            cer, wer = (metrics.get(name, float("inf")) for name in ("dev_cer", "dev_wer"))
            return cer, wer, -metrics["epoch"]

        return min(self.history, key=rank, default=None)

    @property
    def minutes(self) -> float:
        """Time spent on training and validation, over all starts."""
        spent = (self.total(name) or 0 for name in ("train_seconds", "dev_seconds"))
        return sum(spent) / 60

    @property
    def hours_of_audio(self) -> float | None:
        """Audio trained on, each epoch counted; None for runs that did not record it."""
        seconds = self.total("audio_seconds")
        return None if seconds is None else seconds / 3600

    @property
    def skipped(self) -> float | None:
        """Batches skipped for a loss that was not finite; None for runs that did not record it."""
        return self.total("skipped")

    def total(self, name: str) -> float | None:
        """The sum of a metric over all epochs; None unless each of them has it."""
        values = [metrics[name] for metrics in self.history if name in metrics]
        return sum(values) if values and len(values) == len(self.history) else None


def read_run(folder: Path) -> RunSummary:
    """Read a run's folder, whether the run is in progress, was interrupted or has finished.

    An incomplete last line is ignored. Raises AsrError if the folder holds no run, or a file in it
    is not as a run writes it.
    """
    settings = _read_object(folder, CONFIG)
    if settings is None or not is_run(folder):
        raise AsrError(
            f"{folder}: expected the folder of a run (with config.json, and metrics.jsonl once an "
            "epoch is done), found none; give the folder that `asr train --output_dir` was given"
        )
    described = _read_object(folder / "checkpoint", CONFIG) or {}
    weights = described.get("weights")
    return RunSummary(
        folder=folder,
        config=settings,
        history=tuple(_read_history(folder / HISTORY)),
        starts=tuple(_strict_lines(folder / STARTS)),
        checkpoint=checkpoint_metrics(folder),
        parameters=weights.get("parameters") if isinstance(weights, dict) else None,
    )


def checkpoint_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of the checkpoint of a run, if it has one. Raises AsrError if it is damaged."""
    return _read_object(folder / "checkpoint", METRICS)


def _read_history(path: Path) -> list[dict[str, float]]:
    history = []
    for number, line in enumerate(_strict_lines(path), start=1):
        metrics = {
            name: value
            for name, value in line.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and _fits(value)
        }
        if not math.isfinite(metrics.get("epoch", math.nan)):
            raise AsrError(
                f"{path}, line {number}: expected the metrics of an epoch, found {shown(line)}; "
                "remove that line"
            )
        history.append(metrics)
    return history


def _fits(value: float) -> bool:
    """Whether a number is a float, and not an integer beyond any."""
    return isinstance(value, float) or abs(value) < 2**63


def _read_object(folder: Path, name: str) -> dict[str, Any] | None:
    content = read_committed(folder, name, MAX_BYTES)
    return None if content is None else parse_object(folder / name, content)


def _strict_lines(path: Path) -> list[dict[str, Any]]:
    objects, invalid = read_lines(path)
    if invalid:
        raise AsrError(
            f"{path}, line {invalid[0]}: expected a JSON object; the file is damaged: repair or "
            "remove the line"
        )
    return objects


def find_runs(folder: Path, depth: int = 2) -> Iterator[Path]:
    """`folder` if it is a run's, else the runs in it, down to `depth` levels, sorted by path.

    Raises AsrError if the folder cannot be listed.
    """
    try:
        found = is_run(folder)
        inner = sorted(filter(is_folder, folder.iterdir())) if depth and not found else []
    except OSError as error:
        raise AsrError(
            f"{folder}: cannot list ({error.strerror or error}); expected a run's folder or a "
            "folder of such folders"
        ) from error
    if found:
        yield folder
    for path in inner:
        yield from find_runs(path, depth - 1)


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings in which runs differ, as `section.key`: the value of each run, None if missing.

    For a setting that an older version did not write, a run counts as having today's default.
    """
    defaults = flat_settings(to_dict(Config()))
    flat = [flat_settings(config) for config in configs]
    differing = {}
    for key in dict.fromkeys(key for config in flat for key in config):
        effective = [config.get(key, defaults.get(key)) for config in flat]
        if any(value != effective[0] for value in effective):
            differing[key] = [config.get(key) for config in flat]
    return differing


def flat_settings(config: Mapping[str, Any], parents: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{parents}{key}.")
        else:
            flat[parents + key] = value
    return flat
