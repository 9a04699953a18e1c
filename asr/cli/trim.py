"""`asr trim`: leaves the silence around utterances out of a manifest."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from asr.cli.console import echo

_AT_A_TIME = 1000
"""So many utterances are in memory, waiting for a thread."""


def trim(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="Manifest (JSON lines): a path or a URL.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new manifest.")],
) -> None:
    """Leave the silence before and after what is said out of a manifest for training.

    Silence takes as long to train on as speech. The recordings stay as they are: utterances become
    segments of them, with 0.1 to 0.3 s of silence at either end. Every tenth keeps all of its
    silence, so that the model learns that nothing is said there. For training data only: people
    will not trim what they want transcribed, so neither should data for validation be.
    """
    import torch

    from asr.corpus.manifest import Corpus, total_hours, write_manifest
    from asr.corpus.trim import trim as trim_utterance
    from asr.model.device import one_core_threads

    if output.exists() and Path(manifest).exists() and output.samefile(manifest):
        raise typer.BadParameter(
            f"expected another file than the manifest, found {output}: what is left out would be "
            "lost",
            param_hint="--output",
        )
    corpus, trimmed = Corpus.open([manifest]), []
    with (
        one_core_threads(torch.get_num_threads()) as pool,
        tqdm(total=len(corpus), unit="utterance", disable=None, leave=False) as progress,
    ):
        for first in range(0, len(corpus), _AT_A_TIME):
            for utterance in pool.map(trim_utterance, corpus[first : first + _AT_A_TIME]):
                trimmed.append(utterance)
                progress.update()
    write_manifest(output, trimmed)
    hours, before = total_hours(trimmed), float(corpus.durations.sum()) / 3600
    echo(
        f"{output}: {len(trimmed)} utterances, {hours:.2f} of {before:.2f} hours, "
        f"{1 - hours / before:.0%} silence left out"
    )
