"""Random draws from an explicit generator, and seeds that differ."""

import torch

from asr.signal.rng import bernoulli, combine_seeds, randint, seeded_generator, uniform


def test_draws_stay_within_their_bounds() -> None:
    generator = seeded_generator(0)

    numbers = [uniform(-1.0, 2.0, generator) for _ in range(300)]
    integers = [randint(3, generator) for _ in range(300)]

    assert -1.0 <= min(numbers) < -0.8
    assert 1.8 < max(numbers) < 2.0
    assert set(integers) == {0, 1, 2}


def test_probability_zero_draws_nothing() -> None:
    generator = seeded_generator(0)
    before = generator.get_state()

    assert not bernoulli(0.0, generator)
    assert torch.equal(generator.get_state(), before)
    assert bernoulli(1.0, generator)


def test_seeds_of_neighbouring_numbers_differ() -> None:
    seeds = {combine_seeds(*numbers) for numbers in ((0, 1), (1, 0), (1, 1), (0, 0, 1), (1, 0, 0))}

    assert len(seeds) == 4  # leading zeros do not count
    assert all(0 <= combine_seeds(2**70, seed) < 2**63 for seed in seeds)
