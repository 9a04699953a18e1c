"""`asr describe`: settings, provenance and figures of a checkpoint."""

from asr.cli.console import echo
from asr.cli.options import Checkpoint


def describe(checkpoint: Checkpoint) -> None:
    """Print a checkpoint's figures, architecture, training data, provenance and hashes."""
    from asr.checkpoint.checkpoint import describe as render
    from asr.checkpoint.checkpoint import load_checkpoint

    echo(render(load_checkpoint(checkpoint)))
