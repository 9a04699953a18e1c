"""Normalisation of frames `(N, T, H)`, and what else works on each frame by itself."""

import torch
from torch import Tensor, nn


def length_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """True on real frames: `(N,)` to `(N, T)`."""
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def framewise(layer: nn.Module, frames: Tensor) -> Tensor:
    """Apply `layer` to each frame of `(N, T, H)`, in the time-major memory layout."""
    output: Tensor = layer(frames.transpose(0, 1)).transpose(0, 1)
    return output


class FrameBatchNorm(nn.Module):
    """Batch normalisation over the real frames of a batch (Ioffe & Szegedy 2015)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, H)` to `(N, T, H)`, padding set to 0."""
        mask = length_mask(lengths, frames.shape[1])
        normalised = torch.zeros_like(frames)
        normalised[mask] = self.norm(frames[mask].to(self.norm.weight.dtype)).to(frames.dtype)
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
