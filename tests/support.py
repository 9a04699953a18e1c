"""What tests of the commands share."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner

from recipes.command import command_line

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tones:
    """The tones corpus and a model trained on it, as the recipe's own commands make them."""

    corpus: Path
    """Folder of {train,dev,test}.jsonl."""
    run: Path

    @classmethod
    def under(cls, folder: Path) -> "Tones":
        return cls(folder / "corpus", folder / "run")

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoint"

    @property
    def test(self) -> Path:
        return self.corpus / "test.jsonl"


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be one that may not be listed, for root, too."""
    scan = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


def run_python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Python process in the repository's root to its end, with what it prints."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def messages(self) -> str:
        """What stderr says apart from the lines that name the search in use or its compiling."""
        usual = ("decoding ", "compiling ")
        lines = self.stderr.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(usual))

    @property
    def error(self) -> str:
        """The one line of an error of the user's: nothing else on stderr, nothing on stdout."""
        assert self.code == 1, self
        return self._message()

    @property
    def usage_error(self) -> str:
        """The one line about an option's value."""
        assert self.code == 2, self
        return self._message()

    def _message(self) -> str:
        assert self.stdout == "", self
        lines = self.messages.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("error: "), self.stderr
        return lines[0].removeprefix("error: ")


class Command(Protocol):
    """The `asr` command in this process."""

    def __call__(self, *arguments: str | Path) -> Outcome: ...


def run_recipe(recipe: Callable[..., None], *arguments: object) -> Outcome:
    """Run a recipe as its command does, without the price of a new process."""
    done = CliRunner().invoke(command_line(recipe), list(map(str, arguments)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr)
