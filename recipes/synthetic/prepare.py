"""Synthesise speech of the recogniser's domain with free synthesisers.

    python -m recipes.synthetic.prepare samples
    python -m recipes.synthetic.prepare train --utterances 3000 --seed 1 --output_dir data/synthetic

`samples` renders the committed demo recordings again; `train` renders training speech, in voices
that do not occur in the samples, with varied tempo, pitch, pauses, level and noise.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tqdm import tqdm

from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.errors import AsrError
from asr.files import make_folder
from asr.signal import audio
from recipes.synthetic.accents import ACCENTS
from recipes.synthetic.phrases import KINDS, ONES, Phrase, draw
from recipes.synthetic.render import (
    SAMPLE_RATE,
    Delivery,
    Setting,
    Voice,
    draw_setting,
    record,
    render,
)

SAMPLES = Path(__file__).resolve().parent / "samples"
SAMPLES_SEED = 98  # chosen for its wide vocabulary: 24 letters, 52 words

_SAMPLE_FLITE = (Voice("flite", "slt"), Voice("flite", "rms"))
_SAMPLE_ESPEAK = Voice("espeak", "en-us+f2")
SAMPLE_VOICES = (*_SAMPLE_FLITE, _SAMPLE_ESPEAK)

_ACCENTS = (
    "en-us en-us en-us en-us-nyc en en-gb-x-rp en-gb-scotland en-gb-x-gbclan en-gb-x-gbcwmd en-029"
).split()
_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f3 f4 f5 Alex Alicia Andrea Andy Annie Denis Diogo Gene Hugo Jacky "
    "Lee Marco Michael Mike adam anika antonio aunty belinda benjamin boris caleb david ed edward "
    "grandma grandpa iven john linda max michel pablo paul pedro quincy rob robert sandro shelby "
    "steph steph2 travis victor zac"
).split()
_TRAINING_FLITE = (Voice("flite", "awb"), Voice("flite", "kal16"))
_TRAINING_SHARES = (0.35, 0.15)
"""Shares of flite's training voices; the voices of eSpeak NG have the rest."""
TRAINING_VOICES = (
    *_TRAINING_FLITE,
    *(Voice("espeak", f"{a}+{v}") for a in dict.fromkeys(_ACCENTS) for v in _VARIANTS),
)


@dataclass(frozen=True)
class Job:
    """One recording to make."""

    id: str
    text: str
    voice: Voice
    delivery: Delivery
    setting: Setting
    seed: int


