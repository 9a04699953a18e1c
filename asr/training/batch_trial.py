"""A few training steps on random features of given sizes, to measure their memory and time.

Each trial runs in a process of its own, `main`: one that takes too much memory may be killed, and
the peak memory of a process never goes down. It reads a `Request` from stdin and writes a
`Measurement` to stdout.
"""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asr.config import from_dict, to_dict
from asr.corpus.dataset import Batch, Beginnings
from asr.corpus.loader import PREFETCH_FACTOR
from asr.corpus.manifest import Corpus
from asr.model.acoustic import AcousticModel, IntermediateOutputs
from asr.model.device import torch_device
from asr.model.loss import ctc_loss
from asr.signal.features import FeatureConfig
from asr.training.config import Config
from asr.training.memory import available_bytes, limit_memory, peak_bytes
from asr.training.objective import compute_loss
from asr.training.optimizer import make_optimizer, make_scaler, update
from asr.training.teacher import load_teacher

_STEPS = 3
_STEPS_SECONDS = 5.0
"""No further step is timed once the steps have taken this long."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a batch."""

    frames: tuple[int, ...]
    """Feature frames of each utterance."""
    labels: tuple[int, ...]
    """Length of each target."""


@dataclass(frozen=True)
class Lengths:
    """Utterances by length, longest first."""

    seconds: tuple[float, ...]
    labels: tuple[int, ...]
    """Frames that each target needs: at least its length."""

    @classmethod
    def of(cls, corpora: Sequence[Corpus], speed: float = 1.0) -> "Lengths":
        """Those of some manifests, played at `speed`."""
        seconds = np.concatenate([np.empty(0), *(corpus.durations for corpus in corpora)]) / speed
        labels = np.concatenate([np.empty(0, np.int32), *(corpus.min_frames for corpus in corpora)])
        order = np.argsort(-seconds, kind="stable")
        return cls(tuple(seconds[order].tolist()), tuple(labels[order].tolist()))

    def batch(self, batch_seconds: float, first: int = 0) -> slice:
        """The batch of `batch_seconds` that starts with utterance `first`."""
        if first >= len(self.seconds):
            return slice(0, 0)
        # The tolerance keeps rounding errors from leaving out an utterance that just fits.
        count = math.floor(batch_seconds / self.seconds[first] + 1e-6)
        return slice(first, first + max(1, count))

    def middle(self) -> int:
        """The utterance at which half of the total time is reached, counted from the longest."""
        return int(np.searchsorted(np.cumsum(self.seconds), sum(self.seconds) / 2))

    def shape(self, batch: slice, features: FeatureConfig) -> Shape:
        """The sizes of a batch."""
        samples = [math.ceil(s * features.sample_rate) for s in self.seconds[batch]]
        hop = round(features.hop_seconds * features.sample_rate)
        frames = tuple(-(-(1 + count // hop) // features.stack) for count in samples)
        return Shape(frames, self.labels[batch])


@dataclass(frozen=True)
class Request:
    """What to try."""

    config: Config
    num_tokens: int
    device: str
    threads: int
    fullest: Shape
    """The batch whose memory is measured."""
    typical: Shape
    """The batch whose time is measured."""
    dev: Shape
    """The validation batch, run without gradients; may be empty."""


@dataclass(frozen=True)
class Measurement:
    """The result of a trial; memory as in `asr.training.find_batch.Trial`."""

    peak_bytes: int
    fixed_bytes: int
    available_bytes: int
    step_seconds: float
    """Of the fastest step: other programs on the machine make steps slower, never faster."""


def run_trial(request: Request, seconds: float) -> Measurement | str:
    """Run a trial in a process of its own: its measurement, or why it failed.

    Raises subprocess.TimeoutExpired when it takes longer than `seconds`.
    """
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", "from asr.training.batch_trial import main; main()"],
        input=json.dumps(to_dict(request)),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=max(0.0, seconds),
        check=False,
    )
    if done.returncode == 0:
        return from_dict(Measurement, json.loads(done.stdout), "trial")
    if done.returncode == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out"
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    lines = done.stderr.strip().splitlines() or [f"its process exited with {done.returncode}"]
    return lines[-1][:100]


def main() -> None:
    """Run the trial that stdin describes.

    On CPU, memory is limited first, so that too large an allocation is an error and does not get
    the process, or another one, killed.
    """
    request = from_dict(Request, json.load(sys.stdin), "trial")
    device = torch_device(request.device)
    if device.type == "cpu":
        limit_memory(available_bytes(device))
    if request.threads:
        torch.set_num_threads(request.threads)
    print(json.dumps(to_dict(measure(request, device))))


def measure(request: Request, device: torch.device) -> Measurement:
    """Train on the fullest batch twice, time the typical one, and validate."""
    config = request.config
    available, started = available_bytes(device), peak_bytes(device)
    teacher = load_teacher(config, device)
    taught_by = teacher.network if teacher else None
    num_features = config.features.num_features
    num_tokens = len(teacher.tokens) if teacher else request.num_tokens
    model = AcousticModel(config.encoder, num_features, num_tokens).to(device)
    model.set_truncation(config.optim.truncate_frames)
    optimizer, scaler = make_optimizer(config, model), make_scaler(config, device)

    def training_batch(shape: Shape) -> Batch:
        batch = random_batch(shape, num_features, num_tokens, config.optim.most_views)
        if not config.augment.right_context_seconds:
            return batch
        # At most, beginnings are as long as the utterances.
        lengths = batch.feature_lengths
        beginnings = Beginnings(batch.features, lengths, model.output_lengths(lengths) // 2)
        return dataclasses.replace(batch, beginnings=beginnings)

    fullest, typical = training_batch(request.fullest), training_batch(request.typical)

    def time_step(batch: Batch) -> float:
        return timed_step(config, model, taught_by, optimizer, scaler, batch, device)

    for _ in range(2):  # the optimizer allocates its moments at the end of the first step
        time_step(fullest)
    times = [time_step(typical)]
    while len(times) < _STEPS and sum(times) < _STEPS_SECONDS:
        times.append(time_step(typical))
    if request.dev.frames:
        dev = random_batch(request.dev, num_features, num_tokens).to(device)
        with torch.no_grad():
            log_probs, lengths = model.eval()(dev.features, dev.feature_lengths)
            ctc_loss(log_probs, lengths, dev.targets, dev.target_lengths)
    # A worker holds at most what any process holds that has imported torch, and its batches.
    workers = config.optim.workers if device.type == "cpu" else 0
    weights = sum(parameter.nbytes for parameter in model.parameters())
    parts = 2 if fullest.beginnings else 1
    return Measurement(
        peak_bytes=peak_bytes(device)
        + workers * (started + PREFETCH_FACTOR * parts * fullest.features.nbytes),
        fixed_bytes=(1 + workers) * started + 4 * weights,  # with gradients and two moments of each
        available_bytes=available,
        step_seconds=min(times),
    )


def timed_step(
    config: Config,
    model: AcousticModel,
    teacher: torch.nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    batch: Batch,
    device: torch.device,
) -> float:
    """A training step as in `asr.training.loop`; returns the seconds that it took."""
    started = time.perf_counter()
    output = compute_loss(config, IntermediateOutputs(model), batch.to(device), teacher)
    update(model, optimizer, scaler, output.loss, config.optim)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def random_batch(shape: Shape, num_features: int, num_tokens: int, views: int = 1) -> Batch:
    """A batch of that shape, `views` times over, in whose targets no label follows itself."""
    frames, labels = torch.tensor(shape.frames * views), torch.tensor(shape.labels * views)
    cycle = 1 + torch.arange(int(labels.max())) % (num_tokens - 1)
    return Batch(
        ids=[],
        features=torch.randn(len(frames), int(frames.max()), num_features),
        feature_lengths=frames,
        targets=cycle.expand(len(labels), -1),
        target_lengths=labels,
        views=views,
    )
