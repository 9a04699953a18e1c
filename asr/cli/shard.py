"""`asr shard`: packs a corpus into tar files."""

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from asr.cli.console import echo


def shard(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="Manifest (JSON lines): a path or a URL.")
    ],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="New or empty folder for the shards.")
    ],
    shard_mb: Annotated[
        int, typer.Option("--shard_mb", min=1, help="Maximum size of a shard, in 10⁶ bytes.")
    ] = 256,
    in_order: Annotated[
        bool,
        typer.Option(
            "--in_order",
            help="Keep the order of the manifest. By default utterances are shuffled reproducibly, "
            "because training draws its batches from a few shards at a time, which should be "
            "representative of the corpus.",
        ),
    ] = False,
) -> None:
    """Pack the recordings of MANIFEST into tar files, and write a manifest beside them.

    The folder can be moved or copied as a whole, for example to a bucket. Use its manifest.jsonl,
    by path or URL, in place of MANIFEST. The tar files have the layout of webdataset.
    """
    import numpy as np

    from asr.corpus.manifest import Corpus
    from asr.corpus.shards import write_shards
    from asr.corpus.tar import MANIFEST_FILE

    corpus = Corpus.open([manifest])
    order = range(len(corpus))
    shuffled = order if in_order else np.random.default_rng(0).permutation(order).tolist()
    with tqdm(total=len(corpus), unit="utterance", disable=None, leave=False) as progress:
        shards = write_shards(
            (corpus[i] for i in shuffled), output_dir, shard_mb * 1_000_000, progress.update
        )
    megabytes = sum(written.num_bytes for written in shards) / 1e6
    hours = float(corpus.durations.sum()) / 3600
    noun = "shard" if len(shards) == 1 else "shards"
    echo(
        f"{output_dir / MANIFEST_FILE}: {len(corpus)} utterances, {hours:.2f} hours, "
        f"{len(shards)} {noun}, {megabytes:.1f} MB"
    )
