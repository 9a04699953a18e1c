"""A CTC speech recogniser that one person can train, trust and ship.

import asr
recognizer = asr.load("english")
print(recognizer.transcribe("recording.wav").text)
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.version import __version__

if TYPE_CHECKING:
    from asr.errors import AsrError
    from asr.inference.recognizer import Recognizer
    from asr.inference.transcript import Transcript
    from asr.model.device import Precision

# Spinning OpenMP threads slow a step thirtyfold beside another busy process; torch reads this
# when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = ["AsrError", "Recognizer", "Transcript", "__version__", "load"]


def load(
    checkpoint: str | Path, device: str = "cpu", precision: "Precision" = "float32"
) -> "Recognizer":
    """The recogniser of a checkpoint: the path of its folder, or the name of a shipped one.

    `precision` is as for `Recognizer.load`. Raises CheckpointError where there is none or it is
    damaged, ConfigError on an unknown device or precision.
    """
    from asr.inference.recognizer import Recognizer  # torch is imported only when it is needed

    return Recognizer.load(checkpoint, device, precision)


def __getattr__(name: str) -> Any:
    """The public classes, imported when they are first asked for: most bring torch."""
    if name == "AsrError":
        from asr.errors import AsrError

        return AsrError
    if name == "Recognizer":
        from asr.inference.recognizer import Recognizer

        return Recognizer
    if name == "Transcript":
        from asr.inference.transcript import Transcript

        return Transcript
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
