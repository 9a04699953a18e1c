"""Devices by name."""

import pytest

from asr.errors import ConfigError
from asr.model.device import torch_device


def test_the_cpu_is_a_device() -> None:
    assert torch_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["toaster", "cuda:77"])
def test_a_device_that_is_not_available_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--device {name}: not available here .*expected cpu"):
        torch_device(name)