def sample_plan() -> list[Job]:
    """Two phrases of every kind: flite's slt and rms alternating, every sixth by eSpeak NG."""
    jobs = []
    for index in range(2 * len(KINDS)):
        kind = list(KINDS)[index // 2]
        random = Random(f"samples {SAMPLES_SEED} {index}")
        phrase = draw(random, kind)
        voice = _SAMPLE_ESPEAK if index % 6 == 5 else _SAMPLE_FLITE[index % 2]
        silence = random.uniform(0.1, 0.2), random.uniform(0.1, 0.2)
        jobs.append(
            Job(
                id=f"{index + 1:02d}-{kind.replace(' ', '-')}-{voice.speaker}",
                text=phrase.text,
                voice=voice,
                delivery=Delivery(
                    tempo=random.uniform(0.8, 0.95), pauses=_pauses(random, phrase, 0.3)
                ),
                setting=Setting(lead_seconds=silence[0], trail_seconds=silence[1]),
                seed=random.getrandbits(32),
            )
        )
    return jobs


def training_plan(
    utterances: int, seed: int, words: Sequence[str] = (), accents: bool = False
) -> list[Job]:
    """Phrases in varied voices, each determined by the seed and its index alone.

    With `words` each utterance is one of them; with `accents` it has a foreign accent. No
    transcript of the samples is used, except one-word commands.
    """
    reserved = {job.text for job in sample_plan() if " " in job.text}
    return [_training_job(index, seed, reserved, words, accents) for index in range(utterances)]


def _training_job(
    index: int, seed: int, reserved: set[str], words: Sequence[str], accents: bool
) -> Job:
    random = Random(f"train {seed} {index}")
    if words:
        phrase = Phrase("command", random.choice(words))
    else:
        phrase = draw(random)
        while phrase.text in reserved:
            phrase = draw(random)
    voice = _accented_voice(random) if accents else _training_voice(random)
    return Job(
        id=f"synthetic-{seed}-{index:05d}",
        text=phrase.text,
        voice=voice,
        delivery=Delivery(
            tempo=random.uniform(0.65, 1.15),
            pitch=random.uniform(0.75, 1.5) if voice.name == "awb" else random.uniform(0.8, 1.3),
            # In steps of 5 %, for which the resampling filters are short.
            formants=random.randrange(18, 25) / 20 if voice.engine == "flite" else 1.0,
            pauses=_pauses(random, phrase, random.choice((0.0, 0.1, 0.3, 0.8))),
        ),
        setting=draw_setting(random),
        seed=random.getrandbits(32),
    )


def _training_voice(random: Random) -> Voice:
    drawn = random.random()
    for voice, share in zip(_TRAINING_FLITE, _TRAINING_SHARES, strict=True):
        if drawn < share:
            return voice
        drawn -= share
    return Voice("espeak", f"{random.choice(_ACCENTS)}+{random.choice(_VARIANTS)}")


def _accented_voice(random: Random) -> Voice:
    return Voice("espeak", f"{random.choice(list(ACCENTS))}+{random.choice(_VARIANTS)}")


def _pauses(random: Random, phrase: Phrase, share: float) -> frozenset[int]:
    """Draw the words followed by a pause; dates and commands have none."""
    if phrase.kind in ("command", "date", "enter"):
        return frozenset()
    return frozenset(i for i in range(len(phrase.text.split())) if random.random() < share)


def render_all(jobs: Iterable[Job], folder: Path) -> list[Utterance]:
    """Write the recordings as FLAC files to a folder, and return their utterances.

    Raises AsrError if the folder cannot be written or a synthesiser is missing or fails.
    """
    make_folder(folder)
    utterances = []
    for job in jobs:
        waveform = record(render(job.text, job.voice, job.delivery), job.setting, job.seed)
        path = folder / f"{job.id}.flac"
        audio.write(path, waveform, SAMPLE_RATE)
        seconds = len(waveform) / SAMPLE_RATE
        utterances.append(Utterance(job.id, path, seconds, job.text, job.voice.speaker))
    return utterances


def levels(utterances: Sequence[Utterance]) -> str:
    """A table of the length, peak and RMS (dBFS) and transcript of each recording."""
    lines = ["seconds  peak   RMS  id and transcript"]
    for utterance in utterances:
        waveform, _ = audio.read(utterance.audio_filepath)
        peak, rms = waveform.abs().max(), waveform.pow(2).mean().sqrt()
        peak_db, rms_db = (20 * float(level.log10()) for level in (peak, rms))
        figures = f"{utterance.duration:7.2f}{peak_db:6.1f}{rms_db:6.1f}"
        lines.append(f"{figures}  {utterance.id}: {utterance.text}")
    return "\n".join(lines)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text}")
    return number


def _words(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    if not all(re.fullmatch("[A-Z]+", word) for word in words):
        raise argparse.ArgumentTypeError(f"expected words of A-Z such as YES,NO; found {text}")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 success, 1 error)."""
    parser = argparse.ArgumentParser(
        "python -m recipes.synthetic.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    samples = commands.add_parser("samples", help="render the committed samples again")
    samples.add_argument("--output_dir", "-o", type=Path, default=SAMPLES, metavar="DIR")
    train = commands.add_parser("train", help="render a training set")
    train.add_argument("--utterances", type=_positive, required=True, metavar="N")
    train.add_argument("--seed", type=int, default=1, metavar="S")
    train.add_argument(
        "--words", type=_words, default=(), metavar="A,B,C", help="use only these words"
    )
    train.add_argument(
        "--accents", action="store_true", help="foreign accents; requires --words of digits"
    )
    train.add_argument("--output_dir", "-o", type=Path, default=Path("data/synthetic"))
    options = parser.parse_args(arguments)
    if options.command == "train" and options.accents:
        unknown = set(options.words) - set(ONES)
        if unknown or not options.words:
            parser.error(f"--accents: expected --words of {','.join(ONES)}")
    folder: Path = options.output_dir
    try:
        if options.command == "samples":
            utterances = render_all(sample_plan(), folder)
            write_manifest(folder / "manifest.jsonl", utterances)
            print(levels(utterances))
        else:
            jobs = training_plan(options.utterances, options.seed, options.words, options.accents)
            utterances = render_all(tqdm(jobs, unit="utterance", disable=None), folder / "audio")
            write_manifest(folder / "manifest.jsonl", utterances)
            hours = total_hours(utterances)
            print(f"{folder / 'manifest.jsonl'}: {len(utterances)} utterances, {hours:.2f} hours")
    except AsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
