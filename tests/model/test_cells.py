"""Recurrent cells: what each computes, by its published equations and by cells that it contains."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model.cells import (
    CELLS,
    Cell,
    Clockwork,
    Elman,
    FusedCell,
    Gru,
    Irnn,
    LiGru,
    Lstm,
    LstmWithoutForgetting,
    MinGru,
    PeepholeLstm,
    UnrolledCell,
)
from asr.model.layers import Bidirectional, reverse_frames
from asr.model.norms import FrameBatchNorm, length_mask

INPUTS, HIDDEN = 5, 8
OPTIONS = {"clockwork": {"modules": 4}, "scrn": {"context": 3}}
KERNELS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "elman": nn.RNN,
    "irnn": partial(nn.RNN, nonlinearity="relu"),
}
NAMES = sorted(CELLS)
UNROLLED = [name for name in NAMES if name not in KERNELS]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cell_of(name: str, inputs: int = INPUTS) -> Cell:
    return CELLS[name](inputs, HIDDEN, **OPTIONS.get(name, {}))


def trained(name: str) -> Cell:
    """A cell in use, none of whose weights has a special value."""
    torch.manual_seed(3)
    cell = cell_of(name).eval()
    for parameter in cell.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    for module in cell.modules():
        if isinstance(module, FrameBatchNorm):
            module.norm.running_mean = noise(module.norm.num_features)
            module.norm.running_var = 0.5 + noise(module.norm.num_features).square()
    return cell


def full(frames: Tensor) -> Tensor:
    return torch.full((len(frames),), frames.shape[1])


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    cell = trained(name).double()
    frames = noise(2, 5, INPUTS).double().requires_grad_()
    names = [key for key, _ in cell.named_parameters()]

    def run(frames: Tensor, *weights: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(
            cell, dict(zip(names, weights, strict=True)), (frames, full(frames))
        )
        return output

    assert torch.autograd.gradcheck(run, (frames, *cell.parameters()))


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.sampled_from([0.0, 1e4, math.nan]))
def test_padding_and_batch_change_no_utterance(
    name: str, lengths: list[int], garbage: float
) -> None:
    layer = Bidirectional(lambda _: trained(name), INPUTS)
    utterances = [noise(length, INPUTS, seed=number) for number, length in enumerate(lengths)]
    batch = torch.full((len(lengths), max(lengths) + 2, INPUTS), garbage)
    for row, utterance in zip(batch, utterances, strict=True):
        row[: len(utterance)] = utterance

    with torch.inference_mode():
        together = layer(batch, torch.tensor(lengths))
        for row, utterance in zip(together, utterances, strict=True):
            alone = layer(utterance[None], torch.tensor([len(utterance)]))[0]
            torch.testing.assert_close(row[: len(utterance)], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_backward_half_is_the_cell_on_reversed_input(name: str) -> None:
    layer = Bidirectional(lambda _: trained(name), INPUTS)
    frames, lengths = noise(3, 9, INPUTS), torch.tensor([9, 4, 1])

    mirrored = reverse_frames(frames, lengths)
    future = layer(frames, lengths)[:, :, HIDDEN:]

    expected = reverse_frames(layer(mirrored, lengths)[:, :, :HIDDEN], lengths)
    mask = length_mask(lengths, 9)
    torch.testing.assert_close(future[mask], expected[mask])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("span", [1, 3, 9, 20])
def test_truncation_changes_gradients_only(name: str, span: int) -> None:
    cell, frames = trained(name), noise(2, 9, INPUTS).requires_grad_()
    whole = cell(frames, full(frames))
    (everywhere,) = torch.autograd.grad(whole[:, -1].sum(), frames)

    cell.truncation = span
    output = cell(frames, full(frames))
    (gradient,) = torch.autograd.grad(output[:, -1].sum(), frames)

    torch.testing.assert_close(output, whole)
    first = (frames.shape[1] - 1) // span * span  # of the last piece
    torch.testing.assert_close(gradient[:, first:], everywhere[:, first:])
    assert not gradient[:, :first].any()
    assert everywhere[:, :first].any() == (first > 0)


@pytest.mark.parametrize("name", UNROLLED)
def test_low_precision_around_a_cell_is_kept_out_of_its_recurrence(name: str) -> None:
    cell, frames = trained(name), noise(2, 9, INPUTS)

    with torch.autocast("cpu", torch.bfloat16):
        rounded = cell(frames, full(frames))

    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, cell(frames, full(frames)), atol=0.1, rtol=0.1)


def reference(name: str, layer: Bidirectional) -> nn.RNNBase:
    """torch's own bidirectional layer with the same weights."""
    theirs = KERNELS[name](INPUTS, HIDDEN, batch_first=True, bidirectional=True)
    for cell, end in ((layer.forward_layer, "_l0"), (layer.backward_layer, "_l0_reverse")):
        assert isinstance(cell, FusedCell)
        for key, weight in cell.weights.items():
            theirs.get_parameter(key + end).data = weight.data
    return theirs


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_output_and_gradient_are_those_of_torch_on_packed_sequences(name: str) -> None:
    layer = Bidirectional(lambda _: cell_of(name), INPUTS)
    frames, lengths = noise(4, 9, INPUTS).requires_grad_(), torch.tensor([7, 9, 1, 4])
    mask = length_mask(lengths, 9)
    weight = noise(4, 9, 2 * HIDDEN, seed=1) * mask[:, :, None]

    output = layer(frames, lengths)

    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(reference(name, layer)(packed)[0], batch_first=True)
    torch.testing.assert_close(output[mask], expected[mask], atol=1e-6, rtol=1e-5)
    (ours,) = torch.autograd.grad((output * weight).sum(), frames)
    (theirs,) = torch.autograd.grad((expected * weight).sum(), frames)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert not ours[~mask].any()


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_weights_of_kernels_start_orthogonal_and_biases_at_0(name: str) -> None:
    cell = cell_of(name)
    assert isinstance(cell, FusedCell)
    for gate in torch.split(cell.weights["weight_hh"], HIDDEN):
        torch.testing.assert_close(gate @ gate.T, torch.eye(HIDDEN), atol=1e-5, rtol=0)
    for gate in torch.split(cell.weights["weight_ih"], HIDDEN):
        assert float(gate.detach().abs().max()) <= math.sqrt(6 / (INPUTS + HIDDEN))
    bias = (cell.weights["bias_ih"] + cell.weights["bias_hh"]).detach()
    forget = torch.zeros(len(bias))
    if name == "lstm":  # torch's order of gates: input, forget, cell, output
        forget[HIDDEN : 2 * HIDDEN] = 1
    assert torch.equal(bias, forget)
    if name == "irnn":
        assert torch.equal(cell.weights["weight_hh"], torch.eye(HIDDEN))
        part = Irnn(INPUTS, HIDDEN, identity=0.01).weights["weight_hh"]
        assert torch.equal(part, 0.01 * torch.eye(HIDDEN))


