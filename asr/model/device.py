"""Devices by name, threads, and what the library keeps."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from asr.errors import ConfigError


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


def limit_kernel_cache() -> None:
    """Let oneDNN keep 64 kernels instead of 1024, unless the environment says how many.

    It makes one for every operation and shape of a batch, and shapes hardly ever recur. Must be
    called before the first network runs.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


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
