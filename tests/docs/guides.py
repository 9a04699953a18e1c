"""The commands and the Python of a guide, taken from its Markdown and run as a reader would.

A fenced block is run if its language says so: `console` (lines after `$ ` are commands, the others
what they print), `sh` (commands), `python`. A comment `<!-- not run: REASON -->` before a block
leaves it out; the options of its `asr` commands are still checked.
"""

import contextlib
import multiprocessing
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from docs.commands import context_of, verbs

_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
_SHELL = re.compile(r"[|<>;&$`\n]")
"""What needs a shell."""


@dataclass
class Step:
    """A command with the lines that the guide says it prints, or a block of Python."""

    line: int
    code: str
    language: str
    expected: list[str] = field(default_factory=list)
    not_run: str | None = None


def steps(page: Path) -> Iterator[Step]:
    """What a page says to run, in order."""
    lines = page.read_text(encoding="utf-8").split("\n")
    reason, fence = None, None
    for number, line in enumerate(lines, start=1):
        if fence is None and line.startswith("```"):
            fence, start = line.removeprefix("```").strip(), number
        elif fence is not None and line == "```":
            yield from _steps(fence, lines[start : number - 1], start + 1, reason)
            reason = fence = None
        elif fence is None and line.strip():
            found = _NOT_RUN.fullmatch(line.strip())
            reason = found[1] if found else None


def _steps(language: str, lines: list[str], first: int, reason: str | None) -> Iterator[Step]:
    if language == "python":
        yield Step(first, "\n".join(lines), language, not_run=reason)
    elif language == "sh":
        yield from _commands(lines, first, reason)
    elif language == "console":
        starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            block = [lines[start].removeprefix("$ "), *lines[start + 1 : end]]
            (step, *rest) = _commands(block, first + start, reason)
            step.expected = [line for other in rest for line in other.code.split("\n")]
            yield step


def _commands(lines: list[str], first: int, reason: str | None) -> Iterator[Step]:
    """Commands, each with its continued lines and its here-document."""
    code: list[str] = []
    end: str | None = None
    for number, line in enumerate(lines, start=first):
        code.append(line)
        if end is None and (found := re.search(r"<<'(\w+)'", line)):
            end = found[1]
        elif end is not None:
            end = None if line == end else end
        if end is None and not line.endswith("\\"):
            if line.strip() and not line.startswith("#"):
                yield Step(number - len(code) + 1, "\n".join(code), "sh", not_run=reason)
            code = []


def unknown_options(command: str) -> list[str]:
    """What a shell command's calls of `asr` have that no option of theirs is called."""
    return [
        problem
        for call in re.split(r"[|;&]+", command.replace("\\\n", " ").partition("<<")[0])
        for problem in _unknown_in(shlex.split(call, comments=True))
    ]


def _unknown_in(words: list[str]) -> Iterator[str]:
    if "asr" not in words:
        return
    rest = words[words.index("asr") + 1 :]
    if rest[:1] == ["--version"]:
        return
    paths = {path: command for path, command in verbs() if rest[: len(path)] == list(path)}
    if not paths:
        yield f"no such command: asr {' '.join(rest)}"
    for path in paths:
        normal = {
            option.replace("-", "_")
            for parameter in paths[path].get_params(context_of(path))
            for option in [*parameter.opts, *parameter.secondary_opts]
        }
        for word in rest[len(path) :]:
            name = word.partition("=")[0]
            if re.match(r"--?[a-zA-Z]", name) and name.replace("-", "_") not in normal:
                yield f"asr {' '.join(path)}: no such option: {name}"


class Reader:
    """Runs steps in a folder that holds what a clone of the repository holds for the guides.

    Each command is a process of its own. Those that are nothing but `asr` with its arguments are
    forked from a server that has torch imported already, which saves seconds each.
    """

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self._bin = folder / ".bin"
        self._bin.mkdir()
        for name in ("recipes", "checkpoints", "docs"):
            (folder / name).symlink_to(repository / name)
        for name, words in (("asr", f"{sys.executable} -m asr"), ("python", sys.executable)):
            (self._bin / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (self._bin / name).chmod(0o755)
        self._environment = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(repository),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, step: Step) -> tuple[int, str]:
        """The exit status of a step, and all that it prints."""
        output = self.folder / ".output"
        server = _server()
        arguments = self._arguments(step)
        process: Any = server.Process(
            target=_run, args=(arguments, step.code, self.folder, output, self._environment)
        )
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode, output.read_text(encoding="utf-8", errors="replace")

    def _arguments(self, step: Step) -> list[str] | None:
        """The arguments of `asr`, if that is the whole step; else None."""
        plain = step.code.replace("\\\n", " ")
        if step.language != "sh" or not plain.startswith("asr ") or _SHELL.search(plain):
            return None if step.language == "sh" else []
        words = []
        for word in shlex.split(plain, comments=True)[1:]:
            found = sorted(self.folder.glob(word)) if "*" in word else []
            words += [str(path.relative_to(self.folder)) for path in found] or [word]
        return words


def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.docs.preloaded"])
    return context


def _run(
    arguments: list[str] | None,
    code: str,
    folder: Path,
    output: Path,
    environment: dict[str, str],
) -> None:
    """In the child: become the command, with both streams in `output`."""
    os.chdir(folder)
    os.environ |= environment
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    with contextlib.ExitStack() as stack:
        stack.callback(sys.stdout.flush)
        stack.callback(sys.stderr.flush)
        if arguments is None:
            os.execvp("bash", ["bash", "-e", "-o", "pipefail", "-c", code])
        elif arguments:
            from asr.cli.main import main

            sys.argv = ["asr", *arguments]
            main()
        else:
            script = folder / ".block.py"
            script.write_text(code, encoding="utf-8")
            sys.path.insert(0, str(folder))
            runpy.run_path(str(script), run_name="__main__")


def missing_lines(expected: list[str], printed: str) -> list[str]:
    """Lines that were to be printed, in this order, and were not; numbers and spacing may differ.

    A line of `…` alone stands for any lines.
    """
    found = iter([_loose(line) for line in printed.replace("\r", "\n").split("\n")])
    wanted = [line for line in expected if line.strip() not in ("", "…")]
    return [line for line in wanted if _loose(line) not in found]


def _loose(line: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "0", " ".join(line.split()))