@pytest.mark.parametrize("name", UNROLLED)
def test_weights_of_other_cells_start_as_those_of_kernels_do(name: str) -> None:
    cell = cell_of(name)
    assert isinstance(cell, UnrolledCell)
    for gate in torch.split(cell.inputs.weight, HIDDEN):
        assert float(gate.detach().abs().max()) <= math.sqrt(6 / (INPUTS + HIDDEN))
    forget = torch.zeros(len(cell.inputs.bias))
    if name == "lstm_peephole":
        forget[HIDDEN : 2 * HIDDEN] = 1
        assert not cell.get_parameter("peepholes").any()
    assert torch.equal(cell.inputs.bias.detach(), forget)
    if name != "mingru":
        recurrent = cell.get_parameter("recurrent")
        size = recurrent.shape[1]
        for gate in torch.split(recurrent, size):
            torch.testing.assert_close(gate @ gate.T, torch.eye(size), atol=1e-5, rtol=0)


def copy_kernel(ours: UnrolledCell, theirs: FusedCell) -> None:
    """Give a cell the weights of a kernel with the same gates."""
    ours.inputs.weight.data = theirs.weights["weight_ih"].data
    ours.inputs.bias.data = theirs.weights["bias_ih"].data + theirs.weights["bias_hh"].data
    ours.get_parameter("recurrent").data = theirs.weights["weight_hh"].data


