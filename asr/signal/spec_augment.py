"""Random changes to features: axes warped, bands masked (SpecAugment, Park et al. 2019).

Every function draws from the generator it is given, and leaves alone what it is given.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from asr.signal.augment import AugmentConfig
from asr.signal.rng import randint, uniform

_KNOT_FRAMES = 30


def warp_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Stretch the frequency axis of `(T, F)` by a random factor, linearly interpolated."""
    if config.frequency_warp == 0:
        return features
    factor = uniform(1 - config.frequency_warp, 1 + config.frequency_warp, generator)
    last = features.shape[1] - 1
    place = (factor * torch.arange(last + 1)).clamp(max=last)
    lower = place.long()
    share = place - lower
    return features[:, lower] * (1 - share) + features[:, (lower + 1).clamp(max=last)] * share


def warp_time(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Say `(T, F)` at a pace that changes smoothly; first and last frame stay where they are.

    SpecAugment's warp has one kink. Here the pace is 1 ± `time_warp` at a knot about every
    30 frames, linear in between, then scaled so that the length is the same.
    """
    num_frames = len(features)
    if config.time_warp == 0 or num_frames < 3:
        return features
    knots = max(2, num_frames // _KNOT_FRAMES + 1)
    paces = 1 + config.time_warp * (2 * torch.rand(1, 1, knots, generator=generator) - 1)
    pace = interpolate(paces, num_frames - 1, mode="linear", align_corners=True).flatten()
    place = torch.cat([torch.zeros(1), pace.double().cumsum(0)])
    place *= (num_frames - 1) / place[-1]
    lower = place.long().clamp(max=num_frames - 2)
    share = (place - lower).float().unsqueeze(1)
    return torch.lerp(features[lower], features[lower + 1], share)


def mask_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Bands of time and of frequency of `(T, F)` become 0, their mean."""
    masked = features.clone()
    num_frames, num_features = masked.shape
    widest = min(config.time_mask_frames, int(config.time_mask_share * num_frames))
    for _ in range(config.time_masks):
        _mask_band(masked, 0, widest, generator)
    for _ in range(config.frequency_masks):
        _mask_band(masked, 1, min(config.frequency_mask_mels, num_features // 2), generator)
    return masked


def _mask_band(features: Tensor, axis: int, widest: int, generator: torch.Generator) -> None:
    width = randint(widest + 1, generator)
    start = randint(features.shape[axis] - width + 1, generator)
    features.narrow(axis, start, width).zero_()
