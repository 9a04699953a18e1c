"""Which channels of a recording are read, and how several become one."""

import math
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError
from asr.signal.containers.headers import audio_error

Channel = int | Literal["mix"]
"""The number of a channel, 1 being the first; or the mean of all."""

_CANCELLED = 0.2
"""Of n channels that have nothing in common, the mean keeps 1/n of their mean energy; of those that
agree, all of it. Where it keeps less than this share of 1/n, they cancel: for two, 10 dB less."""

Samples = npt.NDArray[np.float32]


def check_channel(choice: object) -> None:
    """Raises ConfigError on what is no `Channel`."""
    is_number = isinstance(choice, int) and not isinstance(choice, bool)
    if not is_number and choice != "mix":
        raise ConfigError(
            f"channel: expected the number of one, 1 being the first, or mix, found {choice!r}"
        )


class ChannelSelector:
    """Takes the chosen channels from blocks of one recording."""

    def __init__(self, path: Path, channels: int, choice: Channel) -> None:
        """Raises AudioError on a channel that the recording lacks, ConfigError on a wrong value."""
        check_channel(choice)
        if isinstance(choice, int) and not 1 <= choice <= channels:
            raise audio_error(
                path,
                f"a recording with a channel {choice}",
                f"one of {channels}",
                "name another channel; 1 is the first",
            )
        self._path, self._channels = path, channels
        self._choice: Channel = 1 if choice == "mix" and channels == 1 else choice
        self._of_channels = self._of_mean = 0.0

    @property
    def mixes(self) -> bool:
        """Whether several channels become one."""
        return self._choice == "mix"

    def __call__(self, block: Samples) -> Samples:
        """`(S, channels)` to `(S,)`."""
        if isinstance(self._choice, int):
            return block[:, self._choice - 1].copy()
        with np.errstate(all="ignore"):  # infinities of opposite signs give NaN, which is refused
            mean: Samples = block.mean(axis=1)
            self._of_channels += float(np.square(block, dtype=np.float64).mean(axis=1).sum())
            self._of_mean += float(np.square(mean, dtype=np.float64).sum())
        return mean

    def cancelling(self) -> str:
        """A warning if the mean has far less energy than the channels; empty if not."""
        if not self._of_mean < _CANCELLED / self._channels * self._of_channels:
            return ""
        lost = 10 * math.log10(self._of_channels / max(self._of_mean, 1e-30))
        return (
            f"{self._path}: the channels cancel out: their mean has {lost:.0f} dB less energy than "
            "they have; read one of them (`--channel 1`), or convert the file, e.g. by "
            "`sox FILE NEW.wav remix 1`"
        )
