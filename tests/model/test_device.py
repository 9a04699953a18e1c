"""Devices by name, and what the library keeps."""

import os

import pytest

from asr.errors import ConfigError
from asr.model.device import limit_kernel_cache, torch_device


def test_the_cpu_is_a_device() -> None:
    assert torch_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:77"])
def test_a_device_that_is_not_available_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--device {name}: not available here .*expected cpu"):
        torch_device(name)


CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def test_fewer_kernels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPACITY, "to be restored")
    monkeypatch.delenv(CAPACITY)

    limit_kernel_cache()

    assert 0 < int(os.environ[CAPACITY]) < 1024


def test_as_many_kernels_are_kept_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPACITY, "7")

    limit_kernel_cache()

    assert os.environ[CAPACITY] == "7"
