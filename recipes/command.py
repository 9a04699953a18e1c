"""Recipes as commands."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from asr.errors import AsrError

P = ParamSpec("P")


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
