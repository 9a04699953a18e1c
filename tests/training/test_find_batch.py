"""The search for the largest batch: on simulated machines, and with real trials."""

import dataclasses
import logging
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from asr.corpus.manifest import Corpus
from asr.corpus.sampler import DurationBatchSampler
from asr.errors import AsrError, ConfigError
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, find_batch
from asr.training.batch_trial import Measurement, Request, Shape
from asr.training.find_batch import SAFE_SHARE, Findings, Trial, affordable, render, search
from recipes.tones.prepare import prepare

CPU = torch.device("cpu")


GB = 10**9


@dataclasses.dataclass(frozen=True)
class Machine:
    """Memory and speed by a formula, and which batches were tried."""

    intercept: int
    slope: int
    available: int
    fixed: int = 0
    fails_from: int = 10**9
    failure: str = "killed"
    slow_from: int = 10**9
    throughput: Callable[[int], float] = float
    tried: list[int] = dataclasses.field(default_factory=list)

    def __call__(self, utterances: int) -> Trial:
        self.tried.append(utterances)
        tried = Trial(utterances, 2.0 * utterances)
        if utterances >= self.slow_from:
            return dataclasses.replace(tried, failure="too slow", out_of_time=True)
        if utterances >= self.fails_from:
            return dataclasses.replace(tried, failure=self.failure)
        return dataclasses.replace(
            tried,
            peak_bytes=self.peak(utterances),
            fixed_bytes=self.fixed,
            available_bytes=self.available,
            throughput=self.throughput(utterances),
        )

    def peak(self, utterances: int) -> int:
        return self.intercept + self.slope * utterances

    def most_that_fit(self) -> int:
        return math.floor((SAFE_SHARE * self.available - self.intercept) / self.slope)


def largest(trials: list[Trial]) -> int:
    return max((t.utterances for t in trials if t.fits), default=0)


sizes = st.integers(1, 50 * GB)


@given(sizes, sizes, sizes, st.floats(0, 1), st.integers(1, 10_000))
def test_linear_memory_is_never_exceeded(
    intercept: int, slope: int, available: int, known: float, most: int
) -> None:
    machine = Machine(intercept, slope, available, fixed=int(known * intercept))

    search(machine, most)

    limit = SAFE_SHARE * available * (1 + 1e-9)
    assert all(machine.peak(utterances) <= limit for utterances in machine.tried[1:])
    assert max(machine.tried) <= most
    assert len(set(machine.tried)) == len(machine.tried) < 20


@given(sizes, sizes, st.integers(1, 200 * GB), st.integers(1, 10_000))
def test_linear_memory_is_used_up(intercept: int, slope: int, room: int, most: int) -> None:
    available = math.ceil((intercept + slope + room) / SAFE_SHARE)
    machine = Machine(intercept, slope, available, fixed=intercept)

    trials, reason = search(machine, most)

    best = min(most, machine.most_that_fit())
    assert largest(trials) * 1.05 >= best - 1
    assert ("all the training data" in reason) == (largest(trials) == most)


@example(199, 199)
@given(st.integers(2, 5000), st.integers(2, 5000))
def test_the_limit_is_narrowed_down_after_a_failed_trial(fails_from: int, most: int) -> None:
    machine = Machine(GB, 1, 100 * GB, fails_from=fails_from)

    trials, reason = search(machine, most)

    if fails_from > most:
        assert largest(trials) == most
        return
    assert reason == "killed"
    doubled = 2 ** int(math.log2(fails_from - 1))
    assert doubled <= largest(trials) < fails_from
    # Three bisections, or fewer where the next one would gain less than 5 %.
    assert fails_from - largest(trials) <= max(doubled / 8 + 1, 0.1 * largest(trials) + 2)


def test_the_steepest_line_counts() -> None:
    wavering = [
        Trial(n, 0, peak, 1 * GB, 10 * GB) for n, peak in ((4, 3 * GB), (8, 4 * GB), (16, 5 * GB))
    ]

    # From the fixed gigabyte 4 in 16, from 3 GB 2 in 12, from 4 GB 1 in 8; 2 are left.
    assert affordable(wavering, 1000) == 16 + 8
    assert affordable(wavering, 20) == 20


def test_memory_that_does_not_grow_sets_no_limit() -> None:
    flat = Trial(4, 0, 3 * GB, 3 * GB, 10 * GB)

    assert affordable([flat], 77) == 77


