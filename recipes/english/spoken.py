"""Recordings of the test commands in synthetic voices: `python -m recipes.english.spoken`.

Each of `commands.txt` is said by the voices of flite and eSpeak NG that are kept out of training
speech (`recipes.synthetic.prepare.SAMPLE_VOICES`).
"""

import dataclasses
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from asr.corpus.manifest import write_manifest
from recipes.command import run_command
from recipes.english.phrases import read_commands
from recipes.synthetic.prepare import SAMPLE_VOICES, Job, render_all
from recipes.synthetic.render import Delivery, draw_setting


def plan(commands: list[str], seed: int) -> list[Job]:
    """Every command by every voice, at tempos and levels drawn by the seed."""
    random = Random(f"spoken {seed}")
    return [
        Job(
            id=f"{number:02}-{voice.speaker}",
            # A capital would be read as the name of the letter.
            text=text.replace(" A ", " a "),
            voice=voice,
            delivery=Delivery(tempo=random.uniform(0.8, 1.05)),
            setting=draw_setting(random),
            seed=random.getrandbits(32),
        )
        for number, text in enumerate(commands, 1)
        for voice in SAMPLE_VOICES
    ]


def main(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/english/spoken"),
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    every: Annotated[int, typer.Option("--every", min=1, help="Only one of so many.")] = 1,
) -> None:
    """Write the recordings and their manifest."""
    said = render_all(plan(read_commands(), seed)[::every], output_dir / "audio")
    utterances = [dataclasses.replace(one, text=one.text.upper()) for one in said]
    write_manifest(output_dir / "manifest.jsonl", utterances)
    typer.echo(f"{output_dir / 'manifest.jsonl'}: {len(utterances)} recordings")


if __name__ == "__main__":
    run_command(main)
