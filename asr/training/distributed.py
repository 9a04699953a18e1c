"""Several processes that train one model, as `torchrun` starts them.

Each takes its share of every batch and all have the same weights after every step; only the first
writes. `torchrun --nproc_per_node 2 -m asr train …` needs no further setting: rank, size and
address come from the environment. nccl connects GPUs, gloo processors.
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

_PATIENCE = timedelta(minutes=30)
"""How long a process waits for another one that is alive and silent."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    size: int = 1
    restarts: int = 0
    """How often the launcher has started the run anew after a failure."""

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sums over all processes of some numbers."""
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

    def from_first(self, value: T) -> T:
        """The first process's value, everywhere."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def share(self, model: nn.Module) -> None:
        """Give all processes the weights of the first."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the processes as they are computed."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model)


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, where several on one machine were asked for as `cuda`."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        local, present = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= present:
            raise ConfigError(
                f"process {local} of this machine has no GPU: torch sees {present}; start as many "
                f"processes as GPUs (torchrun --nproc_per_node {present})"
            )
        return torch.device("cuda", local)
    return device


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The group of processes that a launcher has started; of one alone where there is none.

    Raises AsrError when another process ends before its time.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
        start = count_start(store, rank, size)
        store = PrefixStore(f"start {start}", store)
        dist.init_process_group(backend, timeout=_PATIENCE, rank=rank, world_size=size, store=store)
        restarts = max(start - 1, int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")))
        yield Group(rank, size, restarts)
    except RuntimeError as error:
        if not lost_connection(error):
            raise
        rank_name = os.environ.get("RANK", "0")
        raise AsrError(
            f"process {rank_name} of {size}: another process of this run has ended or cannot be "
            f"reached ({' '.join(str(error).split())[:160]}); its own message says why"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def count_start(store: Store, rank: int, size: int) -> int:
    """How many times the processes of a launcher have met, this time included.

    A launcher keeps its store when it starts processes anew, and with it the addresses of those
    that are gone (pytorch issue 135712); its own count differs from machine to machine. So the
    first process counts, and tells each other one that calls under a name of its own.
    """
    if rank:
        name = secrets.token_hex(8)
        store.set(f"name/{rank}", name)
        start = int(store.get(f"start of/{name}"))
        store.set(f"heard/{start}/{rank}", "")
        return start
    start = int(store.add("starts", 1))
    end = time.monotonic() + _PATIENCE.total_seconds()
    missing = set(range(1, size))
    while missing:
        for other in missing:
            if store.check([f"name/{other}"]):
                name = store.get(f"name/{other}").decode()
                store.set(f"start of/{name}", str(start))
        missing = {i for i in missing if not store.check([f"heard/{start}/{i}"])}
        if time.monotonic() > end:
            raise AsrError(f"{len(missing)} of {size} processes have not come within {_PATIENCE}")
        time.sleep(0.01)
    return start


def lost_connection(error: BaseException) -> bool:
    """Whether an error of torch says that another process is gone."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    signs = ("connection closed by peer", "connection reset", "gloo", "broken pipe", "nccl")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
