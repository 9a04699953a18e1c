"""Distances between the word boundaries of two checkpoints, the second at full resolution.

    python -m recipes.an4.align_check CHECKPOINT REFERENCE_CHECKPOINT data/an4/test.jsonl

CHECKPOINT aligns each transcript as `asr align` does, on its output frames. The reference model is
run once for each hop of 10 ms in an output frame, each time on audio shifted by one hop more; its
interleaved emissions are those of a model without subsampling, and are aligned in the same way.
"""

from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import torch
import typer
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.timing import FrameClock, frame_clock
from asr.inference.alignment import AlignedRecording, align_emissions, align_recording
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from recipes.command import run_command


def full_resolution(recognizer: Recognizer, waveform: Tensor) -> tuple[Tensor, FrameClock]:
    """Emissions `(T, C)` of samples `(S,)`, one frame per hop, and their clock."""
    features = recognizer.extractor.config
    hop = recognizer.extractor.hop
    count = features.stack * recognizer.model.config.subsampling
    shifted = [recognizer.log_probs(waveform[shift * hop :]) for shift in range(count)]
    emissions = torch.empty(sum(map(len, shifted)), shifted[0].shape[1])
    for shift, log_probs in enumerate(shifted):
        emissions[shift::count] = log_probs
    clock = frame_clock(features, recognizer.model.config)
    return emissions, FrameClock(clock.frame_seconds / count, clock.offset_seconds)


def reference_alignment(recognizer: Recognizer, path: Path, text: str) -> AlignedRecording:
    """Align a recording at full resolution."""
    waveform, _ = audio.read(path, recognizer.sample_rate)
    emissions, clock = full_resolution(recognizer, waveform)
    seconds = len(waveform) / recognizer.sample_rate
    return align_emissions(emissions, recognizer.tokens, text, clock, seconds)


def align_check(
    checkpoint: Path,
    reference_checkpoint: Path,
    manifest: Annotated[Path, typer.Argument()] = Path("data/an4/test.jsonl"),
) -> None:
    """Print the median and the 90th percentile of the distances between word boundaries."""
    recognizer, reference = asr.load(checkpoint), asr.load(reference_checkpoint)
    starts, ends = [], []
    utterances = read_manifest(manifest)
    for utterance in utterances:
        path, text = utterance.audio_filepath, utterance.text
        words = align_recording(recognizer, path, text).words
        others = reference_alignment(reference, path, text).words
        for word, other in zip(words, others, strict=True):
            starts.append(abs(word.start_seconds - other.start_seconds) * 1000)
            ends.append(abs(word.end_seconds - other.end_seconds) * 1000)
    print(f"{len(starts)} words in {len(utterances)} utterances; distances in ms")
    for name, distances in (("starts", starts), ("ends", ends), ("all", starts + ends)):
        high = quantiles(distances, n=10, method="inclusive")[-1]
        print(f"{name:10} median {median(distances):3.0f}   90th percentile {high:3.0f}")


if __name__ == "__main__":
    run_command(align_check)
