"""Phrases in the voices of a neural synthesiser (`kokoro.py`), each in another one.

    python -m recipes.synthetic.neural PHRASES --voices DIR -o data/neural --utterances 4000

PHRASES is a text file with a phrase a line, in capitals; a word of one capital is read as the name
of the letter, `a` is the article. Each utterance has a phrase and a speaker drawn by the seed and
its number alone, so that more utterances continue the same sequence. They are written in parts;
when the command is given again, it goes on with the first part that is missing. `manifest.jsonl`
has all of them.
"""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer
from tqdm import tqdm

from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from asr.errors import AsrError
from asr.files import make_folder
from asr.signal import audio
from recipes.command import run_command
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


def main(
    phrases: Annotated[Path, typer.Argument(metavar="PHRASES")],
    voices: Annotated[Path, typer.Option("--voices", help="The folder of Kokoro's voices.")],
    utterances: Annotated[int, typer.Option("--utterances", min=1)],
    seed: Annotated[int, typer.Option("--seed")] = 1,
    processes: Annotated[int, typer.Option("--processes", min=1)] = 1,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/neural"),
) -> None:
    """Let a neural synthesiser say phrases, each in another voice; goes on where it stopped."""
    made = make(Plan(read_phrases(phrases), voices, output_dir, utterances, seed), processes)
    hours = total_hours(made)
    typer.echo(f"{output_dir / 'manifest.jsonl'}: {len(made)} utterances, {hours:.2f} hours")


if __name__ == "__main__":
    run_command(main)
