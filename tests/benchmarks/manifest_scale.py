"""What opening a manifest of a million lines costs, in a process of its own.

    python tests/benchmarks/manifest_scale.py [--lines 1000000] [--with_audio]

Lines are like those of a corpus of read speech: paths in folders of a thousand files, texts of 20
to 200 characters. With `--with_audio` the files exist (empty) and are looked for, as in training,
and the start of a training run is timed too.
"""

import argparse
import itertools
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
            text = " ".join(random.choices(words, k=random.randint(4, 35)))
            entry = {
                "id": f"utterance-{number:07d}",
                "audio_filepath": name,
                "duration": round(0.5 + len(text) / random.uniform(8, 16), 3),
                "text": text,
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


def measure_start(path: Path, folder: Path) -> None:
    """Do all that training does before its first batch is read, and print what that took."""
    import torch

    from asr.training import Config, DataConfig
    from asr.training.distributed import Group
    from asr.training.setup import prepare

    started, processor = time.perf_counter(), time.process_time()
    dev_path = path.with_name("dev.jsonl")
    with dev_path.open("w") as dev, path.open() as train:
        dev.writelines(itertools.islice(train, 100))
    config = Config(data=DataConfig(train=(str(path),), dev=str(dev_path)))
    run, _ = prepare(config, folder / "run", torch.device("cpu"), Group(), resume=False)
    batches = len(run.train_batches)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"training starts after {seconds:.2f} s ({processor:.2f} s of one processor), ", end="")
    print(f"torch being loaded, with {peak / 1024:.0f} MB and a plan of {batches} batches")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--with_audio", action="store_true")
    parser.add_argument("--measure", type=Path, help="measure this manifest and stop")
    parser.add_argument("--start_training", type=Path, help="time the start with this manifest")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.with_audio)
        return
    if options.start_training:
        with tempfile.TemporaryDirectory(dir=options.start_training.parent) as name:
            measure_start(options.start_training, Path(name))
        return
    with tempfile.TemporaryDirectory() as name:
        path = write_lines(Path(name), options.lines, options.with_audio)
        command = [sys.executable, __file__, "--measure", str(path)]
        subprocess.run(command + ["--with_audio"] * options.with_audio, check=True)
        if options.with_audio:
            subprocess.run([sys.executable, __file__, "--start_training", str(path)], check=True)


if __name__ == "__main__":
    main()
