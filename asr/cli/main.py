"""The `asr` command: one verb a file, each thin: parse, call, print.

Results go to stdout, messages to stderr. Exit code 0: all done; 1: some input failed, the rest is
done; 2: wrong usage, such as an option's value; 130: interrupted, by Ctrl-C, SIGTERM or SIGHUP.
"""

import contextlib
import errno
import signal
import sys
from collections.abc import Iterator

import typer

import asr
from asr.cli.align import align
from asr.cli.average import average
from asr.cli.console import COMMAND_STYLE, echo, prepare_streams, stdout_error
from asr.cli.describe import describe
from asr.cli.evaluate import evaluate
from asr.cli.import_ import app as import_
from asr.cli.listen import listen
from asr.cli.lm import app as lm
from asr.cli.runs import runs
from asr.cli.score import score
from asr.cli.shard import shard
from asr.cli.train import train
from asr.cli.transcribe import transcribe
from asr.cli.trim import trim
from asr.cli.tune import tune
from asr.errors import AsrError, ConfigError
from asr.printing import log_to_stderr
from asr.version import DISTRIBUTION, source_commit

app = typer.Typer(
    name="asr",
    help="Train a CTC speech recogniser, transcribe with it, and measure it.",
    no_args_is_help=True,
    **COMMAND_STYLE,
)


def _version(wanted: bool) -> None:
    if wanted:
        source = source_commit() or "unknown"
        echo(f"asr {asr.__version__} ({DISTRIBUTION}, source {source})")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Train a CTC speech recogniser, transcribe with it, and measure it."""


for verb in (
    *(transcribe, listen, evaluate, align, score),
    *(train, runs, tune, average, trim, shard, describe),
):
    app.command(verb.__name__)(verb)
app.add_typer(lm, name="lm")
app.add_typer(import_, name="import")


def main() -> None:
    """Run a verb; a user's error is one message, not a traceback."""
    prepare_streams()
    log_to_stderr()
    try:
        with _signals_end_as_ctrl_c_does():
            app()
    except ConfigError as error:
        echo(f"error: {_with_flag(str(error))}", err=True)
        sys.exit(2)
    except AsrError as error:
        echo(f"error: {error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        ended = end.__context__  # by which typer has replaced a KeyboardInterrupt
        if ended is not None and isinstance(ended.__cause__, KeyboardInterrupt):
            echo("interrupted", err=True)
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:  # from --help, which typer prints
            raise
        echo(f"error: {stdout_error(error)}", err=True)
        sys.exit(1)


@contextlib.contextmanager
def _signals_end_as_ctrl_c_does() -> Iterator[None]:
    """SIGTERM and SIGHUP end the process with exit code 130, and no file is left half written."""

    def interrupt(number: int, _: object) -> None:
        for one in previous:  # launchers send a signal twice: the end must not be interrupted
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {one: signal.getsignal(one) for one in map(signal.Signals.__getitem__, names)}
    for one, handler in previous.items():
        if handler is not signal.SIG_IGN:  # as by nohup
            signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)


def _with_flag(message: str) -> str:
    """A message about a setting, with the setting's name as it stands on the command line."""
    name, colon, _ = message.partition(":")
    commands, names = [typer.main.get_command(app)], set()
    while commands:
        command = commands.pop()
        names |= {parameter.name for parameter in command.params}
        commands += getattr(command, "commands", {}).values()
    return f"--{message}" if colon and name in names else message
