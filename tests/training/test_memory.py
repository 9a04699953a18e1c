"""Memory of this process and of the machine, with the limits of containers."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from asr.training import memory
from tests.support import run_python

CPU = torch.device("cpu")


def tree(root: Path, files: dict[str, str]) -> Path:
    """Files under a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n", encoding="utf-8")
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    8000 kB"}


V2 = "sys/fs/cgroup/"


V1 = "sys/fs/cgroup/memory/"


UNLIMITED = "9223372036854771712"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8_192_000),
        ({"proc/self/cgroup": "0::/a/b", V2 + "a/b/memory.max": "max"}, 8_192_000),
        ({"proc/self/cgroup": "0::/a/b", V2 + "a/b/memory.max": "5000"}, 5000),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                V2 + "a/b/memory.max": "max",
                V2 + "a/b/memory.current": "1",
                V2 + "a/memory.max": "5000",
                V2 + "a/memory.current": "2000",
                V2 + "a/memory.stat": "anon 1500\ninactive_file 400\nactive_file 50",
            },
            3400,
        ),
        ({V2 + "memory.max": "7000", V2 + "memory.current": "6500"}, 500),
        ({"proc/self/cgroup": "0::/", V2 + "memory.max": "9", V2 + "memory.current": "20"}, 0),
        ({V2 + "memory.max": "7000", V2 + "memory.high": "6000"}, 6000),
        (
            {
                "proc/self/cgroup": "8:pids:/\n4:cpu,memory:/docker/x\n0::/",
                V1 + "docker/x/memory.limit_in_bytes": "10000",
                V1 + "docker/x/memory.usage_in_bytes": "4000",
                V1 + "docker/x/memory.stat": "inactive_file 1\ntotal_inactive_file 1000",
                V1 + "memory.limit_in_bytes": UNLIMITED,
                V1 + "memory.usage_in_bytes": "123",
            },
            7000,
        ),
        # Inside a container the path is the host's, and what is mounted is its own cgroup.
        ({"proc/self/cgroup": "4:memory:/gone", V1 + "memory.limit_in_bytes": "3000"}, 3000),
    ],
)
def test_free_memory_honours_cgroups(tmp_path: Path, files: dict[str, str], free: int) -> None:
    assert memory.free_memory(tree(tmp_path, MEMINFO | files)) == free


def test_free_memory_without_proc_is_the_machine(tmp_path: Path) -> None:
    assert memory.free_memory(tmp_path) > 64 * 2**20
    assert memory.free_memory(tree(tmp_path, {"proc/meminfo": "MemTotal: 5 kB"})) > 64 * 2**20


def test_memory_of_this_process() -> None:
    peak = memory.peak_bytes(CPU)

    assert 50e6 < peak < 50e9
    assert memory.available_bytes(CPU) >= peak


def test_memory_of_a_gpu_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (7, 80))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 5)
    gpu = torch.device("cuda")

    assert (memory.available_bytes(gpu), memory.peak_bytes(gpu)) == (7, 5)


@pytest.mark.parametrize(("hard", "limit"), [(resource.RLIM_INFINITY, 100), (200, 100), (50, 50)])
def test_limit_stays_below_the_one_that_is_set(
    monkeypatch: pytest.MonkeyPatch, hard: int, limit: int
) -> None:
    calls: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (60, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda *call: calls.append(call))

    memory.limit_memory(100)

    assert calls == [(resource.RLIMIT_DATA, (limit, hard))]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds to the limit")
def test_limited_memory_fails_and_does_not_kill() -> None:
    code = "from asr.training.memory import limit_memory\nlimit_memory(2**30)\nbytearray(2**31)"

    done = run_python("-c", code)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "MemoryError")
