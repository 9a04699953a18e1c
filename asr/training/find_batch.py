"""The largest batch that this machine can train with, and the smallest that is as fast.

The memory of a step grows in proportion to the padded frames of its batch, and the longest
utterances make the fullest batches: these are tried, so that what fits does so for a whole epoch.
"""

import logging
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from asr.corpus.manifest import Corpus
from asr.errors import AsrError, ConfigError
from asr.text.tokens import TokenTable
from asr.training.batch_trial import Lengths, Request, run_trial
from asr.training.config import Config

SAFE_SHARE = 0.7
"""Share of the available memory to use; the rest is for other programs and fragmentation."""
_TRIAL_SECONDS = 60.0
_SEARCH_SECONDS = 180.0
_GROWTH = 1.05
"""Throughputs, or batch sizes, that differ by a smaller factor count as the same."""
_REFINEMENTS = 3

_STAGNANT = "throughput has stopped growing"
_TIMEOUT = (
    f"the time limit was reached ({_TRIAL_SECONDS:.0f} s a trial, {_SEARCH_SECONDS:.0f} s in all)"
)

_log = logging.getLogger("asr.training")


@dataclass(frozen=True)
class Trial:
    """Training steps on the `utterances` longest utterances, in one batch."""

    utterances: int
    batch_seconds: float
    """Padding included, at the slowest speed."""
    peak_bytes: int = 0
    """Peak memory, that of the loader's workers included."""
    fixed_bytes: int = 0
    """The part of it that does not depend on the batch."""
    available_bytes: int = 0
    """Memory that was available before the trial."""
    throughput: float = 0.0
    """Seconds of audio per second, in a batch of the same size of utterances of medium length."""
    failure: str = ""
    """Why it did not finish; empty if it did."""
    out_of_time: bool = False

    @property
    def fits(self) -> bool:
        """Whether it finished within the safe share of memory."""
        return not self.failure and self.peak_bytes <= SAFE_SHARE * self.available_bytes


@dataclass(frozen=True)
class Findings:
    """The trials on this machine, in the order in which they were made, and what follows."""

    trials: tuple[Trial, ...]
    reason: str
    """Why no larger batch was tried."""
    memory_seconds: float | None
    """What memory alone would allow, extrapolated from the trials; None where it was tried."""

    @property
    def fitting(self) -> list[Trial]:
        """The trials that fit, smallest batch first; at least one."""
        return sorted((t for t in self.trials if t.fits), key=lambda t: t.utterances)

    @property
    def largest(self) -> Trial:
        """The largest batch that fits."""
        return self.fitting[-1]

    @property
    def fastest(self) -> Trial:
        """The smallest batch whose throughput equals the best within 5 %."""
        best = max(trial.throughput for trial in self.fitting)
        return next(trial for trial in self.fitting if trial.throughput * _GROWTH >= best)


def find_batch(config: Config, device: torch.device, threads: int = 0) -> Findings:
    """Try larger and larger batches of the longest training utterances on this machine.

    No audio is read; it takes three minutes at most. Raises ConfigError if there is no training
    manifest, ManifestError as `Corpus.open`, and AsrError if not even the longest utterance fits.
    """
    if not config.data.train:
        raise ConfigError(
            "--find_batch: expected at least one --train manifest, found none; the memory of a "
            "batch depends on how long its utterances are"
        )
    units = config.text.units
    corpora = [Corpus.open([path], False, units) for path in config.data.train]
    dev = [Corpus.open([config.data.dev], False, units)] if config.data.dev else []
    tokens = TokenTable.from_texts((c for corpus in corpora for c in corpus.tokens), units)
    speed = min(config.augment.speeds, default=1.0)
    lengths = Lengths.of(corpora, speed)
    trials_of = TrialSeries(config, device, threads, lengths, Lengths.of(dev), len(tokens))
    end = time.monotonic() + _SEARCH_SECONDS

    def try_batch(utterances: int) -> Trial:
        trial = trials_of.run(utterances, min(_TRIAL_SECONDS, end - time.monotonic()))
        _log.info("tried a batch of %s", _summary(trial))
        return trial

    most = len(lengths.seconds)
    trials, reason = search(try_batch, most)
    if not trials[0].fits:
        place = max(range(len(corpora)), key=lambda i: float(corpora[i].durations.max()))
        raise AsrError(_too_long(config.data.train[place], corpora[place], speed, trials[0]))
    memory_seconds = None
    if reason == _STAGNANT or any(trial.out_of_time for trial in trials):
        fitting = [trial for trial in trials if trial.fits]
        memory_seconds = affordable(fitting, most) * lengths.seconds[0]
    return Findings(tuple(trials), reason, memory_seconds)


