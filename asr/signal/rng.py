"""Random draws from an explicit generator, and seeds for generators.

Nothing here touches torch's global generator, so that a seed repeats every draw.
"""

import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A number uniformly distributed in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def randint(end: int, generator: torch.Generator) -> int:
    """An integer uniformly distributed in [0, end)."""
    return int(torch.randint(end, (), generator=generator))


def bernoulli(probability: float, generator: torch.Generator) -> bool:
    """True with the given probability. With probability 0 nothing is drawn from the generator.

    A change that is switched off therefore leaves the draws of all others as they were.
    """
    return probability > 0 and uniform(0, 1, generator) < probability


def seeded_generator(*numbers: int) -> torch.Generator:
    """A generator seeded by a tuple of numbers, e.g. seed, epoch and utterance."""
    return torch.Generator().manual_seed(combine_seeds(*numbers))


def combine_seeds(*numbers: int) -> int:
    """One seed in [0, 2^63), the range that torch takes, from several numbers."""
    seed = 0
    for number in numbers:
        seed = seed * 1_000_003 + number
    return seed % 2**63
