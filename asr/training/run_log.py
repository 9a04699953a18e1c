"""What a run logs: messages to stderr and `train.log`, and every start in `starts.jsonl`.

`starts.jsonl` has a line for each start or resumption: when, on what machine, with which versions
and settings.
"""

import contextlib
import json
import logging
import mmap
import os
import platform
import re
import shlex
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from asr.checkpoint.run_folder import MAX_BYTES, STARTS
from asr.config import to_dict
from asr.errors import AsrError
from asr.files import make_folder, read_committed, write_error, write_text_atomic
from asr.printing import PrintableFormatter
from asr.training.config import Config
from asr.version import package_versions, source_commit

_RELEVANT = re.compile(
    "(CUBLAS|CUDA|DNNL|GOMP|KMP|MKL|OMP|ONEDNN|OPENBLAS|PYTORCH|TORCH)_|"
    "(ATEN_CPU_CAPABILITY|LD_PRELOAD|NVIDIA_TF32_OVERRIDE)$"
)
"""Names of environment variables that change speed or the last bits of a sum."""
_SECRET = re.compile("CREDENTIAL|PASSW|SECRET|TOKEN|_KEY")

_log = logging.getLogger("asr.training")


# --- Messages


@contextlib.contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Write messages to the run's `train.log` as well; only the main process logs at all."""
    logger = logging.getLogger("asr")
    if os.environ.get("RANK", "0") != "0":
        logger.setLevel(logging.ERROR)
        yield
        return
    make_folder(folder)
    try:
        handler = _LogFile(folder / "train.log", encoding="utf-8")
    except OSError as error:
        raise AsrError(write_error(folder / "train.log", error)) from error
    handler.setFormatter(PrintableFormatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    try:
        with _audio_messages_once():
            yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # already reported
            handler.close()


class _LogFile(logging.FileHandler):
    """A log file that, if it cannot be written, says so once and then stays silent."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logging.getLogger("asr").removeHandler(self)
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        _log.warning("%s; continuing without this log", write_error(Path(self.baseFilename), error))


@contextlib.contextmanager
def _audio_messages_once() -> Iterator[None]:
    """Let each message about audio, e.g. that it is resampled, through once.

    Each process that reads recordings would log it again, and every epoch starts new ones.
    """
    logger, once = logging.getLogger("asr.audio"), _OncePerRun()
    logger.addFilter(once)
    try:
        yield
    finally:
        logger.removeFilter(once)


class _OncePerRun(logging.Filter):
    """Drops messages that this process, or one that shares its memory by forking, has logged."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = mmap.mmap(-1, 2**16)  # a byte for each hash value

    def filter(self, record: logging.LogRecord) -> bool:
        place = zlib.crc32(record.getMessage().encode()) % len(self._seen)
        first = self._seen[place] == 0
        self._seen[place] = 1
        return first


# --- Starts


def record_start(
    folder: Path,
    config: Config,
    manifest_sha256: Mapping[str, str],
    device: torch.device,
    world_size: int,
    resumed_step: int | None,
) -> None:
    """Add a line to starts.jsonl; `resumed_step` is None for a fresh start.

    An incomplete last line, as a crash leaves it, is replaced; other lines stay as they are. Raises
    AsrError if the file cannot be written.
    """
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "resumed_step": resumed_step,
        "world_size": world_size,
        "manifest_sha256": dict(manifest_sha256),
        "commit": source_commit(),
        "packages": package_versions(),
        "platform": platform.platform(),
        **_machine(device),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if _RELEVANT.match(name) and not _SECRET.search(name)
        },
        "config": to_dict(config),
    }
    path = folder / STARTS
    lines, newline, last = (read_committed(folder, STARTS, MAX_BYTES) or b"").rpartition(b"\n")
    content = lines + newline
    with suppress(ValueError, RecursionError):  # keep a last line that only lost its newline
        json.loads(last)
        content += last + b"\n"
    write_text_atomic(path, content.decode("utf-8", errors="replace") + json.dumps(start) + "\n")


def _machine(device: torch.device) -> dict[str, Any]:
    """The hardware that the run computes on."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "memory_bytes": None,
        "device": str(device),
    }
    with suppress(AttributeError, OSError, ValueError):  # not every system has these
        found["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        found["devices"] = [
            torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())
        ]
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return found


def _processor() -> str:
    """The model of the processor, as precisely as the system names it."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()
