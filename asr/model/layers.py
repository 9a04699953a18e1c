"""Layers: each maps `(N, T, F)` and lengths `(N,)` to `(N, T, output_size)`.

Padding never reaches a real frame: convolutions see zeros beyond each length, the backward
direction starts at each utterance's own last frame, and normalisation counts real frames only.
An utterance therefore gives the same output alone and in any batch.

Frames have the shape `(N, T, H)` but the memory layout of a contiguous `(T, N, H)`, which the
recurrent kernels read and write. Layers that work on single frames go through `framewise`, which
keeps this layout, so that nothing is copied between one recurrent layer and the next.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asr.model.cells import Cell
from asr.model.norms import length_mask


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


class Unidirectional(nn.Module):
    """One direction, forward in time: `(N, T, F)` to `(N, T, H)`."""

    def __init__(self, cell: Callable[[int], Cell], input_size: int) -> None:
        super().__init__()
        self.forward_layer = cell(input_size)
        self.output_size = self.forward_layer.hidden

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T, H)`."""
        output: Tensor = self.forward_layer(frames, lengths)
        return output


class Bidirectional(nn.Module):
    """Two directions side by side (Schuster & Paliwal 1997): `(N, T, F)` to `(N, T, 2H)`."""

    def __init__(self, cell: Callable[[int], Cell], input_size: int) -> None:
        super().__init__()
        self.forward_layer = cell(input_size)
        self.backward_layer = cell(input_size)
        self.output_size = 2 * self.forward_layer.hidden

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T, 2H)`: first H outputs forward in time, last H backward."""
        past = self.forward_layer(frames, lengths)
        future = self.backward_layer(reverse_frames(frames, lengths), lengths)
        both = past.transpose(0, 1), reverse_frames(future, lengths).transpose(0, 1)
        return torch.cat(both, dim=2).transpose(0, 1)


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

    @property
    def lookahead(self) -> int:
        """Frames after the last of its own that an output frame depends on."""
        first, second = self.strides
        return first + 2 - first * second

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
