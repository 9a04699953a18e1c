"""Features: axes are warped and bands masked within the stated bounds."""

import dataclasses

import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.signal.augment import AugmentConfig
from asr.signal.spec_augment import mask_features, warp_features, warp_time

OFF = AugmentConfig(speeds=(), time_masks=0, frequency_masks=0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 30), st.floats(0, 0.5), st.integers(0, 2**32))
def test_warp_stretches_a_ramp_by_at_most_its_share(mels: int, share: float, seed: int) -> None:
    config = dataclasses.replace(OFF, frequency_warp=share)
    ramp = torch.arange(float(mels)).repeat(3, 1)

    warped = warp_features(ramp, config, seeded(seed))

    assert warped.shape == ramp.shape
    assert torch.equal(warped[0], warped[2])
    lowest, highest = ((ramp[0] * (1 + side * share)).clamp(max=mels - 1) for side in (-1, 1))
    assert bool((warped[0] >= lowest - 1e-4).all())
    assert bool((warped[0] <= highest + 1e-4).all())


@given(st.integers(1, 400), st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_time_is_bent_by_at_most_its_share(frames: int, share: float, seed: int) -> None:
    ramp = torch.arange(float(frames)).unsqueeze(1).repeat(1, 2)

    warped = warp_time(ramp, dataclasses.replace(OFF, time_warp=share), seeded(seed))

    assert warped.shape == ramp.shape
    assert torch.equal(warped[[0, -1]], ramp[[0, -1]])
    assert torch.equal(warped[:, 0], warped[:, 1])
    # Each frame is taken from where the pace has come to, itself scaled by the mean pace.
    paces = warped[:, 0].diff()
    slowest = (1 - share) / (1 + share)
    assert bool((paces >= slowest - 1e-4).all())
    assert bool((paces <= 1 / slowest + 1e-4).all())


def test_the_pace_is_smooth_and_moves_words() -> None:
    ramp = torch.arange(300.0).unsqueeze(1)
    config = dataclasses.replace(OFF, time_warp=0.3)

    warped = torch.stack([warp_time(ramp, config, seeded(s)).flatten() for s in range(100)])

    assert float(warped.diff(n=2).abs().max()) <= 0.6 / 0.7 * 10 / 298 + 1e-3  # between two knots
    assert 1.0 < float((warped - ramp.flatten()).abs().amax(dim=1).mean()) < 15.0  # frames
    assert float((warped.mean(dim=0) - ramp.flatten()).abs().max()) < 2.0  # neither way by habit


def test_a_bent_curve_is_interpolated() -> None:
    seconds = torch.arange(200.0).unsqueeze(1) / 100
    config = dataclasses.replace(OFF, time_warp=0.4)

    curve = warp_time((3 * seconds).sin(), config, seeded(4))
    place = warp_time(seconds, config, seeded(4))

    assert torch.allclose(curve, (3 * place).sin(), atol=(3 * 0.01) ** 2 / 8 + 1e-5)


@given(
    st.integers(1, 120),
    st.integers(2, 40),
    st.integers(0, 4),
    st.integers(0, 50),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_time_masks_keep_their_bounds(
    frames: int, mels: int, masks: int, widest: int, share: float, seed: int
) -> None:
    config = dataclasses.replace(
        OFF, time_masks=masks, time_mask_frames=widest, time_mask_share=share
    )

    masked = mask_features(torch.ones(frames, mels), config, seeded(seed))

    assert bool((masked == masked[:, :1]).all())  # a frame is masked wholly or not at all
    hidden = masked[:, 0] == 0
    bound = min(widest, int(share * frames))
    assert int(hidden.sum()) <= masks * bound
    if masks == 1:
        positions = hidden.nonzero().flatten().tolist()
        assert positions == list(range(*_span(positions)))


@given(
    st.integers(1, 60), st.integers(1, 40), st.integers(0, 3), st.integers(0, 60), st.integers(0)
)
def test_frequency_masks_keep_their_bounds(
    frames: int, mels: int, masks: int, widest: int, seed: int
) -> None:
    config = dataclasses.replace(OFF, frequency_masks=masks, frequency_mask_mels=widest)

    masked = mask_features(torch.ones(frames, mels), config, seeded(seed % 2**63))

    assert bool((masked == masked[:1]).all())
    hidden = masked[0] == 0
    assert int(hidden.sum()) <= masks * min(widest, mels // 2)
    if masks == 1:
        positions = hidden.nonzero().flatten().tolist()
        assert positions == list(range(*_span(positions)))


def _span(positions: list[int]) -> tuple[int, int]:
    return (positions[0], positions[-1] + 1) if positions else (0, 0)


def test_masks_reach_their_widest_and_every_place() -> None:
    config = dataclasses.replace(OFF, time_masks=1, time_mask_frames=5, time_mask_share=1.0)
    widths, touched = set(), torch.zeros(12, dtype=torch.bool)

    for seed in range(200):
        hidden = mask_features(torch.ones(12, 3), config, seeded(seed))[:, 0] == 0
        widths.add(int(hidden.sum()))
        touched |= hidden

    assert widths == set(range(6))
    assert bool(touched.all())
