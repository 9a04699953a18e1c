"""Recurrent cells by name: a new one is one class and one line of `CELLS`.

A cell is one direction of a recurrent layer. What needs no state is computed for all frames at
once (`project`); the rest frame after frame, by a kernel of the library where it has one
(`FusedCell`), else step by step (`UnrolledCell`).

Shapes: N utterances, T frames, F features, H hidden, P numbers that a step is given of a frame.
A state is a tuple of tensors that starts at zero.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from asr.model.norms import FrameBatchNorm
from asr.model.scan import linear_scan

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """One direction of a recurrent layer: `(N, T, F)` to `(N, T, H)`, from a zero state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.truncation = 0
        """Frames after which the gradient is cut while the state is carried on (truncated
        back-propagation through time, Williams & Peng 1990); 0 for never."""

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Run forward in time."""
        projected = self.project(frames, lengths)
        span = self.truncation or max(1, len(projected))
        outputs, state, time = [], self.initial_state(frames), 0
        for piece in torch.split(projected, span):
            output, state = self.run(piece, state, time)
            outputs.append(output)
            state, time = tuple(part.detach() for part in state), time + span
        whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return whole.transpose(0, 1)

    @abstractmethod
    def initial_state(self, frames: Tensor) -> State:
        """Zeros, for the utterances of `(N, T, F)`."""

    @abstractmethod
    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """What needs no state, for all frames: `(N, T, F)` to `(T, N, P)`."""

    @abstractmethod
    def run(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Consecutive frames `(T, N, P)`, of which the first is number `time` of the utterance.

        Returns the outputs `(T, N, H)` and the state after them.
        """


