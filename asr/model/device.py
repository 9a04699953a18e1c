"""Devices by name, threads, and what the library keeps."""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from asr.errors import ConfigError
from asr.printing import shown


def torch_device(name: str) -> torch.device:
    """The device with this name. Raises ConfigError if the machine or this torch lacks it."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)  # a device can be named without being there
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device {name}: not available here ({str(error).splitlines()[0]}); expected cpu, "
            "or cuda where torch sees a GPU"
        ) from error
    return device


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch cannot be asked.
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, object] = get_capabilities()
    return bool(capabilities.get("avx512_bf16"))


Precision = Literal["float32", "bfloat16", "auto"]
"""Of matrix products; `auto` is bfloat16 where the hardware multiplies it natively."""


def precision_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of matrix products. Raises ConfigError on an unknown precision."""
    if precision not in get_args(Precision):
        expected = ", ".join(get_args(Precision))
        raise ConfigError(f"precision: expected one of {expected}, found {shown(precision)}")
    if precision == "bfloat16" or (precision == "auto" and has_native_bfloat16(device)):
        return torch.bfloat16
    return torch.float32


def limit_kernel_cache() -> None:
    """Let oneDNN keep 64 kernels instead of 1024, unless the environment says how many.

    It makes one for every operation and shape of a batch, and shapes hardly ever recur. Must be
    called before the first network runs.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants of glibc's malloc.h."""
_LARGE_BYTES = 16 << 20


def return_large_blocks() -> None:
    """Have glibc return blocks of 16 MB and more to the system when they are freed.

    Otherwise glibc keeps larger and larger ones, in which those of other batches leave gaps: over
    hours of audio a process grows by a tenth and more. Concerns the whole process.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)


@contextmanager
def one_core_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of which each computes on one core; what has not begun at the end is given up.

    torch's own threads wait for each other at every operation, which takes longer than the work
    where another process is busy.
    """
    own = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(own)  # it is also the number of threads started from now on
