"""Phrases in the voices of a neural synthesiser (`kokoro.py`), each in another one.

    python -m recipes.synthetic.neural PHRASES --voices DIR -o data/neural --utterances 4000

PHRASES is a text file with a phrase a line, in capitals; a word of one capital is read as the name
of the letter, `a` is the article. Each utterance has a phrase and a speaker drawn by the seed and
its number alone, so that more utterances continue the same sequence. They are written in parts;
when the command is given again, it goes on with the first part that is missing. `manifest.jsonl`
has all of them.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from asr.errors import AsrError
from asr.files import make_folder
from asr.signal import audio
from recipes.synthetic.kokoro import SAMPLE_RATE, Kokoro, transcript
from recipes.synthetic.render import draw_setting, record

PART = 100
"""Utterances that are written together."""


@dataclass(frozen=True)
class Plan:
    """What the utterances are made of."""

    phrases: tuple[str, ...]
    voices: Path
    folder: Path
    utterances: int
    seed: int

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.utterances // PART)

    def manifest_of(self, part: int) -> Path:
        """Where the utterances of a part are listed, once all of them are written."""
        return self.folder / "parts" / f"{part:05}.jsonl"


def read_phrases(path: Path) -> tuple[str, ...]:
    """The phrases of a file, a line each.

    Raises AsrError on a file that cannot be read, has none, or has more than letters in them.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AsrError(f"{path}: cannot read these phrases ({error})") from error
    for number, line in enumerate(lines, 1):
        if not all(word == "a" or word.replace("'", "A").isupper() for word in line.split()):
            raise AsrError(
                f"{path}, line {number}: expected words of capitals, or `a`, found {line[:80]!r}"
            )
    phrases = tuple(" ".join(line.split()) for line in lines if line.strip())
    if not phrases:
        raise AsrError(f"{path}: expected a phrase a line, found none")
    return phrases


@cache
def _kokoro(voices: Path) -> Kokoro:
    torch.set_num_threads(1)
    return Kokoro(voices)


def write_part(plan: Plan, part: int) -> None:
    """Make the recordings of a part, and list them when all of them are there."""
    kokoro, utterances = _kokoro(plan.voices), []
    for number in range(part * PART, min((part + 1) * PART, plan.utterances)):
        random = Random(f"neural {plan.seed} {number}")
        phrase, speaker = random.choice(plan.phrases), kokoro.speaker(random)
        setting = draw_setting(random)
        noise_seed = random.getrandbits(32)
        if (speech := kokoro.say(phrase, speaker)) is None:
            continue
        waveform = record(speech, setting, noise_seed)
        name = f"neural-{plan.seed}-{number:06}"
        path = plan.folder / "audio" / f"{part:05}" / f"{name}.flac"
        make_folder(path.parent)
        audio.write(path, waveform, SAMPLE_RATE)
        seconds = len(waveform) / SAMPLE_RATE
        utterances.append(Utterance(name, path, seconds, transcript(phrase), speaker.name))
    write_manifest(plan.manifest_of(part), utterances)


def _write(task: tuple[Plan, int]) -> str:
    """As `write_part`, in a process of its own. Returns what went wrong."""
    try:
        write_part(*task)
    except AsrError as error:
        return str(error)
    return ""


def make(plan: Plan, processes: int) -> list[Utterance]:
    """Make what is missing, and list all of it in `manifest.jsonl`.

    Raises AsrError if the synthesiser is missing or the folder cannot be written.
    """
    make_folder(plan.folder / "parts")
    missing = [part for part in range(plan.parts) if not plan.manifest_of(part).is_file()]
    tasks = [(plan, part) for part in missing]
    with ExitStack() as stack:
        done: Iterable[str] = map(_write, tasks)
        if processes > 1:
            # Unlike multiprocessing.Pool, this notices where a process dies.
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(processes, context)
            stack.callback(pool.shutdown, cancel_futures=True)
            made = [pool.submit(_write, task) for task in tasks]
            done = (one.result() for one in as_completed(made))
        try:
            for problem in tqdm(done, total=len(missing), unit=f"{PART} utterances", disable=None):
                if problem:
                    raise AsrError(problem)
        except BrokenProcessPool as error:
            raise AsrError(
                f"{plan.folder}: a process that made recordings has died; give the command again "
                "to go on, with `--processes 1` to see where"
            ) from error
    parts = [read_manifest(plan.manifest_of(part)) for part in range(plan.parts)]
    utterances = [utterance for part in parts for utterance in part]
    write_manifest(plan.folder / "manifest.jsonl", utterances)
    return utterances


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 success, 1 error)."""
    parser = argparse.ArgumentParser(
        "python -m recipes.synthetic.neural",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("phrases", type=Path, metavar="PHRASES")
    parser.add_argument("--voices", type=Path, required=True, metavar="DIR")
    parser.add_argument("--utterances", type=int, required=True, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output_dir", "-o", type=Path, default=Path("data/neural"))
    options = parser.parse_args(arguments)
    try:
        phrases = read_phrases(options.phrases)
        plan = Plan(phrases, options.voices, options.output_dir, options.utterances, options.seed)
        utterances = make(plan, options.processes)
    except AsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    hours = total_hours(utterances)
    print(f"{options.output_dir / 'manifest.jsonl'}: {len(utterances)} utterances, {hours:.2f} h")
    return 0


if __name__ == "__main__":
    sys.exit(main())