class FusedCell(Cell):
    """A cell whose time loop is one call of the library.

    Recurrent weights are initialised orthogonal, gate by gate, the others as by Glorot & Bengio
    (2010), with biases of 0.
    """

    kernel: ClassVar[Callable[..., nn.RNNBase]]
    states: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(hidden)
        self.rnn = type(self).kernel(input_size, hidden)
        for gate in torch.split(self.weights["weight_hh"].data, hidden):
            nn.init.orthogonal_(gate)
        for gate in torch.split(self.weights["weight_ih"].data, hidden):
            nn.init.xavier_uniform_(gate)
        for bias in (self.weights["bias_ih"], self.weights["bias_hh"]):
            nn.init.zeros_(bias)

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """The kernel's weights and biases, by the names that torch gives to those of a layer."""
        return {name.removesuffix("_l0"): value for name, value in self.rnn.named_parameters()}

    def initial_state(self, frames: Tensor) -> State:
        """Zeros `(1, N, H)`."""
        return (frames.new_zeros(1, len(frames), self.hidden),) * self.states

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The frames themselves: the kernel projects them."""
        return frames.transpose(0, 1)

    def run(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """One call of the kernel."""
        output, last = self.rnn(projected, state if self.states > 1 else state[0])
        return output, last if self.states > 1 else (last,)


class Lstm(FusedCell):
    """LSTM with a forget gate (Gers, Schmidhuber & Cummins 2000).

    The gate starts open (bias 1, Jozefowicz et al. 2015).
    """

    kernel = nn.LSTM
    states = 2

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(input_size, hidden)
        self.weights["bias_ih"].data[hidden : 2 * hidden] = 1.0


class Gru(FusedCell):
    """Gated recurrent unit (Cho et al. 2014)."""

    kernel = nn.GRU


class Elman(FusedCell):
    """tanh of the input and the previous output (Elman 1990)."""

    kernel = nn.RNN


class Irnn(FusedCell):
    """ReLU, its recurrent weights at the start a multiple of the identity.

    Le, Jaitly & Hinton (2015) begin with the identity itself, and with less of it where less is to
    be remembered.
    """

    @staticmethod
    def kernel(input_size: int, hidden: int) -> nn.RNNBase:
        return nn.RNN(input_size, hidden, nonlinearity="relu")

    def __init__(self, input_size: int, hidden: int, identity: float = 1.0) -> None:
        super().__init__(input_size, hidden)
        nn.init.eye_(self.weights["weight_hh"]).data.mul_(identity)


class UnrolledCell(Cell):
    """A cell that is computed step by step. Weights are initialised as those of `FusedCell`."""

    gates: ClassVar[int] = 1
    """P / H."""
    states: ClassVar[int] = 1
    """Tensors `(N, H)` of the state."""

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(hidden)
        self.inputs = nn.Linear(input_size, self.gates * hidden)
        nn.init.zeros_(self.inputs.bias)
        for gate in torch.split(self.inputs.weight.data, hidden):
            nn.init.xavier_uniform_(gate)

    def initial_state(self, frames: Tensor) -> State:
        """Zeros `(N, H)`."""
        return (self.inputs.weight.new_zeros(len(frames), self.hidden),) * self.states

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The input's share of every gate."""
        projected: Tensor = self.inputs(frames.transpose(0, 1))
        return projected

    def run(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """One step a frame, in the precision of the weights."""
        outputs = []
        with torch.autocast(projected.device.type, enabled=False):
            # Not projected[t]: the backward of each such selection fills a tensor of all frames.
            for now, frame in enumerate(projected.to(self.inputs.weight.dtype).unbind(), time):
                output, state = self.step(frame, state, now)
                outputs.append(output)
            return torch.stack(outputs), state

    @abstractmethod
    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Frame number `time`, from 0, of all utterances, `(N, P)`: output `(N, H)`, next state."""


def recurrent_weight(hidden: int, gates: int = 1) -> nn.Parameter:
    """Weights `(gates · H, H)`, orthogonal gate by gate."""
    weight = nn.Parameter(torch.empty(gates * hidden, hidden))
    for gate in torch.split(weight.data, hidden):
        nn.init.orthogonal_(gate)
    return weight


class Jordan(UnrolledCell):
    """tanh, with the output of a second layer fed back instead of the hidden one (Jordan 1986)."""

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(input_size, hidden)
        self.recurrent = recurrent_weight(hidden)
        self.output = nn.Linear(hidden, hidden)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """The state is the previous output."""
        inner = torch.addmm(projected, state[0], self.recurrent.t()).tanh()
        output = self.output(inner).tanh()
        return output, (output,)


class LstmWithoutForgetting(UnrolledCell):
    """LSTM as it was first published, whose memory only adds up (Hochreiter & Schmidhuber 1997)."""

    gates, states = 3, 2

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(input_size, hidden)
        self.recurrent = recurrent_weight(hidden, self.gates)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Gates in the order input, candidate, output; the state is output and memory."""
        output, memory = state
        gates = torch.addmm(projected, output, self.recurrent.t())
        enter, candidate, leave = gates.chunk(3, dim=1)
        memory = torch.addcmul(memory, enter.sigmoid(), candidate.tanh())
        output = leave.sigmoid() * memory.tanh()
        return output, (output, memory)


class PeepholeLstm(UnrolledCell):
    """LSTM whose gates see the memory, too (Gers & Schmidhuber 2000; Gers et al. 2002)."""

    gates, states = 4, 2

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(input_size, hidden)
        self.recurrent = recurrent_weight(hidden, self.gates)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden))
        """Of the input, forget and output gate."""
        self.inputs.bias.data[hidden : 2 * hidden] = 1.0

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Gates in the order input, forget, candidate, output; the state is output and memory.

        The input and forget gates see the memory before the step, the output gate that after it.
        """
        output, memory = state
        gates = torch.addmm(projected, output, self.recurrent.t())
        enter, forget, candidate, leave = gates.chunk(4, dim=1)
        see_enter, see_forget, see_leave = self.peepholes
        kept = torch.addcmul(forget, see_forget, memory).sigmoid() * memory
        entering = torch.addcmul(enter, see_enter, memory).sigmoid()
        memory = torch.addcmul(kept, entering, candidate.tanh())
        output = torch.addcmul(leave, see_leave, memory).sigmoid() * memory.tanh()
        return output, (output, memory)


class Clockwork(UnrolledCell):
    """Modules of tanh cells, of which number i moves only every 2^i frames (Koutník et al. 2014).

    A module is fed by itself and the slower ones.
    """

    def __init__(self, input_size: int, hidden: int, modules: int) -> None:
        super().__init__(input_size, hidden)
        self.modules_count = modules
        self.recurrent = recurrent_weight(hidden)
        # Has values in a model without weights, too: they are not among the weights.
        number = torch.arange(hidden, device="cpu") // (hidden // modules)
        self.slower: Tensor
        self.register_buffer("slower", number[None, :] >= number[:, None], persistent=False)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """The state is the output; what does not move in this frame is the end of it."""
        (output,) = state
        moving = sum(time % (1 << number) == 0 for number in range(self.modules_count))
        size = moving * self.hidden // self.modules_count
        weight = self.recurrent[:size] * self.slower[:size]
        moved = torch.addmm(projected[:, :size], output, weight.t()).tanh()
        output = torch.cat([moved, output[:, size:]], dim=1)
        return output, (output,)


class Scrn(UnrolledCell):
    """Sigmoid cells beside a context that changes slowly (Mikolov et al. 2015).

    The output is both: H minus `context` cells and the context.
    """

    DECAY = 0.95
    """Share of the context that is kept from frame to frame."""

    def __init__(self, input_size: int, hidden: int, context: int) -> None:
        super().__init__(input_size, hidden)
        self.context = context
        self.recurrent = recurrent_weight(hidden - context)
        self.from_context = nn.Linear(context, hidden - context, bias=False)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """The state is the output."""
        sizes = [self.hidden - self.context, self.context]
        inputs, drive = torch.split(projected, sizes, 1)
        inner, context = torch.split(state[0], sizes, 1)
        context = torch.lerp(drive, context, self.DECAY)
        fed = torch.addmm(inputs, inner, self.recurrent.t()) + self.from_context(context)
        output = torch.cat([fed.sigmoid(), context], dim=1)
        return output, (output,)


class LiGru(UnrolledCell):
    """GRU without a reset gate, with ReLU and batch normalisation (Ravanelli et al. 2018)."""

    gates = 2

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__(input_size, hidden)
        self.recurrent = recurrent_weight(hidden, self.gates)
        self.norm = FrameBatchNorm(self.gates * hidden)

    def project(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The input's share of both gates, normalised over the real frames of the batch."""
        projected = super().project(frames, lengths).transpose(0, 1)
        normalised: Tensor = self.norm(projected, lengths)
        return normalised.transpose(0, 1)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Gates in the order keep, candidate; the state is the output."""
        gates = torch.addmm(projected, state[0], self.recurrent.t())
        keep, candidate = gates.chunk(2, dim=1)
        output = torch.lerp(candidate.relu(), state[0], keep.sigmoid())
        return output, (output,)


class MinGru(UnrolledCell):
    """GRU whose gate and candidate see the input alone (Feng et al. 2024).

    Its state is then linear in the previous one, so that all steps are one scan.
    """

    gates = 2

    def run(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """All steps at once."""
        gate, candidate = projected.to(state[0].dtype).chunk(2, dim=2)
        change = gate.sigmoid()
        outputs = linear_scan(1 - change, change * candidate, state[0])
        return outputs, (outputs[-1],)

    def step(self, projected: Tensor, state: State, time: int) -> tuple[Tensor, State]:
        """Gates in the order change, candidate; the state is the output."""
        change, candidate = projected.chunk(2, dim=1)
        output = torch.lerp(state[0], candidate, change.sigmoid())
        return output, (output,)


CELLS: dict[str, Callable[..., Cell]] = {
    "elman": Elman,
    "jordan": Jordan,
    "irnn": Irnn,
    "lstm_without_forgetting": LstmWithoutForgetting,
    "lstm": Lstm,
    "lstm_peephole": PeepholeLstm,
    "gru": Gru,
    "clockwork": Clockwork,
    "scrn": Scrn,
    "ligru": LiGru,
    "mingru": MinGru,
}