def test_first_trial_that_does_not_fit_is_the_last() -> None:
    assert search(Machine(8 * GB, 1, 10 * GB), 100)[0] == [Machine(8 * GB, 1, 10 * GB)(1)]
    assert search(Machine(1, 1, 10 * GB, fails_from=1), 100)[1] == "killed"


def test_search_ends_when_nothing_gets_faster() -> None:
    machine = Machine(GB, 1, 100 * GB, throughput=lambda n: min(n, 4) * 10.0)

    trials, reason = search(machine, 10_000)

    assert machine.tried == [1, 2, 4, 8, 16]
    assert reason == "throughput has stopped growing"
    assert Findings(tuple(trials), reason, None).fastest.utterances == 4


def test_search_does_not_end_among_the_smallest_batches() -> None:
    machine = Machine(GB, 1, 100 * GB, throughput=lambda n: 5.0)

    search(machine, 10_000)

    assert machine.tried == [1, 2, 4, 8]


@pytest.mark.parametrize(("slow_from", "tried"), [(8, [1, 2, 4, 8]), (1, [1])])
def test_search_ends_when_time_is_up(slow_from: int, tried: list[int]) -> None:
    machine = Machine(GB, 1, 100 * GB, slow_from=slow_from)

    _, reason = search(machine, 10_000)

    assert machine.tried == tried
    assert reason == "too slow"


def test_refinement_ends_when_time_is_up() -> None:
    # 45 would be safe by the line; 32 fit, 45 take too long.
    machine = Machine(GB, GB, math.ceil(46.5 * GB / SAFE_SHARE), fixed=GB, slow_from=40)

    search(machine, 10_000)

    assert machine.tried == [1, 2, 4, 8, 16, 32, 45]


def test_the_limit_is_narrowed_down_after_a_batch_that_is_too_large() -> None:
    class Jump(Machine):
        def peak(self, utterances: int) -> int:
            return utterances if utterances < 100 else 99 * GB

    machine = Jump(0, 1, 100 * GB)

    trials, reason = search(machine, 10_000)

    assert machine.tried[:8] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert largest(trials) == 96
    assert "70%" in reason


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


durations = st.lists(st.floats(0.2, 20), min_size=1, max_size=60)


@given(durations, st.integers(1, 10), st.integers(0, 3))
def test_no_batch_of_an_epoch_is_fuller(seconds: list[float], utterances: int, epoch: int) -> None:
    slowest = 0.8
    longest = max(seconds) / slowest
    batches = DurationBatchSampler(
        seconds, utterances * longest, seed=1, speeds=(slowest, 1.0, 1.2)
    )
    batches.epoch = epoch

    for batch in batches:
        padded = len(batch) * max(seconds[key.utterance] / key.speed for key in batch)
        assert padded <= utterances * longest * (1 + 1e-9)


