"""How long an epoch takes, ours beside the usual loop: `python -m tests.benchmarks.epoch`.

The usual loop is that of deepspeech.pytorch: bidirectional `nn.LSTM` on packed sequences, in
float32. Both train the same network from the same weights on the same batches with AdamW; that
they are the same network is checked before anything is timed. Each side has processes of its own
and the two take turns, ours on `--ranks` processes that average their gradients over gloo, so that
ours and the usual loop have `--threads` threads in all. Features come from our extractor for both:
computed beforehand, or with `--workers` by the loader while the epoch runs.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.corpus.dataset import Batch, UtteranceDataset
from asr.corpus.loader import make_loader
from asr.corpus.manifest import read_manifest
from asr.corpus.sampler import DurationBatchSampler
from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.model.cells import Lstm
from asr.model.layers import Bidirectional
from asr.model.loss import ctc_loss
from asr.model.norms import FrameLayerNorm, length_mask
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.tokens import TokenTable
from asr.training.memory import tune_allocators

Step = Callable[[Batch], None]


class PackedModel(nn.Module):
    """Our network as it is usually written, with the weights of one of ours."""

    def __init__(self, ours: AcousticModel) -> None:
        super().__init__()
        config = ours.config
        assert config.cell == "lstm"
        assert ours.subsampling is not None
        self.convolutions: nn.ModuleList = ours.subsampling.convolutions
        self.strides = ours.subsampling.strides
        self.projection = ours.projection
        self.projection_norm = _plain_norm(ours.projection_norm)
        self.norms = nn.ModuleList(_plain_norm(norm) for norm in ours.norms)
        self.dropout = nn.Dropout(config.dropout)
        self.output = ours.output
        self.layers = nn.ModuleList(_packed_layer(layer) for layer in ours.layers)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(N, T, F)`, lengths `(N,)` to log_probs `(T', N, C)`, lengths `(N,)`."""
        planes = features.unsqueeze(1)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            lengths = (lengths + stride - 1) // stride
            mask = length_mask(lengths, -(-planes.shape[2] // stride))[:, None, :, None]
            planes = torch.relu(convolution(planes)).masked_fill(~mask, 0)
        frames = planes.permute(2, 0, 1, 3).flatten(2)
        frames = self.projection_norm(self.projection(frames))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            packed = pack_padded_sequence(self.dropout(frames), lengths, enforce_sorted=False)
            frames = norm(pad_packed_sequence(layer(packed)[0])[0])
        return self.output(self.dropout(frames)).log_softmax(dim=2), lengths


def _plain_norm(ours: nn.Module) -> nn.LayerNorm:
    assert isinstance(ours, FrameLayerNorm)
    return ours.norm


def _packed_layer(ours: nn.Module) -> nn.LSTM:
    assert isinstance(ours, Bidirectional)
    past, future = ours.forward_layer, ours.backward_layer
    assert isinstance(past, Lstm)
    assert isinstance(future, Lstm)
    size = past.weights["weight_ih"].shape[1]
    theirs = nn.LSTM(size, ours.output_size // 2, bidirectional=True)
    directions = ((past, "_l0"), (future, "_l0_reverse"))
    theirs.load_state_dict(
        {name + end: weight for cell, end in directions for name, weight in cell.weights.items()}
    )
    return theirs


def new_model(tokens: int) -> AcousticModel:
    """The AN4 recipe's network, the same each time."""
    torch.manual_seed(0)
    return AcousticModel(EncoderConfig(), FeatureConfig().num_features, tokens)


def check_same_network(batch: Batch, tokens: int) -> None:
    """Assert that both sides compute the same, with as many parameters."""
    ours = new_model(tokens).eval()
    theirs = PackedModel(ours).eval()
    with torch.inference_mode():
        found, lengths = ours(batch.features, batch.feature_lengths)
        expected, their_lengths = theirs(batch.features, batch.feature_lengths)
    real = length_mask(lengths, found.shape[1])
    assert torch.equal(lengths, their_lengths)
    torch.testing.assert_close(found[real], expected.transpose(0, 1)[real], atol=1e-4, rtol=1e-4)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (ours, theirs)]
    assert sizes[0] == sizes[1], sizes


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's, for both."""
    return torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.98), weight_decay=0.01)


def packed_step(tokens: int) -> Step:
    """A step of the usual loop."""
    model = PackedModel(new_model(tokens)).train()
    optimizer = make_optimizer(model)
    criterion = nn.CTCLoss(reduction="none")

    def step(batch: Batch) -> None:
        log_probs, lengths = model(batch.features, batch.feature_lengths)
        losses = criterion(log_probs, batch.targets, lengths, batch.target_lengths)
        optimizer.zero_grad()
        torch.autograd.backward(losses.mean())
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        assert torch.isfinite(losses).all()

    return step


def our_step(tokens: int, precision: str, ranks: int) -> Step:
    """A step of ours; on one of several ranks, of its share of the batch."""
    model = new_model(tokens).train()
    network = nn.parallel.DistributedDataParallel(model) if ranks > 1 else model
    optimizer = make_optimizer(model)
    autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext()

    def step(batch: Batch) -> None:
        with autocast:
            log_probs, lengths = network(batch.features, batch.feature_lengths)
        losses = ctc_loss(log_probs, lengths, batch.targets, batch.target_lengths)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        assert torch.isfinite(losses).all()

    return step


@dataclass(frozen=True)
class Side:
    """One of the two that are compared, in one of its processes."""

    ours: bool
    rank: int
    ranks: int
    port: int
    options: argparse.Namespace


