"""Emissions of a recogniser that never was: text in, peaky log-probabilities out.

A character is heard in one frame or two, with blanks around it. Hearing it is a noisy observation:
characters are points of a space in which those that sound alike lie close together, Gaussian noise
is added to the true one's point, more in some words than in others, and what is heard is the
posterior over all characters by Bayes' rule. Then the blank takes its part: nearly all of a frame
between characters, a random part of a character's second frame and of one that is spoken faintly,
and some blank frames hold the ghost of a character. So errors are those of confusable letters and
the probabilities mean what they say: where the likeliest token is wrong, the true one is among the
next. Shapes: T frames, C tokens with the blank, U characters of the text.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.text.tokens import BLANK, TokenTable

Emissions = NDArray[np.float32]
Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

TABLE = TokenTable(tuple(sorted(" 'abcdefghijklmnopqrstuvwxyz")))
"""29 tokens: the blank, space, apostrophe and the letters."""
FRAME_SECONDS = 0.04
SOUND_ALIKES = ("aeo", "bdpt", "cgkq", "fhv", "iuy", "jsxz", "lrw", "mn", " ", "'")
"""Every character is in one group: its own, and the others that it may be mistaken for."""


@dataclass(frozen=True)
class EmissionConfig:
    """How clearly the text is heard. The defaults make greedy decoding err in 45 % of words."""

    distinctness: float = 0.5
    """Length of a character's own direction; that of its group's is 1."""
    noise: float = 0.192
    """Median standard deviation of the noise."""
    noise_spread: float = 0.3
    """Standard deviation of the noise's natural logarithm, from word to word."""
    second_frame: float = 0.2
    """Probability that a character lasts for two frames, where there is room."""
    faint: float = 0.06
    """Probability that a character is faint."""
    ghost: float = 0.02
    """Probability that a frame between characters holds a ghost."""
    floor: float = 1e-4
    """Median probability in a frame that is spread over all tokens, whatever is heard."""


def emit(
    text: str, frames: int, generator: np.random.Generator, config: EmissionConfig | None = None
) -> Emissions:
    """Log-probabilities `(T, C)` of `text` as if spoken in `frames` frames of 40 ms.

    Equal arguments and generator states give equal emissions. Raises TextError if the tokens
    cannot spell the text; the frames must have room for it.
    """
    config = config or EmissionConfig()
    characters = np.array(TABLE.encode(text))
    first, second = _align(characters, frames, generator, config.second_frame)
    words = np.cumsum(characters == TABLE.encode(" ")[0])
    noise = config.noise * np.exp(config.noise_spread * generator.normal(size=words[-1] + 1))
    faint = generator.uniform(size=len(characters)) < config.faint
    presence = np.where(faint, generator.uniform(size=len(characters)), 1.0)
    heard = _hear(characters, noise[words], generator, config.distinctness)

    posteriors = np.zeros((frames, len(TABLE)))
    posteriors[first] = presence[:, None] * heard
    lasting = np.flatnonzero(second)
    fading = presence[lasting] * generator.uniform(size=len(lasting))
    posteriors[first[lasting] + 1] = fading[:, None] * heard[lasting]
    empty = np.setdiff1d(np.arange(frames), np.append(first, first[lasting] + 1))
    ghosts = empty[generator.uniform(size=len(empty)) < config.ghost]
    echoes = generator.integers(len(characters), size=len(ghosts))
    posteriors[ghosts] = generator.uniform(size=(len(ghosts), 1)) * heard[echoes]
    posteriors[:, BLANK] = 1 - posteriors.sum(axis=1)
    return _log_with_floor(posteriors, generator, config.floor)


def _align(
    characters: Indices, frames: int, generator: np.random.Generator, second_frame: float
) -> tuple[Indices, NDArray[np.bool_]]:
    """The first frame of each character `(U,)`, and whether it lasts for a second one `(U,)`.

    Frames to spare lie between the characters by chance, twice as many after a space; between
    equal characters there is always a blank.
    """
    repeated = np.append(characters[1:] == characters[:-1], False)
    spare = frames - len(characters) - int(repeated.sum())
    assert spare >= 0, f"{len(characters)} characters do not fit {frames} frames"
    weights = np.append(1.0, np.where(characters == TABLE.encode(" ")[0], 2.0, 1.0))
    free = generator.multinomial(spare, weights / weights.sum())
    gaps = free + np.append(0, repeated)
    first: Indices = np.cumsum(gaps[:-1] + 1) - 1
    return first, (free[1:] > 0) & (generator.uniform(size=len(characters)) < second_frame)


def _hear(
    characters: Indices, noise: Reals, generator: np.random.Generator, distinctness: float
) -> Reals:
    """The posterior over all tokens `(U, C)` of noisy observations; the blank's share is 0."""
    groups = [[float(c in group) for group in SOUND_ALIKES] for c in TABLE.characters]
    points = np.hstack([distinctness * np.eye(len(groups)), groups])
    deviation = noise[:, None]
    observed = points[characters - 1] + deviation * generator.normal(
        size=(len(characters), points.shape[1])
    )
    distances = ((observed[:, None] - points) ** 2).sum(axis=2)
    distances -= distances.min(axis=1, keepdims=True)
    likelihoods = np.exp(-distances / (2 * deviation**2))
    return np.insert(likelihoods / likelihoods.sum(axis=1, keepdims=True), BLANK, 0.0, axis=1)


def _log_with_floor(posteriors: Reals, generator: np.random.Generator, floor: float) -> Emissions:
    """Logarithms of `posteriors` `(T, C)`, a small part of which is spread unevenly first."""
    spread = np.exp(2 * generator.normal(size=posteriors.shape))
    spread /= spread.sum(axis=1, keepdims=True)
    share = np.minimum(floor * np.exp(generator.normal(size=(len(posteriors), 1))), 0.1)
    emissions: Emissions = np.log((1 - share) * posteriors + share * spread).astype(np.float32)
    return emissions


def emit_tokens(tokens: int, frames: int, generator: np.random.Generator) -> Emissions:
    """Log-probabilities `(T, C)` over any number of tokens: a random one peaks every other frame.

    In most peaks three others share the probability; for measuring time where no text matters.
    """
    posteriors = np.zeros((frames, tokens))
    posteriors[:, BLANK] = 1.0
    peaks = np.flatnonzero(generator.uniform(size=frames) < 0.5)
    heard = generator.integers(1, tokens, size=(len(peaks), 4))
    shares = generator.dirichlet([1.0, 0.1, 0.1, 0.1, 0.02], size=len(peaks))
    posteriors[peaks] = 0.0
    np.add.at(posteriors, (peaks[:, None], heard), shares[:, :4])
    posteriors[peaks, BLANK] += shares[:, 4]
    return _log_with_floor(posteriors, generator, EmissionConfig.floor)
