"""The options of a training run: the one list from which `asr train` and recipes take their flags.

It imports nothing heavy, so that the command line can list the flags at once.
"""

import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

LARGEST_SEED = 2**63 - 1
"""The largest signed integer of 64 bits, in which torch keeps a seed."""


@dataclass(frozen=True)
class Flag:
    """How an option is given on a command line."""

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    of_recipes: bool = True
    """Whether recipes have it too."""


@dataclass(frozen=True)
class TrainingOptions:
    """What `asr train` or a recipe is asked to do; None or empty where nothing was said."""

    output_dir: Annotated[
        Path, Flag(("--output_dir", "-o"), "Folder of the run; created if missing.", "DIR")
    ]
    train: Annotated[
        tuple[str, ...], Flag(("--train",), "Manifest to train on; may be repeated.", "MANIFEST")
    ] = ()
    dev: Annotated[
        str | None, Flag(("--dev",), "Manifest to validate on after each epoch.", "MANIFEST")
    ] = None
    config: Annotated[
        Path | None,
        Flag(
            ("--config",),
            "Settings as JSON, such as the config.json of another run.",
            "FILE",
            of_recipes=False,
        ),
    ] = None
    settings: Annotated[
        tuple[str, ...],
        Flag(("--set",), "Change one setting, e.g. encoder.hidden=256; repeatable.", "KEY=VALUE"),
    ] = ()
    seed: Annotated[
        int | None,
        Flag(
            ("--seed",),
            "Seed of initial weights, batch order and augmentation.",
            "N",
            minimum=0,
            maximum=LARGEST_SEED,
        ),
    ] = None
    init_from: Annotated[
        Path | None,
        Flag(
            ("--init_from",),
            "Fine-tune this checkpoint: start from its weights, with its features, encoder and "
            "text.units.",
            "CHECKPOINT",
        ),
    ] = None
    resume: Annotated[bool, Flag(("--resume",), "Continue the run in the output folder.")] = False
    finish: Annotated[
        bool,
        Flag(
            ("--finish",),
            "Do not train: make the checkpoint of the best epochs so far of the run in the output "
            "folder, which can still be resumed.",
        ),
    ] = False
    accept_changed_data: Annotated[
        bool,
        Flag(("--accept_changed_data",), "Continue even if the manifests have changed."),
    ] = False
    find_batch: Annotated[
        bool,
        Flag(
            ("--find_batch",),
            "Do not train: find the largest optim.batch_seconds that fits this machine.",
        ),
    ] = False
    device: Annotated[str, Flag(("--device",), "cpu, cuda, cuda:1, …", "DEVICE")] = "cpu"
    threads: Annotated[
        int, Flag(("--threads",), "CPU threads; 0 leaves the choice to torch.", "N", minimum=0)
    ] = 0


@dataclass(frozen=True)
class Option:
    """A field of `TrainingOptions`, taken apart for a command-line parser."""

    name: str
    kind: type
    """Of one value: Path, str, int or bool."""
    repeatable: bool
    required: bool
    default: Any
    flag: Flag


def training_options() -> Iterator[Option]:
    """The fields of `TrainingOptions`, in order."""
    hints = typing.get_type_hints(TrainingOptions, include_extras=True)
    for field in fields(TrainingOptions):
        hint, flag = typing.get_args(hints[field.name])
        kinds = [kind for kind in typing.get_args(hint) if kind not in (types.NoneType, ...)]
        yield Option(
            name=field.name,
            kind=kinds[0] if kinds else hint,
            repeatable=typing.get_origin(hint) is tuple,
            required=field.default is MISSING,
            default=None if field.default is MISSING else field.default,
            flag=flag,
        )
