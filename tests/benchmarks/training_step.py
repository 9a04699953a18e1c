"""Where the time of a training step goes: `python tests/benchmarks/training_step.py --threads 1`.

Runs the AN4 recipe's model on random features of typical length and prints the median cost of each
part, in float32 and bfloat16, interleaved, as shares of the whole step.
"""

import argparse
import statistics
import time
from collections import defaultdict

import torch

from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.model.loss import ctc_loss
from asr.signal.features import FeatureConfig, FeatureExtractor

PARTS = ("features", "forward", "loss", "backward", "optimizer")


def step(
    model: AcousticModel,
    optimizer: torch.optim.Optimizer,
    extractor: FeatureExtractor,
    seconds: float,
    utterances: int,
    bfloat16: bool,
) -> dict[str, float]:
    """Seconds spent in each part of one training step."""
    waveforms = 0.1 * torch.randn(utterances, round(16_000 * seconds))
    targets = torch.randint(1, 28, (utterances, round(6 * seconds)))
    marks = [time.perf_counter()]
    features = torch.stack([extractor(waveform) for waveform in waveforms])
    lengths = torch.full((utterances,), features.shape[1])
    marks.append(time.perf_counter())
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        log_probs, output_lengths = model(features, lengths)
    marks.append(time.perf_counter())
    target_lengths = torch.full((utterances,), targets.shape[1])
    loss = ctc_loss(log_probs, output_lengths, targets, target_lengths).mean()
    marks.append(time.perf_counter())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    marks.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    marks.append(time.perf_counter())
    return {part: marks[i + 1] - marks[i] for i, part in enumerate(PARTS)}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=2.7, help="of each utterance")
    parser.add_argument("--utterances", type=int, default=15)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = AcousticModel(EncoderConfig(), 80, 28).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    extractor = FeatureExtractor(FeatureConfig())
    costs: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for run in range(options.runs + 1):
        for bfloat16 in (False, True):
            times = step(model, optimizer, extractor, options.seconds, options.utterances, bfloat16)
            if run:  # the first warms up
                for part, cost in times.items():
                    costs[bfloat16, part].append(cost)
    audio_seconds = options.seconds * options.utterances
    for bfloat16 in (False, True):
        medians = {part: statistics.median(costs[bfloat16, part]) for part in PARTS}
        total = sum(medians.values())
        shares = "  ".join(f"{p} {1e3 * m:.0f} ms ({m / total:.0%})" for p, m in medians.items())
        name = "bfloat16" if bfloat16 else "float32"
        print(
            f"{name:8} {shares}  total {1e3 * total:.0f} ms, {audio_seconds / total:.0f}× real time"
        )


if __name__ == "__main__":
    main()
