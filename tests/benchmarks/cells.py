"""Time of each recurrent cell beside the library's LSTM: forward and backward, both directions.

    python -m tests.benchmarks.cells [--threads 1] [--rounds 5] [--utterances 16] [--frames 150]

Every round times each cell once, and LSTM beside it; the ratio is the median over the rounds.
`lstm_peephole` is the unrolled LSTM: it computes all that `lstm` does and its peepholes. Its target
is at most `LARGEST_RATIO`.
"""

import argparse
import statistics
import sys
import time
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from asr.model.acoustic import CellName, EncoderConfig
from asr.model.layers import Bidirectional, Unidirectional

LARGEST_RATIO = 2.0


def seconds(layer: Bidirectional | Unidirectional, frames: Tensor, lengths: Tensor) -> float:
    """Time of one forward and backward pass."""
    started = time.perf_counter()
    layer(frames, lengths).square().sum().backward()
    return time.perf_counter() - started


def main() -> int:
    """Print a table; fail where the unrolled LSTM takes too long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--features", type=int, default=240)
    parser.add_argument("--hidden", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    shape = (arguments.utterances, arguments.frames, arguments.features)
    frames = torch.randn(shape, requires_grad=True)
    time_layer = partial(
        seconds, frames=frames, lengths=torch.full((arguments.utterances,), arguments.frames)
    )
    layers = {
        cell: EncoderConfig(cell=cell, hidden=arguments.hidden).layer(arguments.features)
        for cell in get_args(CellName)
    }
    for layer in layers.values():
        time_layer(layer)
    print("| cell | parameters | milliseconds | ratio to lstm |\n|---|---|---|---|")
    ratios = {}
    for cell, layer in layers.items():
        pairs = [(time_layer(layer), time_layer(layers["lstm"])) for _ in range(arguments.rounds)]
        own = statistics.median(mine for mine, _ in pairs)
        ratios[cell] = statistics.median(mine / lstm for mine, lstm in pairs)
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        print(f"| {cell} | {parameters:,} | {1000 * own:.0f} | {ratios[cell]:.2f} |", flush=True)
    return int(ratios["lstm_peephole"] > LARGEST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
