"""Recipes as commands: a user's mistake is one line, a fault of the program a traceback."""

import pytest
import typer

from asr.errors import ManifestError
from tests.support import run_recipe


def divide(by: int) -> None:
    """Divide a manifest."""
    if by < 0:
        raise ManifestError("expected a number above 0")
    typer.echo(12 // by)


def test_a_mistake_of_the_user_is_one_line() -> None:
    assert run_recipe(divide, "--", "-1").error == "expected a number above 0"
    assert run_recipe(divide, "3").stdout == "4\n"
    with pytest.raises(ZeroDivisionError):
        run_recipe(divide, "0")
    wrong = run_recipe(divide, "three")
    assert wrong.code == 2
    assert "\nError: Invalid value for 'by'" in wrong.stderr
    assert "Divide a manifest." in run_recipe(divide, "--help").stdout
