"""Layers: each maps `(N, T, F)` and lengths `(N,)` to `(N, T, output_size)`.

Padding never reaches a real frame: convolutions see zeros beyond each length, the backward
direction starts at each utterance's own last frame, and normalisation counts real frames only.
An utterance therefore gives the same output alone and in any batch.

Frames have the shape `(N, T, H)` but the memory layout of a contiguous `(T, N, H)`, which the
recurrent kernels read and write. Layers that work on single frames go through `framewise`, which
keeps this layout, so that nothing is copied between one recurrent layer and the next.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asr.model.cells import FUSED_CELLS


def length_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """True on real frames: `(N,)` to `(N, T)`."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def framewise(layer: nn.Module, frames: Tensor) -> Tensor:
    """Apply `layer` to each frame of `(N, T, H)`, in the time-major memory layout."""
    output: Tensor = layer(frames.transpose(0, 1)).transpose(0, 1)
    return output


def reverse_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Reverse `(N, T, H)` in time within each length; padding stays where it is.

    A selection of the rows of a `(T · N, H)` matrix, since `flip` knows no lengths.
    """
    utterances, total, _ = frames.shape
    time = torch.arange(total, device=frames.device)[:, None]
    mirrored = lengths - 1 - time
    source = torch.where(mirrored >= 0, mirrored, time) * utterances
    source = source + torch.arange(utterances, device=frames.device)
    rows = frames.transpose(0, 1).flatten(0, 1)
    turned: Tensor = _SelfInversePermutation.apply(rows, source.flatten())  # type: ignore[no-untyped-call]
    return turned.view(total, utterances, -1).transpose(0, 1)


class _SelfInversePermutation(torch.autograd.Function):
    """Reorder rows by a permutation that is its own inverse, so that backward is forward.

    The gradient of a general `index_select` has to sum over rows that were selected more than once,
    at several times the cost.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, order: Tensor) -> Tensor:
        context.save_for_backward(order)
        return rows.index_select(0, order)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (order,) = context.saved_tensors
        return gradient.index_select(0, order), None


