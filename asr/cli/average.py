"""`asr average`: the mean of a model and what it became."""

from pathlib import Path
from typing import Annotated

import typer


def average(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="Two or more.", show_default=False),
    ],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="Folder for the new checkpoint.")
    ],
) -> None:
    """Average the weights of checkpoints of which each went on from another, or all from one.

    A model that is taught other speech forgets some of what it knew; midway it often does well at
    both. Evaluate it: of models that began apart, the mean can do nothing. A search that was tuned
    for one of them is taken over by `asr tune --like`.
    """
    from asr.checkpoint.average import average_checkpoints

    if len(checkpoints) < 2:
        raise typer.BadParameter(
            f"expected two or more, found {len(checkpoints)}", param_hint="CHECKPOINT"
        )
    average_checkpoints(checkpoints, output_dir)
    typer.echo(f"checkpoint written to {output_dir}")
