"""A CTC speech recogniser that one person can train, trust and ship.

import asr
recognizer = asr.load("checkpoints/alphanumeric")
print(recognizer.transcribe("recording.wav").text)
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from asr.version import __version__ as __version__

if TYPE_CHECKING:
    from asr.inference.recognizer import Recognizer

# Spinning OpenMP threads slow a step thirtyfold beside another busy process; torch reads this
# when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def load(checkpoint: str | Path, device: str = "cpu") -> "Recognizer":
    """The recogniser of a checkpoint folder. Raises CheckpointError where it cannot be trusted."""
    from asr.inference.recognizer import Recognizer  # torch is imported only when it is needed

    return Recognizer.load(checkpoint, device)
