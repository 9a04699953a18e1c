"""Layers: each maps `(N, T, F)` and lengths `(N,)` to `(N, T, output_size)`.

Padding never reaches a real frame: convolutions see zeros beyond each length, the backward
direction starts at each utterance's own last frame, and normalisation counts real frames only.
So an utterance gives the same output alone and in any batch.
"""

import torch
from torch import Tensor, nn

from asr.model.cells import FUSED_CELLS


def length_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """True on real frames: `(N,)` to `(N, T)`."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def reverse_frames(frames: Tensor, lengths: Tensor) -> Tensor:
    """Turn `(N, T, H)` around in time within each length; padding stays where it is."""
    time = torch.arange(frames.shape[1], device=frames.device)
    mirrored = lengths[:, None] - 1 - time
    index = torch.where(mirrored >= 0, mirrored, time)
    return frames.gather(1, index[:, :, None].expand_as(frames))


class FusedLayer(nn.Module):
    """One direction of a recurrent layer computed by the library: `(N, T, F)` to `(N, T, H)`.

    Recurrent weights start orthogonal, a gate at a time, and the LSTM's forget gate starts open
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
        """The past in the first H outputs of each frame, the future in the last H."""
        past = self.forward_layer(frames)
        future = self.backward_layer(reverse_frames(frames, lengths))
        return torch.cat([past, reverse_frames(future, lengths)], dim=2)


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
        normalised: Tensor = self.norm(frames)
        return normalised


class NoNorm(nn.Module):
    """Frames as they are."""

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
        self.strides = self.TIME_STRIDES[factor]
        first, second = self.strides
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(1, channels, 3, stride=(first, 2), padding=1),
                nn.Conv2d(channels, channels, 3, stride=(second, 2), padding=1),
            ]
        )
        self.output_size = channels * ((num_features + 3) // 4)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """T' of each T."""
        for stride in self.strides:
            lengths = (lengths + stride - 1) // stride
        return lengths

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Channels of one frame lie side by side: `(N, T', channels * F / 4)`."""
        planes = frames.unsqueeze(1)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            lengths = (lengths + stride - 1) // stride
            planes = torch.relu(convolution(planes))
            planes = planes * length_mask(lengths, planes.shape[2])[:, None, :, None]
        return planes.transpose(1, 2).flatten(2)
