"""Options that several verbs share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asr.recognizer import Recognizer

Checkpoint = Annotated[
    Path,
    typer.Argument(metavar="CHECKPOINT", help="Folder of a trained model.", show_default=False),
]
BeamSize = Annotated[
    int, typer.Option("--beam_size", min=1, help="Prefixes kept by the beam search; 1 is greedy.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Processor threads; 0 takes torch's own choice.")
]


def load_recognizer(checkpoint: Path, device: str, threads: int) -> "Recognizer":
    """Set the number of threads and load a checkpoint."""
    import torch  # slow to import, and `asr score` does without it

    import asr

    if threads:
        torch.set_num_threads(threads)
    return asr.load(checkpoint, device)
