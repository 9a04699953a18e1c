"""Whether a million recordings exist, asked of their folders rather than of each."""

import os
from collections import Counter
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

_FEW = 256
"""So many files of a folder are asked for singly before the folder is listed."""
_CHUNK = 4096


class Presence:
    """Takes paths in and says which is the first that is no file.

    Held are a chunk of paths, and of each folder that is listed eight bytes a file. A hash that two
    names of a folder share (1 in 10⁷ for a million files) may hide a file that is missing until it
    is read; a file that exists is never taken for missing.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str, int]] = []
        self._asked: Counter[str] = Counter()
        self._listed: dict[str, NDArray[np.int64]] = {}

    def missing(self, path: str, number: int) -> tuple[str, int] | None:
        """Take in a path and its line number; of the paths so far, the first found missing."""
        folder, _, name = path.rpartition(os.sep)
        self._waiting.append((folder, name, number))
        return self.rest() if len(self._waiting) >= _CHUNK else None

    def rest(self) -> tuple[str, int] | None:
        """Of the paths that were not yet asked for, the first that is missing."""
        waiting, self._waiting = self._waiting, []
        folders: dict[str, list[int]] = {}
        for i, (folder, _, _) in enumerate(waiting):
            folders.setdefault(folder, []).append(i)
        doubtful: list[int] = []
        for folder, places in folders.items():
            self._asked[folder] += len(places)
            if self._asked[folder] <= _FEW:
                doubtful += places
                continue
            hashes = np.array([hash(waiting[i][1]) for i in places], np.int64)
            known = np.isin(hashes, self._names(folder))
            doubtful += np.array(places)[~known].tolist()
        for i in sorted(doubtful):
            folder, name, number = waiting[i]
            path = f"{folder}{os.sep}{name}"
            # Path.is_file raises on a name too long and on a folder that may not be entered.
            if not os.path.isfile(path):  # noqa: PTH113
                return path, number
        return None

    def _names(self, folder: str) -> NDArray[np.int64]:
        if folder not in self._listed:
            hashes: list[int] = []
            with suppress(OSError, ValueError), os.scandir(folder or os.sep) as entries:
                hashes = [hash(entry.name) for entry in entries if entry.is_file()]
            self._listed[folder] = np.array(hashes, np.int64)
        return self._listed[folder]
