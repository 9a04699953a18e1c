"""The recordings of a corpus that is imported: their lengths, their channels, and parts of them."""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Literal, NoReturn

from asr.errors import ManifestError
from asr.files import files_below
from asr.signal.audio import AudioInfo, probe

_log = logging.getLogger("asr.import")

_MAX_OVERSHOOT_SECONDS = 0.5
"""How far a segment may end after its recording, as in Kaldi's extract-segments."""


Channel = int | Literal["mean"]
"""Which channel of a recording is imported, counted from 1, or the mean of all."""


def listed_below(folder: Path) -> list[Path]:
    """The files of a corpus in a folder and those below it, sorted, without hidden ones.

    macOS leaves hidden files beside others whose names end alike. Raises ManifestError on a folder
    that cannot be listed: what it has would be missing.
    """

    def refuse(error: OSError) -> NoReturn:
        cause = error.strerror or str(error)
        raise ManifestError(
            f"{error.filename}: cannot list this folder ({cause.lower()}); check its permissions"
        ) from error

    return files_below(folder, refuse)


class Recordings:
    """Recordings that become utterances; of several channels one must be chosen.

    With `damaged`, what is left of damaged ones is imported, with a warning for each.
    """

    def __init__(self, channel: Channel | None = None, damaged: bool = False) -> None:
        self._choice = channel
        self._damaged = damaged
        self.num_shortened, self.max_cut_seconds = 0, 0.0

    def seconds(self, path: Path) -> float:
        """The length of a recording.

        Raises AudioError if it cannot be read, and ManifestError if it has several channels and
        none was chosen (of a call, each may have one speaker), or if it lacks the chosen one.
        """
        info = self._probe(path)
        if self._choice is None and info.channels != 1:
            raise ManifestError(
                f"{path}: expected a recording of one channel, found {info.channels}; say with "
                "--channel which of them the text belongs to (1 is the first), or `mean` if each "
                "has all that is said"
            )
        if isinstance(self._choice, int) and not 1 <= self._choice <= info.channels:
            raise ManifestError(
                f"{path}: expected --channel from 1 to {info.channels}, found {self._choice}"
            )
        return info.duration_seconds

    def channel(self, path: Path) -> int | None:
        """The channel of a recording to be named in the manifest; None: there is one, or the mean.

        Raises as `seconds` does.
        """
        self.seconds(path)
        several = self._probe(path).channels > 1
        return self._choice if several and isinstance(self._choice, int) else None

    def is_damaged(self, path: Path) -> bool:
        """Whether a recording lacks a part, and what is left of it is imported."""
        return self._damaged and bool(probe_damaged_once(path)[1])

    def _probe(self, path: Path) -> AudioInfo:
        return probe_damaged_once(path)[0] if self._damaged else probe_once(path)

    def segment(
        self, path: Path, start: float, end: float | None, where: str
    ) -> tuple[float, float]:
        """Offset and duration of a part of a recording; an end of None is the recording's.

        A part that ends up to half a second after its recording is shortened, as in Kaldi. Raises
        ManifestError, its message starting with `where`, on one that is not in the recording; and
        as `seconds` does.
        """
        whole = self.seconds(path)
        end = whole if end is None else end
        if not 0 <= start < end <= whole + _MAX_OVERSHOOT_SECONDS or start >= whole:
            raise segment_error(where, f"a segment within {whole:.3f} s", f"{start} s to {end} s")
        if end > whole:
            self.num_shortened += 1
            self.max_cut_seconds = max(self.max_cut_seconds, end - whole)
            end = whole
        return start, end - start

    def log_shortened(self, where: Path) -> None:
        """Warn if segments were shortened."""
        if self.num_shortened:
            _log.warning(
                "%s: %d segments end after their recordings, by %.3f s at most; shortened them",
                where,
                self.num_shortened,
                self.max_cut_seconds,
            )


def segment_times(offset: float, seconds: float) -> str:
    """Start and end of a segment in milliseconds, as ids name them."""
    return f"{round(1000 * offset):07}-{round(1000 * (offset + seconds)):07}"


def segment_error(where: str, expected: str, found: str) -> ManifestError:
    """What is wrong with a line that describes a segment."""
    return ManifestError(
        f"{where}: expected {expected}, found {found}; correct the line, or leave the utterance out"
    )


@lru_cache(maxsize=1 << 12)
def probe_once(path: Path) -> AudioInfo:
    """The properties of a recording, which may have many segments."""
    return probe(path)


@lru_cache(maxsize=1 << 12)
def probe_damaged_once(path: Path) -> tuple[AudioInfo, tuple[str, ...]]:
    """The properties of what is left of a recording, and what is wrong with it."""
    damage: list[str] = []
    info = probe(path, damage=damage)
    for problem in damage:
        _log.warning("warning: only what is left is imported of %s", problem)
    return info, tuple(damage)
