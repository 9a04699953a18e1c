"""Recipes as commands."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from asr.errors import AsrError

P = ParamSpec("P")

Source = Annotated[Path | None, typer.Option("--source", help="An unpacked copy of the corpus.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the official archive instead.")]


def one_line_errors(function: Callable[P, None]) -> Callable[P, None]:
    """The function of a command, which prints a user's error as one line and exits with 1."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except AsrError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(1)

    return command


def check_origin(source: Path | None, is_fetched: bool) -> None:
    """Refuse `Source` and `Download` together, and neither."""
    if (source is None) != is_fetched:
        raise typer.BadParameter("expected a folder, or --download", param_hint="--source")
