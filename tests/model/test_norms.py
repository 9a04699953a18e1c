"""Norms: that they count real frames only and leave frames apart."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from asr.model.norms import NORMS, FrameBatchNorm, length_mask

lengths_lists = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(lengths_lists)
def test_mask_is_true_on_real_frames(lengths: list[int]) -> None:
    mask = length_mask(torch.tensor(lengths), max(lengths))

    assert mask.tolist() == [[t < n for t in range(max(lengths))] for n in lengths]


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
