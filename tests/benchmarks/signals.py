"""What a signal to end leaves behind: in train, transcribe, tune and evaluate.

    python -m tests.benchmarks.signals [--seed 0] [--only train]

Each command gets SIGTERM, SIGINT, SIGHUP and SIGKILL, once to its process and once to its process
group, at a random time after it has begun its work. It has to end with 130, or of SIGKILL, without
a traceback, and all its processes with it. What it has written has to be whole, and the same
command has to finish afterwards: a run with the bits of an uninterrupted one, transcripts and
figures with the same content, a checkpoint that is verified when it is read. No half-written file
may be left then.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.checkpoint.checkpoint import load_checkpoint
from asr.training import Config
from tests.support import REPOSITORY
from tests.training_support import micro_config, optim, outcome_of, same, steps_of, train_arguments

SAMPLES = REPOSITORY / "recipes" / "synthetic" / "samples"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
PATIENCE_SECONDS = 300.0
LONGEST_END_SECONDS = 15.0
"""Data workers look every five seconds whether the main process lives."""


@dataclass(frozen=True)
class End:
    """How a process ended."""

    code: int
    messages: str
    alive: int
    """Processes of its group that outlived it."""


class Work:
    """A command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def has_begun(self, messages: Path) -> bool:
        """Whether the command is at work; it has told how it decodes."""
        return messages.stat().st_size > 0

    def delay(self, rng: random.Random, whole_seconds: float) -> float:
        """When to send a signal, in seconds after that; the command takes so many if let be."""
        return rng.uniform(0, 1)

    def faults(self) -> Iterator[str]:
        """What is wrong with what a command that was interrupted has left."""
        yield from ()

    def faults_at_the_end(self, reference: "Work") -> Iterator[str]:
        """What is wrong with the results of a command that was let finish."""
        raise NotImplementedError


class Train(Work):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        config = optim(
            micro_config(folder.parent / "corpus"), epochs=12, workers=2, save_minutes=0.0
        )
        self.config: Config = config

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def arguments(self) -> list[str]:
        resume = ["--resume"] if steps_of(self.run) else []
        return ["train", *train_arguments(self.config, self.run), *resume]

    def has_begun(self, messages: Path) -> bool:
        return bool(steps_of(self.run))

    def faults(self) -> Iterator[str]:
        if not steps_of(self.run):
            yield "no state"

    def faults_at_the_end(self, reference: Work) -> Iterator[str]:
        assert isinstance(reference, Train)
        if not same(outcome_of(self.run), outcome_of(reference.run)):
            yield "another model"


class Transcribe(Work):
    @property
    def results(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.folder / "out").glob("*.txt")}

    def arguments(self) -> list[str]:
        out = str(self.folder / "out")
        return ["transcribe", "english", str(SAMPLES), "-o", out, "--lm", "none"]

    def faults(self) -> Iterator[str]:
        if not all(text.endswith("\n") for text in self.results.values()):
            yield "a transcript that is not whole"

    def faults_at_the_end(self, reference: Work) -> Iterator[str]:
        assert isinstance(reference, Transcribe)
        if self.results != reference.results:
            yield "other transcripts"


class Evaluate(Work):
    def arguments(self) -> list[str]:
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        written = ["--json", str(out / "figures.json"), "--hypotheses", str(out / "texts.jsonl")]
        manifest = str(SAMPLES / "manifest.jsonl")
        return ["evaluate", "english", manifest, "--lm", "none", *written]

    @property
    def results(self) -> list[object]:
        """What is written, without the times that it took."""
        out = self.folder / "out"
        lines = [path.read_text() for path in out.glob("figures.json")]
        lines += [line for path in out.glob("texts.jsonl") for line in path.open()]
        kept = ("wer", "cer", "id", "text")
        return [{k: v for k, v in json.loads(line).items() if k in kept} for line in lines]

    def faults(self) -> Iterator[str]:
        try:
            _ = self.results
        except ValueError:
            yield "a result that is not whole"

    def faults_at_the_end(self, reference: Work) -> Iterator[str]:
        assert isinstance(reference, Evaluate)
        if not self.results or self.results != reference.results:
            yield "other results"


