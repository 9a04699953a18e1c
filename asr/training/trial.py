"""A few training steps on features of given sizes, to see what memory and time they take.

Each trial runs in a process of its own, `main`: one that takes too much memory may be killed, and
what one takes is known only of a fresh one. It reads a `Request` from stdin and writes what it
`Measured` to stdout.
"""

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
from asr.corpus.dataset import Batch
from asr.corpus.loader import PREFETCH_FACTOR
from asr.corpus.manifest import Corpus
from asr.model.acoustic import AcousticModel, IntermediateOutputs
from asr.model.device import torch_device
from asr.model.loss import ctc_loss
from asr.signal.features import FeatureConfig
from asr.training.config import Config
from asr.training.memory import available_bytes, limit_memory, peak_bytes
from asr.training.objective import outcome
from asr.training.setup import make_optimizer

_STEPS = 3
_STEPS_SECONDS = 5.0
"""No further step is timed after so long."""


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
        """Those of some manifests, played at a speed."""
        seconds = np.concatenate([np.empty(0), *(corpus.durations for corpus in corpora)]) / speed
        labels = np.concatenate([np.empty(0, np.int32), *(corpus.min_frames for corpus in corpora)])
        order = np.argsort(-seconds, kind="stable")
        return cls(tuple(seconds[order].tolist()), tuple(labels[order].tolist()))

    def batch(self, batch_seconds: float, first: int = 0) -> slice:
        """The batch that is filled from the `first` utterance on."""
        if first >= len(self.seconds):
            return slice(0, 0)
        # What it holds exactly, rounding must not leave out.
        count = math.floor(batch_seconds / self.seconds[first] + 1e-6)
        return slice(first, first + max(1, count))

    def middle(self) -> int:
        """The first of the shorter utterances that have half of the time."""
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
    """The batch whose memory counts."""
    typical: Shape
    """The batch whose time counts."""
    dev: Shape
    """What is validated on, without gradients; may be empty."""


@dataclass(frozen=True)
class Measured:
    """What came out; memory as in `asr.training.find_batch.Trial`."""

    peak_bytes: int
    fixed_bytes: int
    available_bytes: int
    step_seconds: float
    """Of the fastest step: what else the machine does makes others slower."""


def run_trial(request: Request, seconds: float) -> Measured | str:
    """What the steps take, or why they failed.

    Raises subprocess.TimeoutExpired when they take longer than `seconds`.
    """
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", "from asr.training.trial import main; main()"],
        input=json.dumps(to_dict(request)),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=max(0.0, seconds),
        check=False,
    )
    if done.returncode == 0:
        return from_dict(Measured, json.loads(done.stdout), "trial")
    if done.returncode == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out"
    said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
    return said[-1][:100]


def main() -> None:
    """Measure what stdin asks for; memory that is not there is an error, not a killed process."""
    request = from_dict(Request, json.load(sys.stdin), "trial")
    device = torch_device(request.device)
    if device.type == "cpu":
        limit_memory(available_bytes(device))
    if request.threads:
        torch.set_num_threads(request.threads)
    print(json.dumps(to_dict(measure(request, device))))


def measure(request: Request, device: torch.device) -> Measured:
    """Train on the fullest batch twice, time the typical one, and validate."""
    config = request.config
    available, started = available_bytes(device), peak_bytes(device)
    num_features = config.features.num_features
    model = AcousticModel(config.encoder, num_features, request.num_tokens).to(device)
    optimizer = make_optimizer(config, model)
    views = config.optim.views
    fullest = random_batch(request.fullest, num_features, request.num_tokens, views)
    typical = random_batch(request.typical, num_features, request.num_tokens, views)
    for _ in range(2):  # the optimizer's moments take their memory at the end of the first
        train_step(model, optimizer, fullest, config, device)
    times = [train_step(model, optimizer, typical, config, device)]
    while len(times) < _STEPS and sum(times) < _STEPS_SECONDS:
        times.append(train_step(model, optimizer, typical, config, device))
    if request.dev.frames:
        dev = random_batch(request.dev, num_features, request.num_tokens).to(device)
        with torch.no_grad():
            log_probs, lengths = model.eval()(dev.features, dev.feature_lengths)
            ctc_loss(log_probs, lengths, dev.targets, dev.target_lengths)
    # A worker holds at most what any process does that has loaded torch, and its batches.
    workers = config.optim.workers if device.type == "cpu" else 0
    weights = sum(parameter.nbytes for parameter in model.parameters())
    return Measured(
        peak_bytes(device) + workers * (started + PREFETCH_FACTOR * fullest.features.nbytes),
        (1 + workers) * started + 4 * weights,  # their gradients and two moments of each
        available,
        min(times),
    )


def train_step(
    model: AcousticModel,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: Config,
    device: torch.device,
) -> float:
    """One update of the weights, as in training; returns the seconds it took."""
    started = time.perf_counter()
    batch = batch.to(device)
    cost = outcome(config, IntermediateOutputs(model), batch).cost
    optimizer.zero_grad(set_to_none=True)
    cost.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def random_batch(shape: Shape, num_features: int, num_tokens: int, views: int = 1) -> Batch:
    """A batch of that shape, `views` times over, with neighbouring labels that differ."""
    frames, labels = torch.tensor(shape.frames * views), torch.tensor(shape.labels * views)
    cycle = 1 + torch.arange(int(labels.max())) % (num_tokens - 1)
    return Batch(
        ids=[],
        features=torch.randn(len(frames), int(frames.max()), num_features),
        feature_lengths=frames,
        targets=cycle.expand(len(labels), -1),
        target_lengths=labels,
    )
