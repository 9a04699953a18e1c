"""One training at a time in a run's folder.

The lock file says who holds it. The system releases the lock of a process that ends, however it
does, so that none is left behind; it is not inherited by data loading processes.
"""

import contextlib
import errno
import json
import logging
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from asr.errors import AsrError
from asr.files import make_folder, remove_partial, write_error
from asr.training.state import STATES

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are the user's mistake
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_HELD = (errno.EACCES, errno.EAGAIN)

_log = logging.getLogger("asr.training")


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, which is made if it is missing, in its main process.

    What a run that was killed has left half written is removed. Raises AsrError if another process
    holds the lock, naming it, or if the folder cannot be written.
    """
    if fcntl is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    make_folder(folder)
    try:
        file = (folder / LOCK).open("a+b")
    except OSError as error:
        raise AsrError(write_error(folder / LOCK, error)) from error
    with file:
        _acquire(file, folder)
        for place in ("", STATES, "weights"):
            remove_partial(folder / place)
        yield


def _acquire(file: BinaryIO, folder: Path) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise AsrError(
                f"{folder}: {_holder(file)} is training in this folder; wait until it has ended, "
                "or choose another --output_dir"
            ) from None
        _log.warning(
            "%s: this file system has no locks (%s); see that no other process trains in this "
            "folder",
            *(folder, error.strerror or error),
        )
    me = {
        "pid": os.getpid(),
        "host": platform.node(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # the lock is held even if its file cannot say by whom
        file.truncate(0)
        file.write(json.dumps(me).encode() + b"\n")
        file.flush()


def _holder(file: BinaryIO) -> str:
    """The process that holds the lock, as it has described itself."""
    try:
        file.seek(0)
        held = json.loads(file.read(4096))
        return f"process {held['pid']} on {held['host']}, started {held['started']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
