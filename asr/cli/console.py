"""What the command prints: text from outside only so that it can do no harm."""

import codecs
import os
import sys
from typing import Any

import typer

from asr.errors import AsrError
from asr.printing import printable

_ESCAPE = "asr-escape"
COMMAND_STYLE: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,  # its tables cut long names and forms short
    "pretty_exceptions_enable": False,
    "context_settings": {
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("-", "_"),  # --beam-size is --beam_size
    },
}
"""Settings of `typer.Typer`, for `asr` and for recipes."""


def prepare_streams() -> None:
    """Let stdout and stderr take any text: what their encoding lacks is written as escapes.

    The escapes are those of JSON, `\\u00e9`, so that JSON stays what it is.
    """
    codecs.register_error(_ESCAPE, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_ESCAPE)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(f"\\u{code:04x}" for code in codes), error.end


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print to stdout, or to stderr, with control characters as escapes.

    Raises AsrError where stdout cannot take it, as on a full disk.
    """
    try:
        typer.echo(printable(text), err=err, nl=nl)
    except BrokenPipeError:  # typer ends quietly where nobody reads on
        raise
    except OSError as error:
        raise stdout_error(error) from error


def stdout_error(error: OSError) -> AsrError:
    """The message for what stdout did not take; nothing more is written to it."""
    # What is still in the buffer would be written, and fail, at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return AsrError(
        f"stdout: cannot write ({error.strerror or error}); free some space, or send the output "
        "elsewhere"
    )
