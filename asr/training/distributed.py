"""Several processes that train one model, as `torchrun` starts them.

Each process takes its share of every batch, and all have the same weights after every step; only
the main one (rank 0) writes files. `torchrun --nproc_per_node 2 -m asr train …` needs no further
setting: rank, size and address come from the environment. nccl connects GPUs, gloo CPUs.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from asr.errors import AsrError, ConfigError

T = TypeVar("T")

_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another one that is alive but does not answer."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    size: int = 1
    restarts: int = 0
    """How often the launcher has restarted the run after a failure."""

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes the run's folder."""
        return self.rank == 0

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Add up each of the values over all processes."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor)
        total: list[float] = tensor.tolist()
        return total

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """The main process's value, in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def broadcast_weights(self, model: nn.Module) -> None:
        """Give every process the weights of the main one."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def data_parallel(self, model: nn.Module) -> nn.Module:
        """The model, its gradients averaged over the processes as they are computed."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model)


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process when torchrun has started one process for each GPU of a machine.

    Raises ConfigError if there are more processes than GPUs.
    """
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        local, available = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= available:
            raise ConfigError(
                f"process {local} of this machine has no GPU: torch sees {available}; start as "
                f"many processes as there are GPUs (torchrun --nproc_per_node {available})"
            )
        return torch.device("cuda", local)
    return device


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """Join the group of processes that a launcher has started; without one, a group of one.

    Raises AsrError when another process of the group dies.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
        start = count_start(store, rank, size)
        store = PrefixStore(f"start {start}", store)
        dist.init_process_group(backend, timeout=_TIMEOUT, rank=rank, world_size=size, store=store)
        restarts = max(start - 1, int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")))
        yield Group(rank, size, restarts)
    except RuntimeError as error:
        if not lost_connection(error):
            raise
        rank_name = os.environ.get("RANK", "0")
        raise AsrError(
            f"process {rank_name} of {size}: another process of this run has ended or cannot be "
            f"reached ({' '.join(str(error).split())[:160]}); its own error message says why"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def count_start(store: Store, rank: int, size: int) -> int:
    """How many times the processes of a launcher have been started, this time included.

    A launcher keeps its store when it restarts its processes, and with it the addresses of the dead
    ones (pytorch issue 135712); its own count of restarts differs from machine to machine. So the
    main process counts the starts, and answers every other one under a random name, which no dead
    process can have used.
    """
    if rank:
        name = secrets.token_hex(8)
        store.set(f"name/{rank}", name)
        start = int(store.get(f"start of/{name}"))
        store.set(f"received/{start}/{rank}", "")
        return start
    start = int(store.add("starts", 1))
    end = time.monotonic() + _TIMEOUT.total_seconds()
    missing = set(range(1, size))
    while missing:
        for other in missing:
            if store.check([f"name/{other}"]):
                name = store.get(f"name/{other}").decode()
                store.set(f"start of/{name}", str(start))
        missing = {i for i in missing if not store.check([f"received/{start}/{i}"])}
        if time.monotonic() > end:
            raise AsrError(
                f"{len(missing)} of the {size} processes have not started within {_TIMEOUT}; check "
                "that every machine runs the launcher with the same endpoint"
            )
        time.sleep(0.01)
    return start


def lost_connection(error: BaseException) -> bool:
    """Whether an error of torch means that another process has died."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    signs = ("connection closed by peer", "connection reset", "gloo", "broken pipe", "nccl")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
