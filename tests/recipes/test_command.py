"""Recipes as commands: a user's mistake is one line, a fault of the program a traceback."""

import typer
from typer.testing import CliRunner

from asr.errors import ManifestError
from recipes.command import one_line_errors


@one_line_errors
def divide(by: int) -> None:
    """Divide a manifest."""
    if by < 0:
        raise ManifestError("expected a number above 0")
    typer.echo(12 // by)


def test_a_mistake_of_the_user_is_one_line() -> None:
    app = typer.Typer()
    app.command()(divide)
    result = CliRunner().invoke(app, ["--", "-1"])
    assert result.exit_code == 1
    assert result.stderr == "error: expected a number above 0\n"
    assert CliRunner().invoke(app, ["3"]).stdout == "4\n"
    assert isinstance(CliRunner().invoke(app, ["0"]).exception, ZeroDivisionError)
    assert "Divide a manifest." in CliRunner().invoke(app, ["--help"]).stdout
