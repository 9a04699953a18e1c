"""Checks that many audio files exist by listing their folders instead of asking for each file.

A million `stat` calls take minutes on a network file system; listing the folders takes seconds.
"""

import os
from collections import Counter
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

_STAT_LIMIT = 256
"""Files of a folder that are looked up one by one before the folder is listed."""
_CHUNK = 4096
"""Paths that are collected before they are checked together."""


class FileIndex:
    """Takes paths in order and reports the first one that is not a file.

    Holds one chunk of paths, and eight bytes for each file of a listed folder: the hash of its
    name. Two names of a folder with the same hash (a chance of 1 in 10⁷ for a million files) may
    hide a missing file until it is read; an existing file is never reported as missing.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, str, int]] = []
        self._lookups: Counter[str] = Counter()
        self._name_hashes: dict[str, NDArray[np.int64]] = {}

    def add(self, path: str, line_number: int) -> tuple[str, int] | None:
        """Add a path; returns path and line number of the first one found to be missing so far.

        Paths are checked a chunk at a time, so a missing file may be reported later; `flush`
        checks the rest.
        """
        folder, _, name = path.rpartition(os.sep)
        self._pending.append((folder, name, line_number))
        return self.flush() if len(self._pending) >= _CHUNK else None

    def flush(self) -> tuple[str, int] | None:
        """Check all paths added since the last check; returns the first missing one."""
        pending, self._pending = self._pending, []
        by_folder: dict[str, list[int]] = {}
        for i, (folder, _, _) in enumerate(pending):
            by_folder.setdefault(folder, []).append(i)
        to_stat: list[int] = []
        for folder, indices in by_folder.items():
            self._lookups[folder] += len(indices)
            # A short manifest may name a few files of a huge folder: then listing costs more.
            if self._lookups[folder] <= _STAT_LIMIT:
                to_stat += indices
                continue
            hashes = np.array([hash(pending[i][1]) for i in indices], np.int64)
            listed = np.isin(hashes, self._hashes_of_names(folder))
            # Not listed is not yet missing: "wav/../a.wav" or another case of the letters on a
            # file system that ignores it. `stat` decides.
            to_stat += np.array(indices)[~listed].tolist()
        # In manifest order, so that the first missing file is the one reported.
        for i in sorted(to_stat):
            folder, name, line_number = pending[i]
            path = f"{folder}{os.sep}{name}"
            # Path.is_file raises on names that are too long and on folders without permission.
            if not os.path.isfile(path):  # noqa: PTH113
                return path, line_number
        return None

    def _hashes_of_names(self, folder: str) -> NDArray[np.int64]:
        if folder not in self._name_hashes:
            hashes: list[int] = []
            with suppress(OSError, ValueError), os.scandir(folder or os.sep) as files:
                hashes = [hash(file.name) for file in files if file.is_file()]
            self._name_hashes[folder] = np.array(hashes, np.int64)
        return self._name_hashes[folder]
