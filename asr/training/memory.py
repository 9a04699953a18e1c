"""How much memory this process may still take, how much it has taken, and what it keeps."""

import ctypes
import math
import os
import resource
import sys
from pathlib import Path

import torch

_LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")
_USAGES = ("memory.current", "memory.usage_in_bytes")
_RECLAIMABLE = ("inactive_file", "total_inactive_file")
"""Lines of memory.stat: pages of files that give way when memory is wanted."""


def available_bytes(device: torch.device) -> int:
    """Memory that this process can have, what it holds on the processor's side included."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory() + peak_bytes(device)


def peak_bytes(device: torch.device) -> int:
    """The most that this process has held so far: of the GPU, or else resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def settle_memory() -> None:
    """Let the libraries below keep what each training step needs anew, and no more.

    glibc gives tens of MB back to the system after every step, which come again page by page: a
    tenth of the step's time. oneDNN keeps 1024 kernels, a MB each, of batch shapes that hardly ever
    come again: it keeps as many as a step needs. Must be called before the first step.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # other C libraries do without
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def limit_memory(size: int) -> None:
    """Let an allocation beyond `size` bytes fail, where otherwise the system would kill."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that can be taken without swapping: the machine's, or less by a cgroup's limit.

    `root` is where /proc and /sys lie. Without them (macOS), all memory of the machine.
    """
    free = min(_of_machine(root), *(_of_cgroup(folder) for folder in _cgroups(root)))
    return max(0, int(free))


def _of_machine(root: Path) -> float:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroups(root: Path) -> list[Path]:
    """Folders whose limits hold for this process: its own cgroup's (v1 and v2) and all above.

    A container often sees its own cgroup as the topmost folder, under whatever path.
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
    """What a cgroup leaves; infinite where it sets no limit."""
    limit = min((_number(folder / name) for name in _LIMITS), default=math.inf)
    used = min((_number(folder / name) for name in _USAGES), default=math.inf)
    if math.isinf(limit) or math.isinf(used):
        return limit
    fields = (line.split() for line in _lines(folder / "memory.stat"))
    reclaimable = max((int(field[1]) for field in fields if field[0] in _RECLAIMABLE), default=0)
    return limit - used + reclaimable


def _number(path: Path) -> float:
    """The number in a file; infinite for "max" and where there is no such file."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else math.inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
