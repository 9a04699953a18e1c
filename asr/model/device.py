"""Devices by name, and threads."""

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
