"""What the command prints: text from outside only so that it can do no harm."""

import typer

from asr.printing import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print to stdout, or to stderr, with control characters as escapes."""
    typer.echo(printable(text), err=err, nl=nl)