def loader_of(options: argparse.Namespace, rank: int, ranks: int) -> tuple[Iterable[Batch], int]:
    """The batches of a rank, and the number of tokens."""
    utterances = read_manifest(options.manifest)
    tokens = TokenTable.from_texts(u.text for u in utterances)
    plan = DurationBatchSampler(
        [u.duration for u in utterances],
        options.batch_seconds,
        seed=0,
        rank=rank,
        world_size=ranks,
    )
    plan.start_batch = round((1 - options.share) * len(plan))
    dataset = UtteranceDataset(utterances, tokens, FeatureExtractor(FeatureConfig()))
    loader = make_loader(dataset, plan, max(0, options.workers))
    return (loader if options.workers >= 0 else list(loader)), len(tokens)


def serve(side: Side, commands: Connection) -> None:
    """Run the epoch each time it is asked for; answer with the seconds and the processor's."""
    options = side.options
    torch.set_num_threads(options.threads // side.ranks if side.ours else options.threads)
    if side.ours and options.keep_memory:
        tune_allocators()
    batches, tokens = loader_of(options, side.rank, side.ranks)
    if side.ranks > 1:
        address = f"tcp://127.0.0.1:{side.port}"
        dist.init_process_group("gloo", init_method=address, rank=side.rank, world_size=side.ranks)
    if not side.ours:
        check_same_network(next(iter(batches)), tokens)
        step = packed_step(tokens)
    else:
        step = our_step(tokens, options.precision, side.ranks)
    commands.send("ready")
    while commands.recv():
        started, busy = time.perf_counter(), time.process_time()
        for batch in batches:
            step(batch)
        commands.send((time.perf_counter() - started, time.process_time() - busy))


def start(ours: bool, options: argparse.Namespace) -> tuple[list[BaseProcess], list[Connection]]:
    """The processes of a side and the pipes to them."""
    ranks = options.ranks if ours else 1
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    os.environ["OMP_NUM_THREADS"] = str(options.threads // ranks)
    pipes = [context.Pipe() for _ in range(ranks)]
    sides = [Side(ours, rank, ranks, port, options) for rank in range(ranks)]
    processes: list[BaseProcess] = []
    for side, (_, end) in zip(sides, pipes, strict=True):
        process = context.Process(target=serve, args=(side, end), daemon=True)
        process.start()
        end.close()
        processes.append(process)
    connections = [connection for connection, _ in pipes]
    for connection in connections:
        connection.recv()
    return processes, connections


def run(connections: Sequence[Connection]) -> tuple[float, float]:
    """Seconds of one epoch on a side, and processor seconds of all its processes."""
    for connection in connections:
        connection.send(True)
    costs: list[tuple[float, float]] = [connection.recv() for connection in connections]
    return max(seconds for seconds, _ in costs), sum(busy for _, busy in costs)


def describe(options: argparse.Namespace) -> float:
    """Print what is trained on; returns the seconds of audio in the share of the epoch."""
    batches, _ = loader_of(argparse.Namespace(**{**vars(options), "workers": -1}), 0, 1)
    lengths = [batch.feature_lengths for batch in batches]
    real = sum(int(n.sum()) for n in lengths)
    padded = sum(int(n.max()) * len(n) for n in lengths)
    seconds = real * FeatureConfig().frame_seconds
    print(
        f"{seconds:.0f} s of audio in {len(lengths)} batches ({options.share:.0%} of an epoch), "
        f"{1 - real / padded:.1%} of their frames padding; "
        f"{options.threads} threads, ours as {options.ranks} processes in {options.precision}"
    )
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", nargs="?", default="data/an4/train.jsonl")
    parser.add_argument("--threads", type=int, default=2, help="of a side, all processes together")
    parser.add_argument("--ranks", type=int, default=1, help="processes that share the threads")
    parser.add_argument("--batch_seconds", type=float, default=40.0)
    parser.add_argument("--share", type=float, default=1.0, help="of the epoch's batches")
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--workers", type=int, default=-1, help="-1: features computed beforehand")
    parser.add_argument("--keep_memory", type=int, choices=[0, 1], default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["ours", "packed"])
    options = parser.parse_args()
    audio = describe(options)
    names = [options.only] if options.only else ["packed", "ours"]
    sides = {name: start(name == "ours", options) for name in names}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number in range(options.runs + 1):
        for name, (_, connections) in sides.items():
            cost = run(connections)
            print(f"{name} {cost[0]:.1f} s, processors {cost[1]:.1f} s", file=sys.stderr)
            if number:  # the first warms up
                costs[name].append(cost)
    for processes, connections in sides.values():
        for connection in connections:
            connection.send(False)
        for process in processes:
            process.join()
    report(costs, audio, options.share)


def report(costs: dict[str, list[tuple[float, float]]], audio: float, share: float) -> None:
    """Print the median of the runs, and of the ratios of runs that came one after the other."""
    for name, runs in costs.items():
        seconds = [wall for wall, _ in runs]
        median = statistics.median(seconds)
        print(
            f"{name:6} {median / share:7.1f} s an epoch (median of {len(runs)}, "
            f"{min(seconds) / share:.1f} to {max(seconds) / share:.1f}), "
            f"{statistics.median(busy for _, busy in runs) / share:.1f} s of processors, "
            f"{audio / median:.0f} hours of audio an hour"
        )
    if len(costs) == 2:
        for place, unit in enumerate(("seconds", "processor seconds")):
            pairs = zip(costs["packed"], costs["ours"], strict=True)
            ratios = [theirs[place] / ours[place] for theirs, ours in pairs]
            print(
                f"ratio of {unit} {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
