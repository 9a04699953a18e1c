"""Helpers for tests of shards on disk and at URLs."""

from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import torch

from asr.corpus.manifest import Corpus, read_manifest
from asr.corpus.recordings import read_utterance

RATE = 8000
IDS = ["plain", "a/b", "..", "dot.dot", "é ü", "x" * 300, "con:", "%2E", "-", "last"]


def noise(seed: int, samples: int = 1500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(samples, generator=generator) - 0.5).mul(32768).round() / 32768


def published(folder: Path, name: str) -> str:
    """The same folder in memory, as at a URL."""
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe(f"/{name}/{path.name}", path.read_bytes())
    return f"memory://{name}/manifest.jsonl"


def same_as_source(corpus: Corpus, source: Path) -> None:
    originals = read_manifest(source)
    assert len(corpus) == len(originals)
    for utterance, original in zip(corpus, originals, strict=True):
        assert (utterance.id, utterance.text) == (original.id, original.text)
        assert (utterance.duration, utterance.speaker) == (original.duration, original.speaker)
        waveform, rate = read_utterance(utterance)
        assert rate == RATE
        assert torch.equal(waveform, read_utterance(original)[0]), utterance.id
