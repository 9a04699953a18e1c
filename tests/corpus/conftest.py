"""Fixtures that several tests of the corpus share."""

import pytest
import torch

from asr.corpus.manifest import Utterance
from asr.signal.audio import write


@pytest.fixture(scope="package")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("corpus")
    generator = torch.Generator().manual_seed(0)
    result = []
    for i in range(6):
        samples = 2000 + 800 * i
        path = folder / f"u{i}.wav"
        write(path, 0.1 * torch.randn(samples, generator=generator).clamp(-5, 5), 16_000)
        result.append(Utterance(f"u{i}", path, samples / 16_000, "A" * i))
    return result
