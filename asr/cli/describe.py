"""`asr describe`: settings, provenance and figures of a checkpoint."""

import typer

from asr.cli.options import Checkpoint


def describe(checkpoint: Checkpoint) -> None:
    """Print a checkpoint's figures, architecture, training data, provenance and hashes."""
    from asr.checkpoint.checkpoint import describe as render
    from asr.checkpoint.checkpoint import load_checkpoint

    typer.echo(render(load_checkpoint(checkpoint)))