@pytest.mark.slow
def test_find_batch_for_real(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asr.training")
    one = dataclasses.replace(config.data, train=(config.data.dev,))

    findings = find_batch.find_batch(dataclasses.replace(config, data=one), CPU, threads=1)

    (only,) = findings.trials
    assert only.batch_seconds == pytest.approx(Corpus.open(one.train)[0].duration / 0.8)
    assert 100e6 < only.fixed_bytes <= only.peak_bytes < 10e9
    assert only.throughput > 0
    assert findings.reason == "it already holds all the training data"
    assert findings.memory_seconds is None
    assert "s, 1 utterance: " in caplog.messages[0]


@pytest.mark.slow
def test_larger_batches_take_more_memory_for_real(config: Config, tmp_path: Path) -> None:
    prepare(tmp_path, counts={"train": 64})
    data = DataConfig(train=(str(tmp_path / "train.jsonl"),))
    wide = EncoderConfig(layers=1, hidden=64)

    findings = find_batch.find_batch(dataclasses.replace(config, data=data, encoder=wide), CPU, 1)

    assert len(findings.trials) >= 3
    assert findings.largest.peak_bytes > findings.trials[0].peak_bytes
    assert render(findings).count(" GB  ") == len(findings.trials)


def fake(monkeypatch: pytest.MonkeyPatch, *outcomes: Measurement | str | None) -> list[Request]:
    """Trials end as told, in order, the last for ever; None: out of time."""
    requests: list[Request] = []

    def answer(request: Request, seconds: float) -> Measurement | str:
        requests.append(request)
        outcome = outcomes[min(len(requests), len(outcomes)) - 1]
        if outcome is None:
            raise subprocess.TimeoutExpired("python", seconds)
        return outcome

    monkeypatch.setattr(find_batch, "run_trial", answer)
    return requests


def test_trials_are_of_the_longest_utterances(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = fake(monkeypatch, Measurement(GB, GB, 9 * GB, 1.0))

    find_batch.find_batch(config, CPU, threads=3)

    first = requests[0]
    texts = {c for u in Corpus.open(config.data.train) for c in u.text}
    seconds = sorted((u.duration / 0.8 for u in Corpus.open(config.data.train)), reverse=True)
    assert (first.device, first.threads, first.num_tokens) == ("cpu", 3, len(texts) + 1)
    assert first.fullest.frames == (1 + math.ceil(8000 * seconds[0]) // 80,)
    assert len(requests[1].fullest.frames) == 2
    assert len(first.dev.frames) == 1


def test_without_validation_data_none_is_tried(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = fake(monkeypatch, Measurement(GB, GB, 9 * GB, 1.0))
    data = dataclasses.replace(config.data, dev="")

    find_batch.find_batch(dataclasses.replace(config, data=data), CPU)

    assert requests[0].dev == Shape((), ())


def test_no_training_data(config: Config) -> None:
    with pytest.raises(ConfigError, match="at least one --train manifest, found none"):
        find_batch.find_batch(Config(), CPU)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Measurement(8 * GB, GB, 9 * GB, 1.0), "it takes 8.00 GB, more than 70% of the 9.00 GB"),
        ("out of memory", "out of memory"),
        (None, r"the time limit was reached \(60 s a trial, 180 s in all\)"),
    ],
)
def test_longest_utterance_that_does_not_fit_is_named(
    config: Config,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Measurement | str | None,
    said: str,
) -> None:
    fake(monkeypatch, outcome)
    name = max(Corpus.open(config.data.train), key=lambda u: u.duration).id

    with pytest.raises(AsrError, match=rf"train.jsonl: .*'{name}' of .*at speed 0.8.*: {said}"):
        find_batch.find_batch(config, CPU)

    plain = dataclasses.replace(config, augment=AugmentConfig(speeds=()))
    with pytest.raises(AsrError, match=rf"'{name}' of \d\.\d s: {said}"):
        find_batch.find_batch(plain, CPU)


def test_after_a_timeout_what_memory_would_allow_is_reported(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, Measurement(GB, GB, 9 * GB, 1.0), None)

    findings = find_batch.find_batch(config, CPU)

    assert findings.memory_seconds == pytest.approx(2 * findings.trials[0].batch_seconds)
    assert "Why no larger one: the time limit was reached (60 s a trial" in render(findings)


def test_report() -> None:
    trials = (
        Trial(1, 6.96, 2 * GB, GB, 10 * GB, 40.0),
        Trial(2, 13.92, 3 * GB, GB, 11 * GB, 96.0),
        Trial(8, 55.68, failure="killed"),
        Trial(4, 27.84, 5 * GB, GB, 10 * GB, 100.0),
        Trial(6, 41.76, 8 * GB, GB, 10 * GB, 120.0),
    )

    assert render(Findings(trials, "killed", 30.0)).splitlines() == [
        "batch_seconds  utterances  peak memory  hours of audio an hour",
        "          6.9           1      2.00 GB                      40",
        "         13.9           2      3.00 GB                      96",
        "         27.8           4      5.00 GB                     100",
        "         41.7           6      8.00 GB                     120  (more than is safe)",
        "         55.6           8  failed: killed",
        "",
        "Safe limit: 70% of the 10.00 GB available, that is 7.00 GB.",
        "Largest safe batch tried: 27.8 s. Why no larger one: killed.",
        "Memory alone would allow about 30 s, extrapolated from the trials; that was not tried.",
        "Smallest batch that is as fast as any, within 5 %: 13.9 s.",
        "Use `--set optim.batch_seconds=13.9` or less: smaller batches, hence more steps an epoch, "
        "may train a better model.",
        "With several processes (torchrun) each takes its share of a batch: on several GPUs or "
        "machines like this one, multiply the seconds by their number.",
    ]
    assert "alone" not in render(Findings(trials, "killed", 20.0))
    assert "alone" not in render(Findings(trials, "killed", None))