def search(try_batch: Callable[[int], Trial], most: int) -> tuple[list[Trial], str]:
    """Trials of more and more utterances, `most` at most, and why no larger batch was tried.

    The number of utterances doubles until the next batch would take more than the safe share of
    memory, extrapolated from the trials so far, or one does not fit, or throughput has not grown
    for two doublings. Then the limit between the last that fits and the first that does not is
    narrowed down.
    """
    trials = [try_batch(1)]
    while trials[-1].fits:
        reached = trials[-1].utterances
        if reached == most:
            return trials, "it already holds all the training data"
        if _stagnant(trials):
            return trials, _STAGNANT
        if affordable(trials, most) < min(2 * reached, most):
            break
        trials.append(try_batch(min(2 * reached, most)))
    if trials[0].fits:
        _refine(try_batch, trials, most)
    failed = next((trial.failure for trial in trials if trial.failure), "")
    return trials, failed or f"it would take more than {SAFE_SHARE:.0%} of the memory available"


def _refine(try_batch: Callable[[int], Trial], trials: list[Trial], most: int) -> None:
    """Append trials between the largest that fits and the smallest that does not."""
    for _ in range(_REFINEMENTS):
        if trials[-1].out_of_time:
            return
        fitting = [trial for trial in trials if trial.fits]
        low = fitting[-1].utterances
        size = affordable(fitting, most)
        too_many = min((trial.utterances for trial in trials if not trial.fits), default=None)
        if too_many is not None:  # the extrapolation was wrong, so bisect as well
            size = min(size, (low + too_many) // 2)
        if size < max(low + 1, _GROWTH * low):
            return
        trials.append(try_batch(size))


def affordable(fitting: Sequence[Trial], most: int) -> int:
    """How many utterances, `most` at most, are safe by linear extrapolation from the trials.

    Of the lines from each earlier trial to the last the steepest counts, because the measured
    memory of a process fluctuates; one line starts at the memory that does not depend on the batch.
    """
    limit = SAFE_SHARE * min(trial.available_bytes for trial in fitting)
    last = fitting[-1]
    earlier = [(t.utterances, t.peak_bytes) for t in fitting[:-1]] + [(0, last.fixed_bytes)]
    slope = max((last.peak_bytes - peak) / (last.utterances - count) for count, peak in earlier)
    if slope <= 0:
        return most
    return min(most, last.utterances + math.floor((limit - last.peak_bytes) / slope))


def _stagnant(fitting: Sequence[Trial]) -> bool:
    """Whether the last two doublings gained no speed; the first three trials are too small."""
    best = [max((t.throughput for t in part), default=0) for part in (fitting[:-2], fitting[-2:])]
    return len(fitting) > 3 and best[1] < _GROWTH * best[0]


@dataclass(frozen=True)
class TrialSeries:
    """What all trials of a search have in common."""

    config: Config
    device: torch.device
    threads: int
    train: Lengths
    dev: Lengths
    num_tokens: int

    def run(self, utterances: int, seconds: float) -> Trial:
        """Try a batch of that many of the longest utterances, for `seconds` at most."""
        batch_seconds = utterances * self.train.seconds[0]
        trial = Trial(utterances, batch_seconds)
        typical = self.train.batch(batch_seconds, self.train.middle())
        features = self.config.features
        request = Request(
            config=self.config,
            num_tokens=self.num_tokens,
            device=str(self.device),
            threads=self.threads,
            fullest=self.train.shape(slice(0, utterances), features),
            typical=self.train.shape(typical, features),
            dev=self.dev.shape(self.dev.batch(batch_seconds), features),
        )
        try:
            found = run_trial(request, seconds)
        except subprocess.TimeoutExpired:
            return replace(trial, failure=_TIMEOUT, out_of_time=True)
        if isinstance(found, str):
            return replace(trial, failure=found)
        return replace(
            trial,
            peak_bytes=found.peak_bytes,
            fixed_bytes=found.fixed_bytes,
            available_bytes=found.available_bytes,
            throughput=sum(self.train.seconds[typical]) / found.step_seconds,
        )


def render(findings: Findings) -> str:
    """The trials as a table, and which setting to choose."""
    largest, fastest = findings.largest, findings.fastest
    lines = ["batch_seconds  utterances  peak memory  hours of audio an hour"]
    for trial in sorted(findings.trials, key=lambda trial: trial.utterances):
        row = f"{_round_down(trial.batch_seconds):>13}  {trial.utterances:>10}  "
        if trial.failure:
            lines.append(f"{row}failed: {trial.failure}")
            continue
        over = "" if trial.fits else "  (more than is safe)"
        lines.append(f"{row}{_gb(trial.peak_bytes):>11}  {trial.throughput:>22.0f}{over}")
    available = min(trial.available_bytes for trial in findings.fitting)
    lines += [
        "",
        f"Safe limit: {SAFE_SHARE:.0%} of the {_gb(available)} available, that is "
        f"{_gb(SAFE_SHARE * available)}.",
        f"Largest safe batch tried: {_round_down(largest.batch_seconds)} s. Why no larger one: "
        f"{findings.reason}.",
    ]
    if findings.memory_seconds and findings.memory_seconds > largest.batch_seconds:
        lines.append(
            f"Memory alone would allow about {findings.memory_seconds:.0f} s, extrapolated from "
            "the trials; that was not tried."
        )
    return "\n".join([*lines, *_advice(fastest)])


def _advice(fastest: Trial) -> list[str]:
    seconds = _round_down(fastest.batch_seconds)
    return [
        f"Smallest batch that is as fast as any, within 5 %: {seconds} s.",
        f"Use `--set optim.batch_seconds={seconds}` or less: smaller batches, hence more steps an "
        "epoch, may train a better model.",
        "With several processes (torchrun) each takes its share of a batch: on several GPUs or "
        "machines like this one, multiply the seconds by their number.",
    ]


def _summary(trial: Trial) -> str:
    result = trial.failure or f"{_gb(trial.peak_bytes)}, {trial.throughput:.0f} h of audio an hour"
    noun = "utterance" if trial.utterances == 1 else "utterances"
    return f"{_round_down(trial.batch_seconds)} s, {trial.utterances} {noun}: {result}"


def _too_long(manifest: str, corpus: Corpus, speed: float, trial: Trial) -> str:
    longest = corpus[int(corpus.durations.argmax())]
    found = trial.failure or (
        f"it takes {_gb(trial.peak_bytes)}, more than {SAFE_SHARE:.0%} of the "
        f"{_gb(trial.available_bytes)} available"
    )
    slowed = f", {trial.batch_seconds:.1f} s at speed {speed:g}" if speed != 1 else ""
    return (
        f"{manifest}: not even a batch of one utterance fits, the longest, {longest.id!r} of "
        f"{longest.duration:.1f} s{slowed}: {found}; cut the recording into shorter ones, make the "
        "model smaller, or use a machine with more memory"
    )


def _round_down(seconds: float) -> str:
    """Seconds rounded down to a tenth."""
    return f"{math.floor(10 * seconds + 1e-6) / 10:g}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
