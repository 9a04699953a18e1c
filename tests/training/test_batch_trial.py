"""Trials of a batch: in this process, in one of their own, and when they die."""

import dataclasses
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.config import from_dict, to_dict
from asr.corpus.dataset import Batch
from asr.corpus.manifest import Corpus
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.training import Config, DataConfig, OptimConfig, batch_trial, memory
from asr.training.batch_trial import Lengths, Measurement, Request, Shape, random_batch, run_trial
from recipes.tones.prepare import prepare

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few utterances of tones."""
    folder = tmp_path_factory.mktemp("corpus")
    prepare(folder, seed=0, counts={"train": 2, "dev": 1})
    return folder


@pytest.fixture(scope="module")
def config(corpus: Path) -> Config:
    """As small as can be."""
    return Config(
        data=DataConfig(train=(str(corpus / "train.jsonl"),), dev=str(corpus / "dev.jsonl")),
        features=FeatureConfig(sample_rate=8000, num_mels=16, high_hz=3800.0),
        augment=AugmentConfig(speeds=(0.8, 1.0)),
        encoder=EncoderConfig(layers=1, hidden=8, projection=8, convolution_channels=2),
        optim=OptimConfig(consistency=0.2, workers=1),
    )


def requested(config: Config, utterances: int = 2, frames: int = 50) -> Request:
    shape = Shape((frames,) * utterances, (5,) * utterances)
    return Request(config, 4, "cpu", 1, shape, shape, Shape((30,), (3,)))


def test_request_survives_json(config: Config) -> None:
    request = requested(config)

    assert from_dict(Request, json.loads(json.dumps(to_dict(request)))) == request


def test_lengths_are_those_of_the_features(corpus: Path, config: Config) -> None:
    paths = [corpus / "train.jsonl", corpus / "dev.jsonl"]
    lengths = Lengths.of([Corpus.open([path]) for path in paths], speed=0.8)
    features = dataclasses.replace(config.features, stack=3)

    shape = lengths.shape(slice(0, 3), features)

    corpus_of_both = Corpus.open(paths)
    order = sorted(range(3), key=lambda i: -corpus_of_both.durations[i])
    extractor = FeatureExtractor(features)
    for i, frames, labels in zip(order, shape.frames, shape.labels, strict=True):
        samples = math.ceil(corpus_of_both.durations[i] / 0.8 * 8000)
        assert frames == len(extractor(torch.zeros(samples)))
        assert labels == corpus_of_both.min_frames[i]


def test_batches_of_lengths() -> None:
    lengths = Lengths((6.0, 5.0, 1.0, 1.0, 1.0), (1, 1, 1, 1, 1))

    assert lengths.batch(17.9) == slice(0, 2)
    assert lengths.batch(0.1 * 3 * 60) == slice(0, 3)  # 18.000000000000004
    assert lengths.batch(5.0) == slice(0, 1)
    assert lengths.middle() == 1
    assert lengths.batch(11.0, lengths.middle()) == slice(1, 3)
    assert Lengths((), ()).batch(5.0) == slice(0, 0)
    assert Lengths((), ()).shape(slice(0, 0), FeatureConfig()) == Shape((), ())


def test_random_batch_has_the_shape_asked_for() -> None:
    batch = random_batch(Shape((7, 5), (3, 4)), num_features=6, num_tokens=4, views=2)

    assert batch.features.shape == (4, 7, 6)
    assert batch.feature_lengths.tolist() == [7, 5, 7, 5]
    assert batch.target_lengths.tolist() == [3, 4, 3, 4]
    assert batch.targets.tolist() == [[1, 2, 3, 1]] * 4
    assert random_batch(Shape((7,), (3,)), 6, 2).targets.tolist() == [[1, 1, 1]]


def test_trial_measures(config: Config) -> None:
    measured = batch_trial.measure(requested(config), CPU)

    assert measured.step_seconds > 0
    assert measured.available_bytes > 0
    assert measured.peak_bytes >= memory.peak_bytes(CPU)  # and a worker's
    no_workers = dataclasses.replace(config.optim, workers=0, consistency=0.0)
    plain = dataclasses.replace(
        requested(dataclasses.replace(config, optim=no_workers)), dev=Shape((), ())
    )
    assert batch_trial.measure(plain, CPU).peak_bytes <= memory.peak_bytes(CPU)


def test_a_trial_has_the_longest_beginnings(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Batch] = []

    def watched(*given: Any) -> float:
        seen.append(given[5])
        return 9.0

    monkeypatch.setattr(batch_trial, "timed_step", watched)
    for seconds in (0.0, 0.5):
        augment = dataclasses.replace(config.augment, right_context_seconds=seconds)
        batch_trial.measure(requested(dataclasses.replace(config, augment=augment)), CPU)
    half = len(seen) // 2
    assert all(batch.beginnings is None for batch in seen[:half])
    for batch in seen[half:]:
        assert batch.beginnings is not None
        assert batch.beginnings.lengths.tolist() == batch.feature_lengths.tolist()


def test_slow_steps_are_timed_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []

    def slow(*_: object) -> float:
        steps.append(11.0)
        return 11.0

    monkeypatch.setattr(batch_trial, "timed_step", slow)

    assert batch_trial.measure(requested(config), CPU).step_seconds == 11.0
    assert len(steps) == 3


def test_program_reads_and_writes_json(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(batch_trial, "limit_memory", limits.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(to_dict(requested(config)))))

    batch_trial.main()

    assert from_dict(Measurement, json.loads(capsys.readouterr().out)).step_seconds > 0
    assert limits[0] > 50e6


def pretend_python(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Have trials run by a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.slow
def test_trial_beyond_a_memory_limit_fails_and_says_so(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_python(tmp_path, monkeypatch, f'ulimit -v 3000000\nexec "{sys.executable}" "$@"')

    found = run_trial(requested(config, 100, 1_000_000), 60)  # 6.4 GB of features

    assert isinstance(found, str)
    assert "allocate" in found


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        ("kill -9 $$", "its process was killed, as the system does when memory runs out"),
        ("exit 3", "its process exited with 3"),
        ("echo a >&2; echo torch.OutOfMemoryError: no >&2; exit 1", "torch.OutOfMemoryError: no"),
    ],
)
def test_trial_that_dies_is_a_failed_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, failure: str
) -> None:
    pretend_python(tmp_path, monkeypatch, f"cat >/dev/null\n{program}")

    assert run_trial(requested(config), 60) == failure


def test_trial_without_time(config: Config) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_trial(requested(config), -1.0)