def check_equal(ours: Cell, theirs: Cell) -> None:
    frames = noise(3, 9, INPUTS).requires_grad_()
    outputs = [cell(frames, full(frames)) for cell in (ours, theirs)]
    torch.testing.assert_close(*outputs, atol=1e-6, rtol=1e-5)
    weight = noise(3, 9, HIDDEN, seed=1)
    gradients = [torch.autograd.grad((output * weight).sum(), frames)[0] for output in outputs]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_an_lstm_with_peepholes_of_0_is_torch_s() -> None:
    ours, theirs = PeepholeLstm(INPUTS, HIDDEN), trained("lstm")
    assert isinstance(theirs, Lstm)
    copy_kernel(ours, theirs)

    check_equal(ours, theirs)


def test_a_clockwork_of_one_module_is_an_elman_network() -> None:
    ours, theirs = Clockwork(INPUTS, HIDDEN, modules=1), trained("elman")
    assert isinstance(theirs, Elman)
    copy_kernel(ours, theirs)

    check_equal(ours, theirs)


def test_an_lstm_that_never_forgets_is_torch_s_with_its_forget_gate_wide_open() -> None:
    ours, theirs = LstmWithoutForgetting(INPUTS, HIDDEN), trained("lstm")
    assert isinstance(theirs, Lstm)
    kept = [0, 2, 3]  # input gate, candidate, output gate
    theirs.weights["weight_ih"].data[HIDDEN : 2 * HIDDEN] = 0
    theirs.weights["weight_hh"].data[HIDDEN : 2 * HIDDEN] = 0
    theirs.weights["bias_ih"].data[HIDDEN : 2 * HIDDEN] = 1e4
    parts = [torch.split(weight.data, HIDDEN) for weight in theirs.weights.values()]
    weight, recurrent, bias, bias2 = (torch.cat([part[i] for i in kept]) for part in parts)
    ours.inputs.weight.data, ours.inputs.bias.data = weight, bias + bias2
    ours.recurrent.data = recurrent

    check_equal(ours, theirs)


