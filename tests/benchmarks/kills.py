"""Kill a training run again and again, and compare what it ends with to a run left in peace.

`python -m tests.benchmarks.kills --kills 20 --seed 0` trains the tones with `python -m asr train`,
saving its state after every step, and sends SIGKILL at random times, every third of them while a
file is being written. It prints what each kill met and whether the last state and the checkpoint
are the same to the last bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asr.training import Config
from tests.support import REPOSITORY
from tests.training_support import (
    micro_config,
    optim,
    outcome_of,
    same,
    steps_of,
    train_arguments,
)

LONGEST_DELAY_SECONDS = 0.2
AIMS = ("", "states", "", "", "weights", "")
"""What the kills are aimed at in turn; most at nothing."""
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Kill:
    """A process that was ended, and what it left behind."""

    step: int
    """Of the newest state; 0: none."""
    writing: tuple[str, ...]
    """Folders of the run, "." for itself, in which a file was half written."""


def start(config: Config, folder: Path) -> subprocess.Popen[bytes]:
    """`asr train`, resuming what is there."""
    resume = ["--resume"] if steps_of(folder) else []
    return subprocess.Popen(
        [sys.executable, "-m", "asr", "train", *train_arguments(config, folder), *resume],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(config: Config, folder: Path) -> None:
    """Let the run come to its end."""
    process = start(config, folder)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    if process.returncode:
        raise RuntimeError(errors.decode())


def newest_step(folder: Path) -> int:
    return next(iter(steps_of(folder)), 0)


def half_written(folder: Path) -> set[Path]:
    return set(folder.rglob(".part-*"))


def wait_until(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Look often: a write takes about a millisecond."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise RuntimeError(f"not reached: {process.communicate()[1].decode()}")
        time.sleep(0.0002)


def stop_while_writing(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop the process while a file there is half written; a write over first is let be."""
    known = half_written(folder)

    def writing() -> bool:
        return bool(half_written(folder) - known)

    while True:
        wait_until(process, writing)
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if writing():
            return
        os.kill(process.pid, signal.SIGCONT)


def kill_once(config: Config, folder: Path, step: int, delay: float, aim: str = "") -> Kill:
    """Start or resume the run, and kill it so many seconds after that step.

    With `aim`, the moment is the next one at which a file is being written in that folder of it.
    """
    before = half_written(folder)
    process = start(config, folder)
    wait_until(process, lambda: newest_step(folder) >= step)
    if aim:
        stop_while_writing(process, folder / aim)
    else:
        time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = half_written(folder) - before
    return Kill(newest_step(folder), tuple(sorted(str(p.parent.relative_to(folder)) for p in left)))


def kill_repeatedly(config: Config, folder: Path, kills: int, steps: int, seed: int) -> list[Kill]:
    """Kill a run of so many steps at random ones of them, then let it finish."""
    rng = random.Random(seed)
    done: list[Kill] = []
    for number in range(kills):
        reached = newest_step(folder)
        # The last epoch's weights, for an aimed kill, are written after all but its last steps.
        ahead = max(1, (steps - 8 - reached) // (kills - number))
        target = reached + rng.randint(1, ahead)
        delay, aim = rng.uniform(0, LONGEST_DELAY_SECONDS), AIMS[number % len(AIMS)]
        done.append(kill_once(config, folder, target, delay, aim))
        print(f"kill {number + 1}: after step {done[-1].step}", *done[-1].writing, flush=True)
    finish(config, folder)
    return done


def main() -> int:
    """Print the kills and the verdict; 0 if nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        epochs = 3 + 2 * options.kills
        # Weights are written at the end of every epoch that is among the best: so all are.
        changes = {"epochs": epochs, "average": epochs, "save_minutes": 0.0}
        config = optim(micro_config(folder / "corpus"), **changes)
        finish(config, folder / "whole")
        steps = newest_step(folder / "whole")
        done = kill_repeatedly(config, folder / "run", options.kills, steps, options.seed)
        identical = same(outcome_of(folder / "run"), outcome_of(folder / "whole"))
    writing = sum(bool(kill.writing) for kill in done)
    print(f"{len(done)} kills at steps {[kill.step for kill in done]} of {steps}")
    print(f"{writing} of them left a half-written file behind")
    print("IDENTICAL" if identical else "DIFFERENT")
    return 0 if identical else 1


if __name__ == "__main__":
    sys.exit(main())
