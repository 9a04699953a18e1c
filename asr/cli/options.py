"""Options that several verbs share."""

import enum
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.errors import AsrError, ConfigError, DamagedAudioError
from asr.files import is_folder

_log = logging.getLogger("asr.audio")

if TYPE_CHECKING:
    from asr.inference.recognizer import Recognizer
    from asr.signal.audio import RawFormat

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Folder of a trained model, or the name of a shipped one.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Processor threads; 0 takes torch's own choice.")
]
WordTimestamps = Annotated[
    bool,
    typer.Option(
        "--word_timestamps", help="Also find when each word is said, and a confidence for it."
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(
        "--raw",
        metavar="RATE[,CHANNELS[,SUBTYPE[,ENDIAN]]]",
        help="Read headerless files, whose rate is in Hz: --raw 16000 means 16000,1,PCM_16,LITTLE.",
    ),
]


class PrecisionChoice(enum.StrEnum):
    """Of the encoder's matrix products."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    AUTO = "auto"


PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(
        "--precision",
        help="Precision of the encoder: bfloat16 is nearly twice as fast on processors that "
        "multiply it and several times as slow on others, and changes a text now and then; auto "
        "takes it on those only.",
    ),
]


class Damaged(enum.StrEnum):
    """What to do with a recording of which a part is missing."""

    REFUSE = "refuse"
    READ = "read"


DamagedOption = Annotated[
    Damaged,
    typer.Option(
        "--damaged",
        help="A recording of which a part is missing: refuse it, or read what is left and say what "
        "is wrong with it.",
    ),
]

PICTURES = (".pdf", ".png", ".svg")
"""The suffixes of pictures that can be drawn."""

LARGEST_SEED = 2**63 - 1
"""What a signed number of 64 bits can hold, which is how torch keeps a seed."""


def load_recognizer(
    checkpoint: Path,
    device: str,
    threads: int,
    precision: PrecisionChoice = PrecisionChoice.FLOAT32,
) -> "Recognizer":
    """Set the number of threads and load a checkpoint."""
    import torch  # slow to import, and `asr score` does without it

    import asr
    from asr.model.device import return_large_blocks

    return_large_blocks()
    if threads:
        torch.set_num_threads(threads)
    return asr.load(checkpoint, device, precision.value)


def hint(error: AsrError) -> str:
    """What else to do about a recording that was refused, where an option helps."""
    return "; or use what is left of it by --damaged read" * isinstance(error, DamagedAudioError)


def log_damage(damage: Sequence[str]) -> None:
    """Warn of what is wrong with a recording that was read all the same."""
    for problem in damage:
        _log.warning("warning: only what is left is read of %s", problem)


def check_folder(output: Path) -> None:
    """Raise AsrError, before any work is done, if the folder of an output file does not exist."""
    if not is_folder(output.absolute().parent):
        raise AsrError(f"{output}: its folder does not exist; create it first")


def check_picture(plot: Path) -> None:
    """Raise BadParameter if a picture cannot be drawn in the format that its suffix says."""
    if plot.suffix.lower() not in PICTURES:
        raise typer.BadParameter(
            f"--plot: expected a name ending in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}, "
            f"found {plot}"
        )


def parse_raw(text: str | None) -> "RawFormat | None":
    """The layout of headerless files, e.g. `16000` or `16000,1,PCM_16,BIG`, if it is said."""
    from asr.signal.audio import RawFormat

    if text is None:
        return None
    given = text.split(",")
    rate, channels, subtype, endian, *_ = given + ["", "1", "PCM_16", "LITTLE"][len(given) :]
    if len(given) > 4 or not (rate.isdecimal() and channels.isdecimal()):
        raise typer.BadParameter(
            f"expected RATE[,CHANNELS[,SUBTYPE[,ENDIAN]]], found {text!r}", param_hint="--raw"
        )
    try:
        return RawFormat(int(rate), int(channels), subtype, endian)
    except (ConfigError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise typer.BadParameter(str(error), param_hint="--raw") from error


def in_one_line(settings: dict[str, Any]) -> str:
    """Settings as text to read."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
