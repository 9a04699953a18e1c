"""Synthesise speech of the recogniser's domain with free synthesisers.

    python -m recipes.synthetic.prepare samples
    python -m recipes.synthetic.prepare train --utterances 3000 --seed 1 --output_dir data/synthetic

`samples` renders the committed demo recordings again; `train` renders training speech, in voices
that do not occur in the samples, with varied tempo, pitch, pauses, level and noise.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from tqdm import tqdm

from asr.corpus.manifest import Utterance, total_hours, write_manifest
from asr.files import make_folder
from asr.signal import audio
from recipes.command import run_command
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


def _words(text: str) -> list[str]:
    words = text.split(",")
    if not all(re.fullmatch("[A-Z]+", word) for word in words):
        raise typer.BadParameter(f"expected words of A-Z such as YES,NO; found {text}")
    return words


def samples(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = SAMPLES,
) -> None:
    """Render the committed samples again."""
    utterances = render_all(sample_plan(), output_dir)
    write_manifest(output_dir / "manifest.jsonl", utterances)
    typer.echo(levels(utterances))


def train(
    utterances: Annotated[int, typer.Option("--utterances", min=1)],
    seed: Annotated[int, typer.Option("--seed")] = 1,
    words: Annotated[
        str | None, typer.Option("--words", metavar="A,B,C", help="Use only these words.")
    ] = None,
    accents: Annotated[
        bool, typer.Option("--accents", help="Foreign accents; requires --words of digits.")
    ] = False,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/synthetic"),
) -> None:
    """Render a training set."""
    only = [] if words is None else _words(words)
    if accents and (not only or set(only) - set(ONES)):
        raise typer.BadParameter(f"expected --words of {','.join(ONES)}", param_hint="--accents")
    jobs = training_plan(utterances, seed, only, accents)
    made = render_all(tqdm(jobs, unit="utterance", disable=None), output_dir / "audio")
    write_manifest(output_dir / "manifest.jsonl", made)
    hours = total_hours(made)
    typer.echo(f"{output_dir / 'manifest.jsonl'}: {len(made)} utterances, {hours:.2f} hours")


if __name__ == "__main__":
    run_command(samples, train)
