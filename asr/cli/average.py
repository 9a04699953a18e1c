"""`asr average`: the mean of a model and its fine-tuned version."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.console import echo


def average(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="Two or more.", show_default=False),
    ],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="Folder for the new checkpoint.")
    ],
) -> None:
    """Average the weights of a checkpoint and of those fine-tuned from it.

    A model that is fine-tuned on other speech loses some accuracy on the first; the mean of both
    often does well on either. Evaluate it: the mean of models that were initialised independently
    is useless. Decoding settings tuned for one of them are copied by `asr tune --like`.
    """
    from asr.checkpoint.average import average_checkpoints

    if len(checkpoints) < 2:
        raise typer.BadParameter(
            f"expected two or more, found {len(checkpoints)}", param_hint="CHECKPOINT"
        )
    average_checkpoints(checkpoints, output_dir)
    echo(f"checkpoint written to {output_dir}")