class Tune(Work):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.checkpoint = folder / "checkpoint"
        shutil.copytree(REPOSITORY / "checkpoints" / "english", self.checkpoint)

    def arguments(self) -> list[str]:
        manifest = str(SAMPLES / "manifest.jsonl")
        return ["tune", str(self.checkpoint), manifest, "--lm", "none"]

    def has_begun(self, messages: Path) -> bool:
        return True  # it says nothing before the end

    def delay(self, rng: random.Random, whole_seconds: float) -> float:
        return rng.uniform(0.4, 0.65) * whole_seconds

    def faults(self) -> Iterator[str]:
        load_checkpoint(self.checkpoint)
        yield from ()

    def faults_at_the_end(self, reference: Work) -> Iterator[str]:
        assert isinstance(reference, Tune)
        mine, other = load_checkpoint(self.checkpoint), load_checkpoint(reference.checkpoint)
        if not same(mine.weights, other.weights):
            yield "other weights"
        if mine.metrics.keys() != other.metrics.keys():
            yield "other metrics"


WORKS = (Train, Transcribe, Tune, Evaluate)


def defaults() -> None:
    """Signals as in a terminal, whatever this process was started by."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(work: Work, messages: Path) -> "subprocess.Popen[bytes]":
    with messages.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "asr", *work.arguments()],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            start_new_session=True,
            preexec_fn=defaults,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )


def finish(work: Work) -> None:
    """Let a command come to its end."""
    messages = work.folder / "messages"
    if code := start(work, messages).wait(PATIENCE_SECONDS):
        raise RuntimeError(f"exit code {code}: {messages.read_text()}")


def interrupted(work: Work, number: signal.Signals, group: bool, delay: float) -> End:
    """Start a command, and send a signal so many seconds after it has begun its work."""
    messages = work.folder / "messages"
    process = start(work, messages)
    end = time.monotonic() + PATIENCE_SECONDS
    while not work.has_begun(messages) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(delay)
    if process.poll() is None:
        (os.killpg if group else os.kill)(process.pid, number)
    code = process.wait(PATIENCE_SECONDS)
    end = time.monotonic() + LONGEST_END_SECONDS
    while (alive := living(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    return End(code, messages.read_text(), alive)


def living(group: int) -> int:
    """How many processes of a group run."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended
            continue
        count += int(found) == group and state != "Z"
    return count


def faults(work: Work, reference: Work, end: End, number: signal.Signals) -> Iterator[str]:
    """What is wrong with an interrupted command, and with the same one let finish."""
    expected = -number if number == signal.SIGKILL else 130
    if end.code not in (expected, 0):  # it may have been done by then
        yield f"exit code {end.code}: {end.messages.strip().splitlines()[-1:]}"
    if "Traceback" in end.messages:
        yield "a traceback"
    if end.alive:
        yield f"{end.alive} processes live on"
    half_written = list(work.folder.rglob(".part-*"))
    if half_written and number != signal.SIGKILL:
        yield "a half-written file"
    yield from work.faults()
    finish(work)
    if list(work.folder.rglob(".part-*")):
        yield "a half-written file at the end"
    yield from work.faults_at_the_end(reference)


def main() -> None:
    """Print a table, and fail if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="one of train, transcribe, tune, evaluate")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    right = total = during = 0
    print("| command | signal | to | exit code | faults |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for kind in WORKS:
            verb = kind.__name__.lower()
            if options.only not in ("", verb):
                continue
            reference = kind(Path(name) / verb / "reference")
            finish(reference)  # the search is compiled, which happens once
            started = time.monotonic()
            finish(reference)
            whole_seconds = time.monotonic() - started
            for number in SIGNALS:
                for group in (False, True):
                    work = kind(Path(name) / verb / f"{number.name} {group}")
                    end = interrupted(work, number, group, work.delay(rng, whole_seconds))
                    found = list(faults(work, reference, end, number))
                    right, total, during = right + (not found), total + 1, during + (end.code != 0)
                    to = "group" if group else "process"
                    columns = (verb, number.name, to, end.code, "; ".join(found) or "none")
                    print("|", " | ".join(map(str, columns)), "|", flush=True)
                    shutil.rmtree(work.folder)
    print(f"{right} of {total} as documented; {during} of them were interrupted at work")
    raise SystemExit(right < total)


if __name__ == "__main__":
    main()
