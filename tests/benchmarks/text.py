"""What becomes of damaged and forged text: whether every file is read or refused with a message.

    python -m tests.benchmarks.text [--cases 5000] [--seed 0] [--only NAME] [--keep FOLDER]

Manifests, language models, grammars, word lists, transcripts, settings, checkpoints, indices of
shards and the files of other tools are damaged one at a time and given to the command that reads
them, in long-lived processes. BROKEN is a traceback, an exit code that is not documented, a refusal
without a message, a case that takes more than 10 seconds or a gigabyte, or a control character in
what is printed or written. Training ends before its first step: what follows does not read text.
"""

import argparse
import contextlib
import io
import logging
import multiprocessing
import os
import random
import re
import resource
import shlex
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.text_files import write_sound_files
from tests.benchmarks.text_targets import TARGETS, Target, cases

SECONDS, BYTES = 10.0, 1 << 30
"""What a case may take."""
FATES = ("read", "refused", "TRACEBACK", "WRONG EXIT", "NO MESSAGE", "HANG", "MEMORY", "CONTROL")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BINARY = (".wav", ".tar", ".safetensors", ".gz", ".svg", ".pt")


class Result(NamedTuple):
    """What became of one case, and why."""

    fate: str
    detail: str
    command: str
    seconds: float


class ReachedError(Exception):
    """Training is about to take its first step."""


def run(command: str, folder: Path) -> Result:
    """Run a command of `asr` in a folder and judge what it does."""
    from asr.cli.main import main

    os.chdir(folder)
    (folder / "out").mkdir(exist_ok=True)
    if command.startswith(("shard ", "train ")):
        (folder / "out").rmdir()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory counts from here
    before, started = _memory("VmRSS"), time.monotonic()
    sys.argv = ["asr", *_arguments(command, folder)]
    logging.root.handlers.clear()
    stdout, stderr, code, trace = io.StringIO(), io.StringIO(), 0, ""
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        except ReachedError:
            pass
        except BaseException:
            trace = traceback.format_exc()
    seconds, used = time.monotonic() - started, _memory("VmHWM") - before
    printed = f"{stdout.getvalue()}{stderr.getvalue()}"
    fate, detail = _judge(code, trace or _logged_traceback(printed), printed, folder / "out")
    if used > BYTES:
        fate, detail = "MEMORY", f"{used >> 20} MB"
    return Result(fate, detail, command, seconds)


def _arguments(command: str, folder: Path) -> list[str]:
    """The arguments of a command; `--set @FILE` takes the lines of the file."""
    before, at, name = command.partition("--set @")
    if not at:
        return shlex.split(command)
    lines = (folder / name).read_text(encoding="utf-8", errors="replace").split("\n")
    given = [line.replace("\0", "") for line in lines if line][:50]
    return [*shlex.split(before), *(word for line in given for word in ("--set", line))]


def _logged_traceback(printed: str) -> str:
    return printed if "Traceback (most recent call last)" in printed else ""


def _judge(code: int, trace: str, printed: str, out: Path) -> tuple[str, str]:
    if trace:
        return "TRACEBACK", trace
    if code not in (0, 1, 2):
        return "WRONG EXIT", f"{code}: {printed}"
    if code and not printed.strip():
        return "NO MESSAGE", f"exit code {code}"
    if found := _CONTROL.search(printed):
        return "CONTROL", f"printed: {printed[max(0, found.start() - 200) : found.end() + 50]!r}"
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.suffix not in _BINARY and "events" not in path.name:
            text = path.read_bytes().decode("utf-8", errors="backslashreplace")
            if found := _CONTROL.search(text):
                return "CONTROL", f"{path.name}: {text[max(0, found.start() - 200) :][:250]!r}"
    return ("refused" if code else "read"), printed


