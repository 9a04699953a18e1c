"""Layers: what they compute, and that padding never reaches a real frame."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model.cells import FUSED_CELLS
from asr.model.layers import (
    NORMS,
    Bidirectional,
    ConvSubsampling,
    Dropout,
    FrameBatchNorm,
    FusedLayer,
    length_mask,
    reverse_frames,
)

CELLS = sorted(FUSED_CELLS)
lengths_lists = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference_bidirectional(layer: Bidirectional, cell: str, inputs: int, hidden: int) -> Any:
    """torch's own bidirectional layer with the same weights."""
    reference = FUSED_CELLS[cell](inputs, hidden, batch_first=True, bidirectional=True)
    weights = {
        name + suffix: parameter.detach()
        for part, suffix in ((layer.forward_layer, ""), (layer.backward_layer, "_reverse"))
        for name, parameter in part.rnn.named_parameters()
    }
    reference.load_state_dict(weights)
    return reference


@given(lengths_lists)
def test_mask_is_true_on_real_frames(lengths: list[int]) -> None:
    mask = length_mask(torch.tensor(lengths), max(lengths))

    assert mask.tolist() == [[t < n for t in range(max(lengths))] for n in lengths]


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


@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional_is_torch_s_own_on_full_length(cell: str) -> None:
    layer = Bidirectional(cell, 5, 4)
    reference = reference_bidirectional(layer, cell, 5, 4)
    frames = noise(3, 9, 5)

    torch.testing.assert_close(
        layer(frames, torch.tensor([9, 9, 9])), reference(frames)[0], atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional_is_torch_s_own_on_packed_sequences(cell: str) -> None:
    layer = Bidirectional(cell, 5, 4)
    reference = reference_bidirectional(layer, cell, 5, 4)
    frames, lengths = noise(4, 9, 5), torch.tensor([7, 9, 1, 4])

    output = layer(frames, lengths)

    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(reference(packed)[0], batch_first=True)
    mask = length_mask(lengths, 9)
    torch.testing.assert_close(output[mask], expected[mask], atol=1e-6, rtol=1e-5)
    assert output.shape[2] == layer.output_size == 8


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_is_that_of_packed_sequences(cell: str) -> None:
    layer = Bidirectional(cell, 5, 4)
    reference = reference_bidirectional(layer, cell, 5, 4)
    frames, lengths = noise(3, 6, 5).requires_grad_(), torch.tensor([6, 2, 3])
    weight = noise(3, 6, 8, seed=1) * length_mask(lengths, 6)[:, :, None]

    (ours,) = torch.autograd.grad((layer(frames, lengths) * weight).sum(), frames)

    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    output, _ = pad_packed_sequence(reference(packed)[0], batch_first=True)
    (theirs,) = torch.autograd.grad((output * weight).sum(), frames)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert not ours[~length_mask(lengths, 6)].any()


def test_halves_see_the_past_and_the_future() -> None:
    layer = Bidirectional("lstm", 3, 4)
    frames, lengths = noise(1, 8, 3), torch.tensor([8])
    changed = frames.clone()
    changed[:, 4] += 1

    differs = (layer(frames, lengths) != layer(changed, lengths))[0]

    assert differs[:, :4].any(dim=1).tolist() == [False] * 4 + [True] * 4
    assert differs[:, 4:].any(dim=1).tolist() == [True] * 5 + [False] * 3


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_weights_start_orthogonal_and_biases_at_0(cell: str) -> None:
    hidden = 6
    weights = dict(FusedLayer(cell, 5, hidden).rnn.named_parameters())

    for gate in torch.split(weights["weight_hh_l0"], hidden):
        torch.testing.assert_close(gate @ gate.T, torch.eye(hidden), atol=1e-5, rtol=0)
    for gate in torch.split(weights["weight_ih_l0"], hidden):
        assert float(gate.detach().abs().max()) <= math.sqrt(6 / (5 + hidden))
    bias = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).detach()
    forget = torch.zeros(len(bias))
    if cell == "lstm":  # torch's order of gates: input, forget, cell, output
        forget[hidden : 2 * hidden] = 1
    assert torch.equal(bias, forget)


def test_open_forget_gate_keeps_the_state() -> None:
    layer = FusedLayer("lstm", 1, 4)
    bias = dict(layer.rnn.named_parameters())["bias_ih_l0"].data

    def kept(forget_bias: float) -> float:
        """The share of the cell state that is left after a step without input."""
        bias[4:8] = forget_bias
        state = (torch.zeros(1, 1, 4), torch.ones(1, 1, 4))
        return float(layer.rnn(torch.zeros(1, 1, 1), state)[1][1].detach().mean())

    initial = bias[4].item()
    assert kept(initial) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
    assert kept(0.0) == pytest.approx(0.5, abs=1e-6)


@given(lengths_lists, st.integers(0, 3))
def test_batch_norm_in_training_counts_real_frames_only(lengths: list[int], spare: int) -> None:
    lengths = [lengths[0] + 1, *lengths[1:]]  # statistics need two frames
    counts, total = torch.tensor(lengths), max(lengths) + spare
    frames = 3 + 2 * noise(len(lengths), total, 4)
    mask = length_mask(counts, total)
    frames[~mask] = 1e6
    layer, reference = FrameBatchNorm(4).train(), nn.BatchNorm1d(4).train()

    output = layer(frames, counts)

    unpadded = torch.cat([row[:n] for row, n in zip(frames, lengths, strict=True)])
    torch.testing.assert_close(output[mask], reference(unpadded))
    assert not output[~mask].any()
    for name, statistic in reference.state_dict().items():
        torch.testing.assert_close(layer.norm.state_dict()[name], statistic)


def test_batch_norm_in_use_is_a_fixed_line() -> None:
    layer = FrameBatchNorm(3)
    layer(5 + noise(4, 50, 3), torch.tensor([50, 50, 50, 50]))
    layer.eval()
    frames = noise(2, 7, 3, seed=1)

    together = layer(frames, torch.tensor([7, 3]))

    alone = layer(frames[1:, :3], torch.tensor([3]))
    assert torch.equal(together[1:, :3], alone)
    statistics = layer.norm.state_dict()
    deviation = (statistics["running_var"] + layer.norm.eps).sqrt()
    line = (frames - statistics["running_mean"]) / deviation
    torch.testing.assert_close(together[0], line[0])


def test_batch_norm_keeps_half_precision() -> None:
    frames = noise(2, 5, 3).bfloat16()

    assert FrameBatchNorm(3)(frames, torch.tensor([5, 2])).dtype == torch.bfloat16


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_norms_keep_the_shape_and_each_frame_apart(norm: str) -> None:
    layer = NORMS[norm](6).eval()
    frames, lengths = noise(2, 5, 6), torch.tensor([5, 3])
    changed = frames.clone()
    changed[0, 2] += 1

    before, after = layer(frames, lengths), layer(changed, lengths)

    assert before.shape == frames.shape
    differs = (before != after).any(dim=2)
    assert differs.nonzero().tolist() == [[0, 2]]


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
