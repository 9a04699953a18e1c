"""Random warping and masking of features (SpecAugment, Park et al. 2019).

Every function draws from the generator it is given and leaves its input unchanged.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from asr.signal.augment import AugmentConfig
from asr.signal.rng import randint, uniform

_KNOT_FRAMES = 30
"""Distance between the points at which the pace is drawn: 0.3 s, about a syllable or two."""


def warp_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Stretch the frequency axis of `(T, F)` by a random factor, with linear interpolation."""
    if config.frequency_warp == 0:
        return features
    factor = uniform(1 - config.frequency_warp, 1 + config.frequency_warp, generator)
    last = features.shape[1] - 1
    # Where each output mel is read; beyond the last mel its value is repeated.
    position = (factor * torch.arange(last + 1)).clamp(max=last)
    lower = position.long()
    weight = position - lower
    return features[:, lower] * (1 - weight) + features[:, (lower + 1).clamp(max=last)] * weight


def warp_time(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Play `(T, F)` at a pace that changes smoothly; the first and last frames stay in place.

    SpecAugment's own warp moves a single point. Here the pace is drawn from 1 ± `time_warp` at a
    knot about every 30 frames, linear in between, then scaled to keep the number of frames.
    """
    num_frames = len(features)
    if config.time_warp == 0 or num_frames < 3:
        return features
    knots = max(2, num_frames // _KNOT_FRAMES + 1)
    paces = 1 + config.time_warp * (2 * torch.rand(1, 1, knots, generator=generator) - 1)
    pace = interpolate(paces, num_frames - 1, mode="linear", align_corners=True).flatten()
    # The integral of the pace is where each output frame is read. In double precision, so that
    # rounding over thousands of frames does not move the last one.
    position = torch.cat([torch.zeros(1), pace.double().cumsum(0)])
    position *= (num_frames - 1) / position[-1]
    lower = position.long().clamp(max=num_frames - 2)
    weight = (position - lower).float().unsqueeze(1)
    return torch.lerp(features[lower], features[lower + 1], weight)


def mask_features(features: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Set random bands of time and frequency of `(T, F)` to 0, the mean of normalised features."""
    masked = features.clone()
    num_frames, num_features = masked.shape
    # Bounded by a share of the utterance, or a mask could cover the whole of a short word.
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
