"""The linear scan: by its definition, both ways of computing it, and its gradients."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asr.model.scan import _doubling, _in_order, linear_scan


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@given(st.integers(1, 70))
def test_each_state_is_the_one_before_decayed_and_driven(frames: int) -> None:
    decay, drive, state = noise(frames, 2, 3).sigmoid(), noise(frames, 2, 3, seed=1), noise(2, 3)

    states = linear_scan(decay, drive, state)

    for kept, entering, found in zip(decay, drive, states, strict=True):
        state = kept * state + entering
        torch.testing.assert_close(found, state)


@given(st.integers(1, 70))
def test_passes_over_all_frames_are_one_frame_after_the_other(frames: int) -> None:
    decay, drive = noise(frames, 2).sigmoid(), noise(frames, 2, seed=1)

    torch.testing.assert_close(_doubling(decay, drive), _in_order(decay, drive))


def test_gradients_are_finite_differences_also_the_second_ones() -> None:
    decay, drive, state = noise(6, 2).sigmoid(), noise(6, 2, seed=1), noise(2, seed=2)
    inputs = tuple(tensor.requires_grad_() for tensor in (decay, drive, state))

    assert torch.autograd.gradcheck(linear_scan, inputs)
    assert torch.autograd.gradgradcheck(linear_scan, inputs)
