"""The memory that this process can have, has had at most, and keeps between training steps."""

import ctypes
import math
import os
import resource
import sys
from pathlib import Path

import torch

from asr.model.device import limit_kernel_cache

_LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")
_USAGES = ("memory.current", "memory.usage_in_bytes")
_RECLAIMABLE = ("inactive_file", "total_inactive_file")
"""Lines of memory.stat that count cached pages of files, which the system can drop."""


def available_bytes(device: torch.device) -> int:
    """Memory that this process can have; on the CPU, what it already holds included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory() + peak_bytes(device)


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has held so far: on the GPU, or resident on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def tune_allocators() -> None:
    """Let glibc keep the memory that every training step needs, and oneDNN fewer kernels.

    By default glibc returns tens of MB to the system after every step and gets them back page by
    page, which takes a tenth of the step's time; oneDNN's kernels take a MB each. Must be called
    before the first step.
    """
    limit_kernel_cache()
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def limit_memory(size: int) -> None:
    """Make allocations beyond `size` bytes fail, so that the system need not kill processes."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that can be allocated without swapping, within the limits of cgroups (containers).

    `root` is where /proc and /sys are. Without them (macOS), all memory of the machine.
    """
    free = min(_of_machine(root), *(_of_cgroup(folder) for folder in _cgroups(root)))
    return max(0, int(free))


def _of_machine(root: Path) -> float:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroups(root: Path) -> list[Path]:
    """Folders whose limits apply to this process: those of its cgroup (v1 and v2) and its parents.

    A container often sees its own cgroup as the topmost folder, whatever its path.
    """
    folders = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/memory"]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = folders[1] if controllers else folders[0]
        parts = Path(path.lstrip("/")).parts
        folders += [top.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def _of_cgroup(folder: Path) -> float:
    """Bytes that a cgroup has left; infinite where it sets no limit."""
    limit = min((_number(folder / name) for name in _LIMITS), default=math.inf)
    used = min((_number(folder / name) for name in _USAGES), default=math.inf)
    if math.isinf(limit) or math.isinf(used):
        return limit
    fields = (line.split() for line in _lines(folder / "memory.stat"))
    reclaimable = max((int(field[1]) for field in fields if field[0] in _RECLAIMABLE), default=0)
    return limit - used + reclaimable


def _number(path: Path) -> float:
    """The number in a file; infinite for "max" and for a missing file."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else math.inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
