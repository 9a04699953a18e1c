"""What becomes of transcripts when the folder of compiled code is damaged, full, or not ours.

    python -m tests.benchmarks.code_cache [--seed 0] [--only WORD]

Each case runs `asr transcribe` with a language model in processes of their own, and compares what
they print with a run on an empty cache. No case may end with another transcript, another exit code
or a traceback. Cases that mount file systems or give files to another user need root, and are named
where they are left out.
"""

import argparse
import os
import pickle
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.compiled.cache import PACKAGE, _write_code, folder_name

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "recipes" / "synthetic" / "samples"
COMMAND = [
    *(sys.executable, "-m", "asr", "transcribe"),
    str(REPOSITORY / "checkpoints" / "english"),
    *(str(SAMPLES / name) for name in ("07-code-flite-slt.flac", "23-date-flite-slt.flac")),
]
ANOTHER_USER = 65_534

Damage = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """One bit is another."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


DAMAGES: dict[str, Damage] = {
    "emptied": lambda content, rng: b"",
    "halved": lambda content, rng: content[: len(content) // 2],
    "flipped": flipped,
}


@dataclass(frozen=True)
class Fate:
    """How a process ended."""

    code: int
    output: str
    messages: str

    def fault(self, expected: str) -> str:
        """What is wrong with it; nothing if nothing is."""
        if self.code:
            return f"exit code {self.code}: {self.messages.splitlines()[-1:]}"
        if "Traceback" in self.messages:
            return "a traceback"
        return "" if self.output == expected else "another transcript"


class Canary:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {shlex.quote(str(self.trace))}",)


class Place:
    """A folder for compiled code, and processes that use it."""

    def __init__(self, folder: Path) -> None:
        self.parent = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.environment["NUMBA_CACHE_DIR"] = str(folder)

    @property
    def folder(self) -> Path:
        return self.parent / folder_name()

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.code"))

    def start(self, mounts: str = "", limit: int | None = None) -> "subprocess.Popen[str]":
        """A process, with these mounts, that may write files of at most `limit` bytes."""
        command = COMMAND
        if mounts:
            script = f"set -e; {mounts}; cd /proc; exec {shlex.join(COMMAND)}"
            command = ["unshare", "--mount", "sh", "-c", script]

        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=REPOSITORY,
            preexec_fn=limited,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, mounts: str = "", limit: int | None = None) -> Fate:
        return ended(self.start(mounts, limit))


def ended(process: "subprocess.Popen[str]") -> Fate:
    output, messages = process.communicate(timeout=300)
    return Fate(process.returncode, output, messages)


def damaged_files(place: Place, rng: random.Random) -> Iterator[tuple[str, list[Fate]]]:
    """Each file in each way, then all of them."""
    names = [path.name for path in place.files]
    for kind, damage in DAMAGES.items():
        for name in [*names, ""]:
            for path in place.files:
                if name in ("", path.name):
                    path.write_bytes(damage(path.read_bytes(), rng))
            fate, again = place.run(), place.run()
            repaired = "compiling" not in again.messages
            yield f"{name.rpartition('-')[0] or 'all files'} {kind}", [fate, again]
            if not repaired:
                yield f"{name or 'all files'} {kind}: not repaired", [Fate(1, "", again.messages)]


def several_at_once(place: Place, rng: random.Random) -> Iterator[tuple[str, list[Fate]]]:
    """Four processes that find nothing, and four that find halves."""
    shutil.rmtree(place.folder)
    yield "four at once, empty", list(map(ended, [place.start() for _ in range(4)]))
    for path in place.files:
        path.write_bytes(DAMAGES["halved"](path.read_bytes(), rng))
    yield "four at once, halved", list(map(ended, [place.start() for _ in range(4)]))


def full_disks(place: Place, rng: random.Random) -> Iterator[tuple[str, list[Fate]]]:
    """Files that may not grow, and with root a disk that is full."""
    for limit in (0, 100_000):
        yield f"files of {limit} bytes at most, warm", [place.run(limit=limit)]
        shutil.rmtree(place.folder)
        yield f"files of {limit} bytes at most, empty", [place.run(limit=limit)]
        place.run()
    if may_mount():
        for size in ("8k", "300k"):
            mount = f"mount -t tmpfs -o size={size} none {shlex.quote(str(place.parent))}"
            yield f"a disk of {size}", [place.run(mount)]


def read_only(place: Place, rng: random.Random) -> Iterator[tuple[str, list[Fate]]]:
    """The package and the home cannot be written; then nothing can."""
    if not may_mount():
        return
    home, temporary = place.parent.with_name("home"), place.parent.with_name("temporary")
    for folder in (home, temporary, PACKAGE / "__pycache__"):
        folder.mkdir(exist_ok=True)
    del place.environment["NUMBA_CACHE_DIR"]
    place.environment |= {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": ""}

    def mounts(*folders: Path) -> str:
        return "; ".join(f"mount -t tmpfs -o ro none {shlex.quote(str(one))}" for one in folders)

    here = mounts(PACKAGE / "__pycache__", home)
    yield "package and home read-only", [place.run(here), second := place.run(here)]
    if "compiling" in second.messages:
        yield "nothing kept in the temporary folder", [Fate(1, "", second.messages)]
    nowhere = mounts(PACKAGE / "__pycache__", home, temporary, Path("/var/tmp"), Path("/tmp"))
    yield "nothing can be written", [place.run(nowhere)]
    place.environment["NUMBA_CACHE_DIR"] = str(place.parent)


def of_others(place: Place, rng: random.Random) -> Iterator[tuple[str, list[Fate]]]:
    """A file in place of the folder, one that all may write, and one of another user."""
    place.run()
    trace = place.parent.with_name("trace")
    ways = ["folder for all", "files for all"]
    if os.getuid() == 0:
        ways += ["folder of another user", "files of another user"]
    for name in ways:
        for file in place.files:
            _write_code(file, file.stem.rpartition("-")[2].encode(), pickle.dumps(Canary(trace)))
        for path in [place.folder] if name.startswith("folder") else place.files:
            if name.endswith("for all"):
                path.chmod(0o777)
            else:
                os.chown(path, ANOTHER_USER, -1)
        yield name, [place.run()]
        if trace.exists():
            yield f"{name}: it was run", [Fate(1, "", "")]
        shutil.rmtree(place.folder)
        place.run()
    shutil.rmtree(place.folder)
    place.folder.write_text("in the way")
    yield "a file in place of the folder", [place.run()]
    place.folder.unlink()


def may_mount() -> bool:
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


CASES = (damaged_files, several_at_once, full_disks, read_only, of_others)


def main() -> None:
    """Print a table, and fail if any case has a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the name of the cases to run")
    options = parser.parse_args()
    faults = runs = 0
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name) / "cache")
        reference = place.run()
        assert not reference.code, reference.messages
        print(f"{len(place.files)} files; {reference.output.split()}", flush=True)
        if not may_mount():
            print("left out: read-only and full file systems, which need root")
        print("| case | processes | faults |\n|---|---|---|")
        for cases in CASES:
            if options.only not in cases.__name__:
                continue
            for case, fates in cases(place, random.Random(f"{options.seed} {cases.__name__}")):
                wrong = [fault for fate in fates if (fault := fate.fault(reference.output))]
                faults, runs = faults + len(wrong), runs + len(fates)
                print(f"| {case} | {len(fates)} | {'; '.join(wrong) or 0} |", flush=True)
    print(f"| all | {runs} | {faults} |")
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