class Dropout(nn.Dropout):
    """Set each value to 0 with probability p, else divide it by 1 - p (Srivastava et al. 2014).

    On a CPU most of the cost of dropout is drawing random numbers, so four values share one of
    64 bits. p is rounded to a multiple of 2^-16, and the scale follows the rounded value, so that
    the expectation is exact.
    """

    STEPS = 2**16

    def forward(self, frames: Tensor) -> Tensor:
        """`(N, T, H)` to `(N, T, H)`."""
        if not self.training or self.p == 0 or frames.device.type != "cpu":
            return F.dropout(frames, self.p, self.training)
        kept = max(1, round((1 - self.p) * self.STEPS))
        quarters = torch.empty(-(-frames.numel() // 4), dtype=torch.int64)
        draws = quarters.random_(-(2**63), None).view(torch.int16)[: frames.numel()]
        # Draws are signed, from -STEPS / 2 on: `kept` of the STEPS values lie below the bound.
        mask = (draws < kept - self.STEPS // 2).to(frames.dtype).mul_(self.STEPS / kept)
        return frames * mask.view_as(frames.transpose(0, 1)).transpose(0, 1)


class FusedLayer(nn.Module):
    """One direction of a recurrent layer computed by the library: `(N, T, F)` to `(N, T, H)`.

    Recurrent weights are initialised orthogonal, gate by gate, and the LSTM's forget gate open
    (bias 1, Jozefowicz et al. 2015).
    """

    def __init__(self, cell: str, input_size: int, hidden: int) -> None:
        super().__init__()
        self.rnn = FUSED_CELLS[cell](input_size, hidden, batch_first=True)
        weights = dict(self.rnn.named_parameters())
        for gate in torch.split(weights["weight_hh_l0"].data, hidden):
            nn.init.orthogonal_(gate)
        for gate in torch.split(weights["weight_ih_l0"].data, hidden):
            nn.init.xavier_uniform_(gate)
        for name in ("bias_ih_l0", "bias_hh_l0"):
            nn.init.zeros_(weights[name])
        if cell == "lstm":
            weights["bias_ih_l0"].data[hidden : 2 * hidden] = 1.0

    def forward(self, frames: Tensor) -> Tensor:
        """Run forward in time from a zero state."""
        output: Tensor = self.rnn(frames)[0]
        return output


class Bidirectional(nn.Module):
    """Two directions side by side (Schuster & Paliwal 1997): `(N, T, F)` to `(N, T, 2H)`."""

    def __init__(self, cell: str, input_size: int, hidden: int) -> None:
        super().__init__()
        self.forward_layer = FusedLayer(cell, input_size, hidden)
        self.backward_layer = FusedLayer(cell, input_size, hidden)
        self.output_size = 2 * hidden

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T, 2H)`: first H outputs forward in time, last H backward."""
        past = self.forward_layer(frames)
        future = self.backward_layer(reverse_frames(frames, lengths))
        both = past.transpose(0, 1), reverse_frames(future, lengths).transpose(0, 1)
        return torch.cat(both, dim=2).transpose(0, 1)


class FrameBatchNorm(nn.Module):
    """Batch normalisation over the real frames of a batch (Ioffe & Szegedy 2015)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, H)` to `(N, T, H)`, padding set to 0."""
        mask = length_mask(lengths, frames.shape[1])
        normalised = torch.zeros_like(frames)
        normalised[mask] = self.norm(frames[mask].float()).to(frames.dtype)
        return normalised


class FrameLayerNorm(nn.Module):
    """Layer normalisation of each frame by itself (Ba et al. 2016)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, H)` to `(N, T, H)`."""
        return framewise(self.norm, frames)


class NoNorm(nn.Module):
    """No normalisation."""

    def __init__(self, size: int) -> None:
        super().__init__()

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, H)` to `(N, T, H)`."""
        return frames


NORMS: dict[str, type[nn.Module]] = {
    "layer": FrameLayerNorm,
    "batch": FrameBatchNorm,
    "none": NoNorm,
}


class ConvSubsampling(nn.Module):
    """Two convolutions over time and frequency: `(N, T, F)` to `(N, ceil(T / factor), output)`.

    Each has 3 × 3 kernels and halves the frequency axis; `factor` (1, 2, 3 or 4) divides time.
    Local filters shared along frequency learn from far less speech than a dense layer does
    (Amodei et al. 2016, Deep Speech 2).
    """

    TIME_STRIDES = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}  # noqa: RUF012

    def __init__(self, num_features: int, channels: int, factor: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(size, channels, 3, stride=2, padding=1) for size in (1, channels)
        )
        self.output_size = channels * ((num_features + 3) // 4)
        self.set_factor(factor)

    def set_factor(self, factor: int) -> None:
        """Divide time by `factor` from now on; no weight depends on it."""
        self.strides = self.TIME_STRIDES[factor]
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            convolution.stride = (stride, 2)  # type: ignore[assignment]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """T' of each T."""
        for stride in self.strides:
            lengths = (lengths + stride - 1) // stride
        return lengths

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T', channels * F / 4)`, the channels of a frame side by side."""
        first, second = self.convolutions
        planes = first(frames.unsqueeze(1)).contiguous(memory_format=torch.channels_last)
        lengths = (lengths + self.strides[0] - 1) // self.strides[0]
        mask = length_mask(lengths, planes.shape[2])[:, None, :, None]
        # In place because these planes are the largest tensors of a training step. What the first
        # convolution made of the padding must be 0 again before the second one sees it.
        planes = planes.mul_(mask.to(planes.dtype)).relu_()
        planes = second(planes).relu_()
        output: Tensor = planes.permute(2, 0, 1, 3).flatten(2).transpose(0, 1)
        return output