def _memory(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def work(connection: Connection, sound: Path, scratch: Path) -> None:
    """Run cases as they come in, each on a fresh copy of the sound files."""
    import torch

    torch.set_num_threads(1)
    _stop_before_training()
    for target in TARGETS:  # loads and compiles what later cases need
        for command in target.commands:
            victim = target.victims[0]
            result = run(command.replace("{}", victim), _copy(sound, scratch))
            if result.fate != "read":
                connection.send((target.name, f"sound files: {result}"))
    limit = _memory("VmSize") + 4 * BYTES  # a case that takes more than that cannot take it all
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send(("ready", ""))
    while True:
        target, seed = connection.recv()
        command, folder = _prepared(target, seed, _copy(sound, scratch))
        connection.send(run(command, folder))


def _prepared(target: Target, seed: int, folder: Path) -> tuple[str, Path]:
    """Damage one file; returns the command that reads it."""
    rng = random.Random(seed)
    victim, command = rng.choice(target.victims), rng.choice(target.commands)
    target.damage(folder, victim, rng)
    return command.replace("{}", victim), folder


def _copy(sound: Path, scratch: Path) -> Path:
    os.chdir("/")
    shutil.rmtree(scratch, ignore_errors=True)
    return Path(shutil.copytree(sound, scratch))


def _stop_before_training() -> None:
    import asr.training.loop

    def stop(*_: Any) -> None:
        raise ReachedError

    setattr(asr.training.loop, "train_epoch", stop)  # noqa: B010


class Worker:
    """A process that runs cases, and the one that it runs now."""

    def __init__(self, sound: Path, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, sound, scratch), daemon=True)
        self.process.start()
        other.close()
        self.scratch, self.started = scratch, 0.0
        self.case: tuple[Target, int] | None = None
        while (said := self.connection.recv())[0] != "ready":
            print(*said, file=sys.stderr)

    def give(self, case: tuple[Target, int]) -> None:
        """Start a case."""
        self.case, self.started = case, time.monotonic()
        self.connection.send(case)

    def outcome(self) -> Result | None:
        """What became of the case, once it has ended or taken too long."""
        seconds = time.monotonic() - self.started
        try:
            if self.connection.poll():
                result: Result = self.connection.recv()
                slow = result.seconds > SECONDS
                return result._replace(fate="HANG") if slow else result
        except EOFError:
            return Result("TRACEBACK", "the process died", "", seconds)
        if seconds > 2 * SECONDS:
            return Result("HANG", "killed", "", seconds)
        return None


def campaign(chosen: list[tuple[Target, int]], processes: int) -> list[tuple[Target, int, Result]]:
    """The results of all cases."""
    waiting = list(reversed(chosen))
    results: list[tuple[Target, int, Result]] = []
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name) / "sound"
        sound.mkdir()
        write_sound_files(sound)
        workers = [Worker(sound, Path(name) / f"case-{i}") for i in range(processes)]
        for worker in workers:
            worker.give(waiting.pop())
        while workers:
            wait([worker.connection for worker in workers], timeout=0.5)
            for place, worker in enumerate(workers):
                result = worker.outcome()
                if result is None:
                    continue
                assert worker.case is not None
                results.append((*worker.case, result))
                if result.detail in ("killed", "the process died"):
                    worker.process.kill()
                    workers[place] = worker = Worker(sound, worker.scratch)
                if waiting:
                    worker.give(waiting.pop())
                else:
                    worker.process.kill()
                    worker.case = None
            workers = [worker for worker in workers if worker.case is not None]
    return results


def _keep(folder: Path, found: list[tuple[Target, int, Result]]) -> None:
    """Write the files of broken cases, to try them again."""
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name) / "sound"
        sound.mkdir()
        write_sound_files(sound)
        for target, seed, result in found:
            place = folder / f"{target.name}-{seed}"
            command, _ = _prepared(target, seed, _copy(sound, place))
            (place / "fate").write_text(f"asr {command}\n{result}\n{result.detail}\n")


def main() -> None:
    """Print a table, and fail if anything is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="name of a target")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the files of broken cases")
    options = parser.parse_args()
    chosen = [
        case for case in cases(options.cases, options.seed) if options.only in (None, case[0].name)
    ]
    started = time.monotonic()
    results = campaign(chosen, options.processes)
    counts: dict[str, Counter[str]] = {target.name: Counter() for target in TARGETS}
    for target, _, result in results:
        counts[target.name][result.fate] += 1
    print("| input |", " | ".join(FATES), "|")
    print("|---|" + "---|" * len(FATES))
    for name, fates in counts.items():
        if fates:
            print(f"| {name} |", " | ".join(str(fates[one]) for one in FATES), "|")
    total = sum(counts.values(), Counter())
    print("| all |", " | ".join(str(total[one]) for one in FATES), "|")
    print(f"{len(results)} cases, {time.monotonic() - started:.0f} s", file=sys.stderr)
    broken = [case for case in results if case[2].fate.isupper()]
    for target, seed, result in broken:
        last = result.detail.strip().splitlines()[-1:]
        print(f"{result.fate} {target.name} {seed}: asr {result.command}: {last}", file=sys.stderr)
    if options.keep:
        _keep(options.keep, broken)
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
