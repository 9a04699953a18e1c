"""Recipes as commands."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from asr.cli.console import COMMAND_STYLE, echo, prepare_streams
from asr.errors import AsrError

P = ParamSpec("P")

Source = Annotated[Path | None, typer.Option("--source", help="An unpacked copy of the corpus.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the official archive instead.")]


def run_command(*functions: Callable[..., None]) -> None:
    """Call a function, or the one of several that is named, as the command line says."""
    prepare_streams()
    command_line(*functions)()


def command_line(*functions: Callable[..., None]) -> typer.Typer:
    """The command of a recipe, or several that are called by the names of their functions.

    As those of `asr`: a user's error is one line, with exit code 1, a wrong option is another, with
    2; hyphens and underscores in options are the same.
    """
    app = typer.Typer(**COMMAND_STYLE)
    for function in functions:
        app.command(function.__name__)(_one_line_errors(function))
    return app


def _one_line_errors(function: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except AsrError as error:
            echo(f"error: {error}", err=True)
            sys.exit(1)

    return command


def check_origin(source: Path | None, is_fetched: bool) -> None:
    """Refuse `Source` and `Download` together, and neither."""
    if (source is None) != is_fetched:
        raise typer.BadParameter("expected a folder, or --download", param_hint="--source")
