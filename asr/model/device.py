"""Devices by name."""

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
