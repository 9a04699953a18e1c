"""Linear recurrences over time as one differentiable operation."""

from typing import Any

import torch
from torch import Tensor


def linear_scan(decay: Tensor, drive: Tensor, initial: Tensor) -> Tensor:
    """h_t = decay_t · h_(t-1) + drive_t for all t: `(T, …)`, `(T, …)` and `(…)` to `(T, …)`."""
    drive = torch.cat([torch.addcmul(drive[:1], decay[:1], initial[None]), drive[1:]])
    states: Tensor = _LinearScan.apply(decay, drive)  # type: ignore[no-untyped-call]
    return states


class _LinearScan(torch.autograd.Function):
    """The scan from a state of 0. Its gradient is a scan backward in time."""

    @staticmethod
    def forward(context: Any, decay: Tensor, drive: Tensor) -> Tensor:
        states = _in_order(decay, drive) if decay.device.type == "cpu" else _doubling(decay, drive)
        context.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = context.saved_tensors
        # What reaches h_t: its own gradient, and decay_(t+1) of what reaches h_(t+1).
        later = torch.cat([decay[1:], torch.zeros_like(decay[:1])])
        drives: Tensor = _LinearScan.apply(later.flip(0), gradient.flip(0)).flip(0)  # type: ignore[no-untyped-call]
        earlier = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        return drives * earlier, drives


def _in_order(decay: Tensor, drive: Tensor) -> Tensor:
    """One frame after the other: the least work."""
    states = drive.clone()
    frames = states.unbind()
    for before, now, kept in zip(frames, frames[1:], decay.unbind()[1:], strict=False):
        now.addcmul_(kept, before)
    return states


def _doubling(decay: Tensor, drive: Tensor) -> Tensor:
    """All frames at once in log2(T) passes (Hillis & Steele 1986), for devices of many cores.

    After each pass a frame holds the effect of twice as many frames before it.
    """
    reach = 1
    while reach < len(decay):
        near, far = slice(reach, None), slice(None, -reach)
        drive = torch.cat([drive[:reach], torch.addcmul(drive[near], decay[near], drive[far])])
        decay = torch.cat([decay[:reach], decay[near] * decay[far]])
        reach *= 2
    return drive