def test_a_li_gru_keeps_and_rectifies_what_is_normalised() -> None:
    cell = trained("ligru")
    assert isinstance(cell, LiGru)
    frames = noise(1, 7, INPUTS)
    norm = cell.norm.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None

    inputs = frames[0] @ cell.inputs.weight.T + cell.inputs.bias
    scaled = (inputs - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    inputs = scaled * norm.weight + norm.bias
    update, candidate = torch.split(cell.recurrent, HIDDEN)
    state, expected = torch.zeros(HIDDEN), []
    for row in inputs:
        keep = torch.sigmoid(row[:HIDDEN] + update @ state)
        state = keep * state + (1 - keep) * torch.relu(row[HIDDEN:] + candidate @ state)
        expected.append(state)

    torch.testing.assert_close(cell(frames, full(frames))[0], torch.stack(expected))


def test_jordan_feeds_back_its_output() -> None:
    cell = trained("jordan")
    frames, weights = noise(1, 6, INPUTS), dict(cell.named_parameters())

    output, expected = torch.zeros(HIDDEN), []
    for row in frames[0]:
        inner = torch.tanh(
            weights["inputs.weight"] @ row + weights["inputs.bias"] + weights["recurrent"] @ output
        )
        output = torch.tanh(weights["output.weight"] @ inner + weights["output.bias"])
        expected.append(output)

    torch.testing.assert_close(cell(frames, full(frames))[0], torch.stack(expected))


def test_peepholes_see_the_memory_before_and_after_the_step() -> None:
    cell = trained("lstm_peephole")
    frames, weights = noise(1, 6, INPUTS), dict(cell.named_parameters())
    see_enter, see_forget, see_leave = weights["peepholes"]

    output, memory, expected = torch.zeros(HIDDEN), torch.zeros(HIDDEN), []
    for row in frames[0]:
        gates = weights["inputs.weight"] @ row + weights["inputs.bias"]
        enter, forget, candidate, leave = torch.split(gates + weights["recurrent"] @ output, HIDDEN)
        entering = torch.sigmoid(enter + see_enter * memory) * torch.tanh(candidate)
        memory = torch.sigmoid(forget + see_forget * memory) * memory + entering
        output = torch.sigmoid(leave + see_leave * memory) * torch.tanh(memory)
        expected.append(output)

    torch.testing.assert_close(cell(frames, full(frames))[0], torch.stack(expected))


def test_modules_of_a_clockwork_move_every_1_2_4_8_frames_and_hear_slower_ones() -> None:
    cell = trained("clockwork")
    frames, weights = noise(1, 20, INPUTS), dict(cell.named_parameters())
    size = HIDDEN // 4

    output, expected = torch.zeros(HIDDEN), []
    for time, row in enumerate(frames[0]):
        before, output = output, output.clone()
        for module in range(4):
            rows = slice(module * size, (module + 1) * size)
            slower = slice(module * size, HIDDEN)
            if time % 2**module == 0:
                output[rows] = torch.tanh(
                    weights["inputs.weight"][rows] @ row
                    + weights["inputs.bias"][rows]
                    + weights["recurrent"][rows, slower] @ before[slower]
                )
        expected.append(output)

    torch.testing.assert_close(cell(frames, full(frames))[0], torch.stack(expected))


def test_the_context_of_an_scrn_is_a_running_mean_of_its_input() -> None:
    cell = trained("scrn")
    frames, weights = noise(1, 9, INPUTS), dict(cell.named_parameters())

    inner, context, expected = torch.zeros(HIDDEN - 3), torch.zeros(3), []
    for row in frames[0]:
        inputs = weights["inputs.weight"] @ row + weights["inputs.bias"]
        context = 0.05 * inputs[-3:] + 0.95 * context
        inner = torch.sigmoid(
            inputs[:-3] + weights["recurrent"] @ inner + weights["from_context.weight"] @ context
        )
        expected.append(torch.cat([inner, context]))

    torch.testing.assert_close(cell(frames, full(frames))[0], torch.stack(expected))


@given(st.integers(1, 40), st.integers(0, 5))
def test_the_scan_of_a_min_gru_is_its_steps(frames: int, seed: int) -> None:
    cell = trained("mingru")
    assert isinstance(cell, MinGru)
    inputs = noise(2, frames, INPUTS, seed=seed)
    projected = cell.project(inputs, full(inputs))
    state = (noise(2, HIDDEN, seed=seed + 1),)

    outputs, (last,) = cell.run(projected, state, 0)
    stepwise, (expected,) = UnrolledCell.run(cell, projected, state, 0)

    torch.testing.assert_close(outputs, stepwise)
    torch.testing.assert_close(last, expected)


def test_a_memory_by_hand() -> None:
    """An LSTM cell that adds x1 where x2 is 1, is cleared where it is -1, shows itself where x3 is.

    Gates are open at 100 and shut at -100. With a memory this far within the linear part of tanh,
    1/1000 of the numbers, the output is the memory.
    """
    cell = Lstm(3, 1)
    weights = torch.zeros(4, 3)
    weights[0, 1] = 200.0  # the input gate opens where x2 = 1
    weights[1, 1] = 200.0  # the forget gate shuts where x2 = -1
    weights[2, 0] = 1e-3
    weights[3, 2] = 200.0  # the output gate opens where x3 = 1
    cell.weights["weight_ih"].data = weights
    cell.weights["weight_hh"].data.zero_()
    cell.weights["bias_ih"].data = torch.tensor([-100.0, 100.0, 0.0, -100.0])
    cell.weights["bias_hh"].data.zero_()
    frames = torch.tensor(
        [  # x1, x2, x3
            [3.0, 1, 0],
            [4.0, 1, 0],
            [2.0, 0, 0],
            [1.0, 0, 1],
            [3.0, -1, 0],
            [6.0, 1, 0],
            [1.0, 0, 1],
        ]
    )

    output = cell(frames[None], torch.tensor([7]))[0, :, 0]

    torch.testing.assert_close(
        1000 * output, torch.tensor([0.0, 0, 0, 7, 0, 0, 6]), atol=1e-3, rtol=0
    )


def test_open_forget_gate_keeps_the_state() -> None:
    cell = Lstm(1, 4)
    bias = cell.weights["bias_ih"].data

    def kept(forget_bias: float) -> float:
        """The share of the memory that is left after a step without input."""
        bias[4:8] = forget_bias
        state = (torch.zeros(1, 1, 4), torch.ones(1, 1, 4))
        _, (_, memory) = cell.run(torch.zeros(1, 1, 1), state, 0)
        return float(memory.detach().mean())

    initial = bias[4].item()
    assert kept(initial) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
    assert kept(0.0) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("kind", [Lstm, Gru, Elman, Irnn])
def test_kernels_keep_the_names_of_their_weights(kind: type[FusedCell]) -> None:
    """Checkpoints have these names."""
    names = {name for name, _ in kind(2, 3).named_parameters()}

    assert names == {f"rnn.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
