"""What every random change is drawn with: a generator of its own, so that a seed repeats it."""

import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A number between two, each as likely."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def below(end: int, generator: torch.Generator) -> int:
    """A whole number from 0 up to, and without, `end`."""
    return int(torch.randint(end, (), generator=generator))


def happens(chance: float, generator: torch.Generator) -> bool:
    """Whether what has this chance comes about; what has none is not drawn for."""
    return chance > 0 and uniform(0, 1, generator) < chance
