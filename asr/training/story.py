"""A run's folder read back, and what tells several runs apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.checkpoint.checkpoint import CONFIG, METRICS
from asr.checkpoint.integrity import parse_object
from asr.config import to_dict
from asr.errors import AsrError
from asr.files import read_committed
from asr.training.config import Config
from asr.training.record import MAX_BYTES, STARTS, read_lines

HISTORY = "metrics.jsonl"


@dataclass(frozen=True)
class RunStory:
    """A run as its folder tells it; rates are fractions, losses nats an utterance."""

    folder: Path
    config: dict[str, Any]
    """As written by the version that trained: keys may be missing or unknown today."""
    history: tuple[dict[str, float], ...]
    """The metrics of each epoch."""
    starts: tuple[dict[str, Any], ...]
    """What `record_start` noted; none for a run of an older version."""
    checkpoint: dict[str, Any] | None
    """Metrics of the checkpoint, once there is one."""
    parameters: int | None
    """Size of the checkpoint's model."""

    @property
    def name(self) -> str:
        return self.folder.absolute().name

    @property
    def epochs(self) -> int:
        """How many are done."""
        return int(self.last["epoch"]) if self.last else 0

    @property
    def planned_epochs(self) -> int | None:
        """How many are wanted, if the settings say so."""
        optim = self.config.get("optim")
        epochs = optim.get("epochs") if isinstance(optim, dict) else None
        return epochs if isinstance(epochs, int) else None

    @property
    def finished(self) -> bool:
        """Whether the checkpoint stands, and knows of every epoch that was trained."""
        return (
            self.checkpoint is not None
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
        """Of training and validation, over all starts."""
        spent = (self.total(name) or 0 for name in ("train_seconds", "dev_seconds"))
        return sum(spent) / 60

    @property
    def hours_of_audio(self) -> float | None:
        """Speech learnt from, each epoch counted, where it was noted."""
        seconds = self.total("audio_seconds")
        return None if seconds is None else seconds / 3600

    @property
    def skipped(self) -> float | None:
        """Batches left out for a loss that is not finite, where that was noted."""
        return self.total("skipped")

    def total(self, name: str) -> float | None:
        """The sum of a metric over all epochs; None unless each of them has it."""
        values = [metrics[name] for metrics in self.history if name in metrics]
        return sum(values) if values and len(values) == len(self.history) else None


def is_run(folder: Path) -> bool:
    """Whether a run was begun in this folder."""
    begun = (folder / name for name in (HISTORY, STARTS))
    return any(map(Path.is_file, begun)) or all(
        (folder / name).is_file() for name in (CONFIG, "train.log")
    )


def read_run(folder: Path) -> RunStory:
    """Read a run's folder, whether it is under way, was cut short or is done.

    A last line that was cut short is left out. Raises AsrError if the folder holds no run, or a
    file in it is not what a run writes.
    """
    settings = _read_object(folder, CONFIG)
    if settings is None or not is_run(folder):
        raise AsrError(
            f"{folder}: expected the folder of a run (config.json, and metrics.jsonl once an epoch "
            "is done), found none; name what `asr train --output_dir` was given"
        )
    history = []
    for number, entry in enumerate(_strict_lines(folder / HISTORY), start=1):
        metrics = {
            name: value
            for name, value in entry.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        if "epoch" not in metrics:
            raise AsrError(
                f"{folder / HISTORY}, line {number}: expected the metrics of an epoch, found "
                f"{entry!r:.80}; remove that line"
            )
        history.append(metrics)
    described = _read_object(folder / "checkpoint", CONFIG) or {}
    weights = described.get("weights")
    return RunStory(
        folder=folder,
        config=settings,
        history=tuple(history),
        starts=tuple(_strict_lines(folder / STARTS)),
        checkpoint=_read_object(folder / "checkpoint", METRICS),
        parameters=weights.get("parameters") if isinstance(weights, dict) else None,
    )


def _read_object(folder: Path, name: str) -> dict[str, Any] | None:
    content = read_committed(folder, name, MAX_BYTES)
    return None if content is None else parse_object(folder / name, content)


def _strict_lines(path: Path) -> list[dict[str, Any]]:
    entries, unreadable = read_lines(path)
    if unreadable:
        raise AsrError(
            f"{path}, line {unreadable[0]}: expected a JSON object; the file was damaged: mend or "
            "remove the line"
        )
    return entries


def find_runs(folder: Path, depth: int = 2) -> Iterator[Path]:
    """`folder` if it is a run's, else the runs in it, down to `depth` levels, sorted by path.

    Raises AsrError if the folder cannot be listed.
    """
    if is_run(folder):
        yield folder
    elif depth:
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir())
        except OSError as error:
            raise AsrError(
                f"{folder}: cannot list ({error.strerror or error}); expected a run's folder or a "
                "folder of such folders"
            ) from error
        for path in inner:
            yield from find_runs(path, depth - 1)


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings, as `section.key`, in which runs differ; the value of each, None if it has none.

    A run of an older version, written without a setting, counts as having today's default: what
    nobody has changed is no difference.
    """
    defaults = _flat(to_dict(Config()))
    flat = [_flat(config) for config in configs]
    differing = {}
    for key in dict.fromkeys(key for config in flat for key in config):
        effective = [config.get(key, defaults.get(key)) for config in flat]
        if any(value != effective[0] for value in effective):
            differing[key] = [config.get(key) for config in flat]
    return differing


def _flat(config: Mapping[str, Any], parents: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{parents}{key}.")
        else:
            flat[parents + key] = value
    return flat
