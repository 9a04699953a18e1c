"""Layers: what they compute, and that padding never reaches a real frame."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from asr.model.cells import Lstm
from asr.model.layers import Bidirectional, ConvSubsampling, Dropout, reverse_frames
from asr.model.norms import length_mask

lengths_lists = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(lengths_lists, st.integers(0, 3))
def test_frames_turn_around_within_their_length(lengths: list[int], spare: int) -> None:
    total = max(lengths) + spare
    frames = noise(len(lengths), total, 2)
    counts = torch.tensor(lengths)

    turned = reverse_frames(frames, counts)

    for row, original, length in zip(turned, frames, lengths, strict=True):
        assert torch.equal(row[:length], original[:length].flip(0))
        assert torch.equal(row[length:], original[length:])
    assert torch.equal(reverse_frames(turned, counts), frames)


@given(lengths_lists, st.integers(0, 3))
def test_gradient_turns_around_with_the_frames(lengths: list[int], spare: int) -> None:
    total, counts = max(lengths) + spare, torch.tensor(lengths)
    frames = noise(len(lengths), total, 2).requires_grad_()
    weight = noise(len(lengths), total, 2, seed=1)

    (gradient,) = torch.autograd.grad((reverse_frames(frames, counts) * weight).sum(), frames)

    time = torch.arange(total)
    source = torch.stack([torch.where(time < n, n - 1 - time, time) for n in counts])
    turned = frames.gather(1, source[:, :, None].expand_as(frames))
    (expected,) = torch.autograd.grad((turned * weight).sum(), frames)
    assert torch.equal(gradient, expected)


def test_turning_around_can_be_differentiated_twice() -> None:
    frames = noise(2, 4, 3).double().requires_grad_()

    assert torch.autograd.gradgradcheck(
        lambda x: reverse_frames(x, torch.tensor([4, 2])).square(), frames
    )


@given(
    st.floats(0.001, 0.99),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 7)),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
def test_dropout_takes_values_out_and_scales_the_rest(
    p: float, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    frames = (3 + noise(*shape).abs()).to(dtype).requires_grad_()
    kept = round((1 - p) * 2**16)

    output = Dropout(p)(frames)

    (gradient,) = torch.autograd.grad(output.sum(), frames)
    assert output.dtype == gradient.dtype == dtype
    scale = torch.tensor(2**16 / kept, dtype=dtype)
    assert torch.equal(gradient, scale * (output != 0))
    assert torch.equal(output, frames * gradient)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_dropout_keeps_the_expectation_and_forgets_its_neighbours(p: float) -> None:
    torch.manual_seed(0)
    layer, frames = Dropout(p), torch.ones(40, 50, 64)

    kept = (layer(frames) > 0).double()

    count, spread = frames.numel(), math.sqrt(p * (1 - p))
    assert abs(layer(frames).mean() - 1) < 4 * spread / (1 - p) / math.sqrt(count)
    for axis in range(3):  # a number of 64 bits serves four neighbours
        for distance in (1, 2, 3, 4):
            near = kept.narrow(axis, 0, kept.shape[axis] - distance)
            far = kept.narrow(axis, distance, kept.shape[axis] - distance)
            correlation = float(((near - (1 - p)) * (far - (1 - p))).mean()) / spread**2
            assert abs(correlation) < 5 / math.sqrt(near.numel())
    lanes = (layer(torch.ones(1, 1, 2**16)) > 0).double().view(-1, 4).mean(dim=0)
    assert torch.all((lanes - (1 - p)).abs() < 4 * spread / math.sqrt(2**14))


def test_dropout_follows_the_seed_and_leaves_use_alone() -> None:
    layer, frames = Dropout(0.4), noise(3, 5, 7)

    def drawn() -> Tensor:
        torch.manual_seed(7)
        output: Tensor = layer(frames)
        return output

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), layer(frames))
    assert layer.eval()(frames) is frames or torch.equal(layer(frames), frames)
    assert torch.equal(Dropout(0.0).train()(frames), frames)
    assert not layer.state_dict()


def test_halves_see_the_past_and_the_future() -> None:
    layer = Bidirectional(lambda size: Lstm(size, 4), 3)
    frames, lengths = noise(1, 8, 3), torch.tensor([8])
    changed = frames.clone()
    changed[:, 4] += 1

    differs = (layer(frames, lengths) != layer(changed, lengths))[0]

    assert differs[:, :4].any(dim=1).tolist() == [False] * 4 + [True] * 4
    assert differs[:, 4:].any(dim=1).tolist() == [True] * 5 + [False] * 3


def convolve(plane: Tensor, layer: nn.Conv2d, stride: int) -> Tensor:
    """A 3 × 3 convolution of `(channels, T, F)` by its definition, zeros around."""
    around = nn.functional.pad(plane, (1, 1, 1, 1))
    assert layer.bias is not None
    rows = [
        torch.einsum("cij,ocij->o", around[:, t : t + 3, f : f + 3], layer.weight) + layer.bias
        for t in range(0, plane.shape[1], stride)
        for f in range(0, plane.shape[2], 2)
    ]
    width = -(-plane.shape[2] // 2)
    return torch.stack(rows, dim=1).reshape(len(layer.weight), -1, width).relu()


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("features", [7, 8])
def test_subsampling_is_two_convolutions(factor: int, features: int) -> None:
    layer = ConvSubsampling(features, 2, factor)
    frames = noise(1, 9, features)

    output = layer(frames, torch.tensor([9]))

    plane = frames
    for convolution, stride in zip(layer.convolutions, layer.strides, strict=True):
        assert isinstance(convolution, nn.Conv2d)
        plane = convolve(plane, convolution, stride)
    expected = plane.permute(1, 0, 2).flatten(1)
    torch.testing.assert_close(output[0], expected, atol=1e-6, rtol=1e-5)
    assert output.shape[2] == layer.output_size


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_an_output_frame_depends_on_no_frame_behind_its_lookahead(factor: int) -> None:
    layer = ConvSubsampling(8, 2, factor)
    for parameter in layer.parameters():
        parameter.data.abs_()  # so that no unit is off
    frames, lengths = noise(1, 24, 8).abs().requires_grad_(), torch.tensor([24])
    for number, output in enumerate(layer(frames, lengths)[0][:4]):
        (gradient,) = torch.autograd.grad(output.sum(), frames, retain_graph=True)
        last = int(gradient[0].abs().sum(dim=1).nonzero().max())
        assert last == (number + 1) * factor - 1 + layer.lookahead


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_the_factor_can_be_changed(factor: int) -> None:
    layer, expected = ConvSubsampling(8, 2, 2), ConvSubsampling(8, 2, factor)
    expected.load_state_dict(layer.state_dict())
    frames, lengths = noise(2, 9, 8), torch.tensor([9, 5])

    layer.set_factor(factor)

    assert torch.equal(layer(frames, lengths), expected(frames, lengths))
    assert torch.equal(layer.output_lengths(lengths), expected.output_lengths(lengths))


@given(st.sampled_from([1, 2, 3, 4]), st.integers(1, 300))
def test_subsampled_length_is_rounded_up(factor: int, frames: int) -> None:
    layer = _SUBSAMPLINGS[factor]
    lengths = torch.tensor([frames])

    assert layer.output_lengths(lengths).tolist() == [-(-frames // factor)]
    assert layer(torch.zeros(1, frames, 4), lengths).shape[1] == -(-frames // factor)


_SUBSAMPLINGS = {factor: ConvSubsampling(4, 1, factor) for factor in (1, 2, 3, 4)}


@given(st.sampled_from([1, 2, 3, 4]), lengths_lists)
def test_subsampling_alone_and_in_a_batch(factor: int, lengths: list[int]) -> None:
    layer, total = _SUBSAMPLINGS[factor], max(lengths)
    counts = torch.tensor(lengths)
    frames = noise(len(lengths), total, 4) * length_mask(counts, total)[:, :, None]

    together = layer(frames, counts)

    for i, length in enumerate(lengths):
        alone = layer(frames[i : i + 1, :length], torch.tensor([length]))[0]
        torch.testing.assert_close(together[i, : len(alone)], alone, atol=1e-6, rtol=1e-5)


def test_gradient_of_subsampling_is_that_of_its_definition() -> None:
    layer, counts = ConvSubsampling(8, 3, 4).double(), torch.tensor([9, 5])
    real = length_mask(counts, 9)[:, :, None]
    frames = noise(2, 9, 8).double().requires_grad_()
    weight = noise(2, 3, 6, seed=1).double() * length_mask(torch.tensor([3, 2]), 3)[:, :, None]
    inputs = [frames, *layer.parameters()]

    ours = torch.autograd.grad((layer(frames * real, counts) * weight).sum(), inputs)

    total = torch.zeros(())
    for row, count, row_weight in zip(frames, counts.tolist(), weight, strict=True):
        plane = row[None, :count]
        for convolution, stride in zip(layer.convolutions, layer.strides, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            plane = convolve(plane, convolution, stride)
        output = plane.permute(1, 0, 2).flatten(1)
        total = total + (output * row_weight[: len(output)]).sum()
    torch.testing.assert_close(ours, torch.autograd.grad(total, inputs))


def test_output_lengths_never_fall_as_lengths_grow() -> None:
    for layer in _SUBSAMPLINGS.values():
        lengths = layer.output_lengths(torch.arange(1, 100)).tolist()
        assert all(0 <= longer - shorter <= 1 for shorter, longer in pairwise(lengths))
