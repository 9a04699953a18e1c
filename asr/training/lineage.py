"""How a checkpoint came about: the commands that made it, and the checkpoints it descends from."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.checkpoint.checkpoint import WEIGHTS, Checkpoint
from asr.checkpoint.run_folder import STARTS, read_lines

_ABSOLUTE_PATH = re.compile(r"""(?<![^\s=:,;'"\[({])/[^\s=:,;'"\])}]+""")
"""An absolute path, also within `--option=PATH`, `KEY=PATH` or a JSON list."""


@dataclass(frozen=True)
class Source:
    """The checkpoint that a run was initialised from."""

    name: str
    """Its path, relative where it could be made so."""
    sha256: str
    """Of its weights."""
    licence: str
    """Of all data that it was trained on."""
    commands: list[str]
    """What made it from the raw data, in order, as far as it tells."""
    ancestors: dict[str, str]
    """SHA-256 of the weights of the checkpoints that it descends from, oldest first, by name."""


def source_of(checkpoint: Checkpoint, path: str) -> Source:
    """What is recorded about the checkpoint at `path` in those that are trained from it."""
    training = checkpoint.config["training"]
    commands = training.get("commands")
    ancestors: dict[str, str] = {}
    for key in ("ancestors", "mean_of"):  # the latter is what `asr average` records
        ancestors |= training.get(key) or {}
    return Source(
        name=without_machine_paths(path),
        sha256=checkpoint.config["files"][WEIGHTS]["sha256"],
        licence=str(training.get("licence") or ""),
        commands=[str(command) for command in commands] if isinstance(commands, list) else [],
        ancestors=ancestors,
    )


def lineage_record(
    source: Source | None, teacher: Source | None, folder: Path, licence: str
) -> dict[str, Any]:
    """What a checkpoint's training record says of its descent, from that which it was initialised
    from and that which it was taught by.

    `licence` is that of the run's own data; `folder`, the run's, holds the commands of every start.
    """
    starts, _ = read_lines(folder / STARTS)
    commands = [portable_command(_arguments(start)) for start in starts if start.get("command")]
    sources = [one for one in (source, teacher) if one is not None]
    if not sources:
        return {"licence": licence, "commands": _distinct(commands)}
    licences = [clause for one in sources for clause in _clauses(one.licence)]
    ancestors: dict[str, str] = {}
    for one in sources:
        ancestors |= one.ancestors
        # Two generations may have been trained in a folder of one name, one after the other.
        other = ancestors.get(one.name, one.sha256) != one.sha256
        ancestors[f"{one.name} {one.sha256[:8]}" if other else one.name] = one.sha256
    return {
        "licence": "; ".join(_distinct([*licences, *_clauses(licence)])),
        "commands": _distinct([*(c for one in sources for c in one.commands), *commands]),
        **({"init_from_sha256": source.sha256} if source else {}),
        **({"teacher_sha256": teacher.sha256} if teacher else {}),
        "ancestors": ancestors,
    }


def _arguments(start: Mapping[str, Any]) -> list[str]:
    try:
        return shlex.split(str(start["command"]))
    except ValueError:  # an unclosed quotation: somebody has edited the file
        return str(start["command"]).split()


def portable_command(arguments: Sequence[str]) -> str:
    """A command line without the paths of this machine, from `sys.orig_argv`.

    Paths below the working directory become relative; of others only the last name is left.
    """
    program, *rest = arguments or [""]
    if rest and Path(rest[0]).is_absolute() and not Path(rest[0]).suffix:
        program, *rest = rest  # a script that pip installed, such as `asr`, run by its interpreter
    return shlex.join([Path(program).name, *map(without_machine_paths, rest)])


def without_machine_paths(text: str) -> str:
    """Text whose absolute paths are relative to the working directory, or only their last name."""
    return _ABSOLUTE_PATH.sub(lambda match: _portable(Path(match[0])), text)


def _portable(path: Path) -> str:
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return path.name


def _clauses(licence: str) -> list[str]:
    return [clause for clause in licence.split("; ") if clause]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
