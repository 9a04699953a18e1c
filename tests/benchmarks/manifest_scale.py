"""What opening a manifest of a million lines costs, in a process of its own.

    python tests/benchmarks/manifest_scale.py [--lines 1000000] [--with_audio]

Lines are like those of a corpus of read speech: paths in folders of a thousand files, texts of 20
to 200 characters. With `--with_audio` the files exist (empty) and are looked for, as in training.
"""

import argparse
import json
import random
import resource
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_FILES_A_FOLDER = 1000


def write_lines(folder: Path, lines: int, with_audio: bool) -> Path:
    """A manifest of made-up utterances."""
    random.seed(0)
    words = [
        "".join(random.choices(string.ascii_uppercase, k=random.randint(1, 9))) for _ in "x" * 999
    ]
    path = folder / "manifest.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            name = f"{number // _FILES_A_FOLDER:04d}/utterance-{number:07d}.flac"
            if with_audio:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).touch()
            entry = {
                "id": f"utterance-{number:07d}",
                "audio_filepath": name,
                "duration": round(random.uniform(1, 20), 3),
                "text": " ".join(random.choices(words, k=random.randint(4, 35))),
                "speaker": f"s{number % 2000}",
            }
            file.write(json.dumps(entry) + "\n")
    return path


def measure(path: Path, require_audio: bool) -> None:
    """Open the manifest, read a thousand lines of it, and print what that took."""
    from asr.corpus.manifest import Corpus

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    processor = time.process_time()
    corpus = Corpus.open([path], require_audio)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    random.seed(1)
    chosen = random.choices(range(len(corpus)), k=1000)
    started = time.perf_counter()
    for index in chosen:
        _ = corpus[index]
    random_seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(corpus)} lines, {path.stat().st_size / 1e6:.0f} MB")
    print(f"open                 {seconds:.2f} s ({processor:.2f} s of one processor)")
    print(f"peak memory          {peak / 1024:.0f} MB ({before / 1024:.0f} MB before)")
    print(f"1000 random corpus[i] {random_seconds * 1000:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--with_audio", action="store_true")
    parser.add_argument("--measure", type=Path, help="measure this manifest and stop")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.with_audio)
        return
    with tempfile.TemporaryDirectory() as name:
        path = write_lines(Path(name), options.lines, options.with_audio)
        command = [sys.executable, __file__, "--measure", str(path)]
        subprocess.run(command + ["--with_audio"] * options.with_audio, check=True)


if __name__ == "__main__":
    main()
