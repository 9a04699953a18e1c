"""Recordings of several utterances each, joined from recordings of one.

    python -m recipes.join data/an4/train.jsonl data/an4/dev.jsonl -o data/an4-joined

A network that was trained on single utterances makes two to three times the errors where several
follow each other. Trained further on recordings such as these beside the single ones, it does not
(recipes/an4/RESULTS.md, "Several utterances in one recording").
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import torch
import typer
from torch import Tensor

from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from asr.corpus.recordings import read_utterance
from asr.errors import ManifestError
from asr.files import make_folder
from asr.signal import audio
from recipes.command import run_command

MOST_UTTERANCES = 5
_LEVEL_DB = 6.0
"""How far levels are changed, up and down, in half of the recordings."""


def join(
    utterances: Sequence[Utterance], recordings: int, seed: int, output_dir: Path
) -> list[Utterance]:
    """Write so many recordings of two to five utterances, and `manifest.jsonl` beside them.

    In half of them the utterances are of one speaker. Raises ManifestError where there are fewer
    than two utterances, or their sample rates differ; AudioError where one cannot be read.
    """
    if len(utterances) < 2:
        raise ManifestError(f"expected at least two utterances to join, found {len(utterances)}")
    by_speaker = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker or utterance.id].append(utterance)
    voices = [several for several in by_speaker.values() if len(several) > 1]
    random = Random(seed)
    make_folder(output_dir / "wav")
    joined = []
    for number in range(recordings):
        one_voice = bool(voices) and random.random() < 0.5
        choice = random.choice(voices) if one_voice else utterances
        size = min(random.randint(2, MOST_UTTERANCES), len(choice))
        chosen = random.sample(list(choice), size)
        waveform, rate = _joined(chosen, random)
        path = output_dir / "wav" / f"{number:05}.wav"
        audio.write(path, waveform, rate)
        joined.append(
            Utterance(
                id=f"joined-{number:05}",
                audio_filepath=path,
                duration=len(waveform) / rate,
                text=" ".join(filter(None, (utterance.text for utterance in chosen))),
                speaker=chosen[0].speaker if one_voice else None,
            )
        )
    write_manifest(output_dir / "manifest.jsonl", joined)
    return joined


def _joined(utterances: Sequence[Utterance], random: Random) -> tuple[Tensor, int]:
    """The samples `(S,)` of the utterances one after the other, and their rate in Hz."""
    parts, rates = zip(*map(read_utterance, utterances), strict=True)
    if len(set(rates)) > 1:
        raise ManifestError(
            f"expected utterances of one sample rate to join, found {sorted(set(rates))} Hz in "
            f"{', '.join(utterance.id for utterance in utterances)}"
        )
    if random.random() < 0.5:
        parts = tuple(part * 10 ** (random.uniform(-_LEVEL_DB, _LEVEL_DB) / 20) for part in parts)
    waveform = torch.cat(parts)
    return waveform / max(1.0, float(waveform.abs().max())), rates[0]


def main(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")],
    recordings: Annotated[int, typer.Option("--recordings", min=1)] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Join utterances to longer recordings and list these in a new manifest."""
    old = [u for manifest in manifests for u in read_manifest(manifest)]
    new = join(old, recordings, seed, output_dir)
    hours = total_hours(new)
    typer.echo(f"{len(new)} recordings, {hours:.2f} hours")


if __name__ == "__main__":
    run_command(main)
