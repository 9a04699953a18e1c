"""A spoken word of any length as one vector, learnt without being told any word.

One recurrent network reads a sequence, another writes a sequence from the first one's last state
(Sutskever, Vinyals & Le 2014, "Sequence to Sequence Learning with Neural Networks"; Cho et al.
2014). If what it has to write is what was read, the vector between the two must hold all of it: a
sequence autoencoder. Chung et al. (2016, "Audio Word2Vec") made vectors of spoken words so, and
looked words up by the angle between them. Here the decoder is given the vector in every frame and
none of the true frames, so that all it knows comes through the vector. The encoder hears a changed
copy of the recording (another speed, other resonances, noise) and the decoder writes the recording
itself, as in a denoising autoencoder (Vincent et al. 2008): what a change may alter is of no use to
the vector.

Whether a vector holds the word is seen by looking words up across speakers, both never heard in
training: a recording of one ranks all those of the other by the cosine of the vectors. Mean average
precision is 1 if the 50 recordings of the same word always come first.
"""

import copy
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asr.model.norms import length_mask
from recipes.fsdd.prepare import WORDS
from recipes.recurrent.digits import (
    FEATURES,
    digits,
    drawn,
    left_out,
    padded,
    trained_on,
)
from recipes.recurrent.experiments import (
    MARKERS,
    PALETTE,
    Plan,
    Result,
    Results,
    by_kind,
    core_minutes,
    fit,
    layer_of,
    new_figure,
    save,
    spread,
    table,
)

PART = "autoencoder"
CELLS = ("lstm", "gru")
HIDDEN, VECTOR = 128, 64
"""Cells of the encoder and of the decoder; numbers of the vector."""
BATCH, STAGES = 64, ((1500, 2e-3), (300, 2e-4))
"""Utterances of an update; updates and Adam's rate in them."""
PIECES = 6
"""Of the baseline that cuts a recording into so many pieces of equal length."""
METHODS = {
    "chance": "any order",
    "mean": "mean of the frames",
    "pieces": f"means of {PIECES} pieces",
    "untrained": "last state, not trained",
    "vector": "autoencoder",
    "dtw": "alignment (DTW)",
}
LEARNT = ("untrained", "vector")
"""Methods that depend on the cell."""
DIGIT_COLOURS = (*PALETTE, "#666666", "#994455")

Encoder = Callable[[Sequence[Tensor]], Tensor]
"""One speaker's recordings to vectors `(N, D)`."""


class Autoencoder(nn.Module):
    """Features to a vector and back."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.encoder = layer_of(cell, FEATURES.num_features, HIDDEN)
        self.vector = nn.Linear(HIDDEN, VECTOR)
        self.decoder = layer_of(cell, VECTOR, HIDDEN)
        self.frames = nn.Linear(HIDDEN, FEATURES.num_features)

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, VECTOR)`, from the state after each utterance's last frame."""
        states = self.encoder(frames, lengths)
        vectors: Tensor = self.vector(states[torch.arange(len(lengths)), lengths - 1])
        return vectors

    @torch.no_grad()
    def vectors(self, recordings: Sequence[Tensor]) -> Tensor:
        """The vectors `(N, VECTOR)` of features."""
        return self.encode(*padded(recordings))

    def decode(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """`(N, VECTOR)` to `(N, T, F)`: the vector is the input of every frame."""
        repeated = vectors.unsqueeze(1).expand(-1, int(lengths.max()), -1)
        frames: Tensor = self.frames(self.decoder(repeated, lengths))
        return frames

    def loss(self, heard: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
        """Squared error of the frames that are written from what was heard, by number."""
        frames, lengths = padded(wanted)
        real = length_mask(lengths, frames.shape[1])
        written = self.decode(self.encode(*padded(heard)), lengths)
        return F.mse_loss(written[real], frames[real])


def means_of_pieces(frames: Tensor) -> Tensor:
    """The means of `PIECES` pieces of equal length of `(T, F)`, one after the other."""
    means: Tensor = F.adaptive_avg_pool1d(frames.t().unsqueeze(0), PIECES)
    return means.flatten()


def dtw_distances(query: Tensor, others: Tensor, lengths: Tensor) -> Tensor:
    """Mean distance of the frames of `(T, F)` and of each of `(N, U, F)` on their best alignment.

    Dynamic time warping (Sakoe & Chiba 1978): steps by one frame in one or in both, of which the
    latter counts twice; divided by the sum of both lengths. All utterances at once, and all cells
    of a diagonal of the U × T matrix, which do not need each other. Returns `(N,)`.
    """
    distances = torch.cdist(others, query.expand(len(others), -1, -1))
    count, rows, columns = distances.shape
    diagonals = distances.new_full((count, rows, rows + columns - 1), torch.inf)
    for row in range(rows):
        diagonals[:, row, row : row + columns] = distances[:, row]
    # The last two diagonals, with a row before the first: nothing comes from there.
    last = before = distances.new_full((count, rows + 1), torch.inf)
    totals = distances.new_empty(count)
    for number, own in enumerate(diagonals.unbind(dim=2)):
        best = torch.minimum(last[:, 1:], last[:, :-1]) + own
        best = torch.minimum(best, before[:, :-1] + 2 * own) if number else 2 * own
        ended = lengths + columns - 2 == number
        totals[ended] = best[ended, lengths[ended] - 1]
        last, before = F.pad(best, (1, 0), value=torch.inf), last
    return totals / (lengths + columns)


def mean_average_precision(scores: Tensor, relevant: Tensor) -> float:
    """Of queries whose results are ranked by `scores` `(Q, N)`, the highest first.

    `relevant` `(Q, N)` says what is looked for. Average precision is the mean, over these, of the
    share of them among all results down to each.
    """
    hits = relevant.gather(1, scores.argsort(dim=1, descending=True, stable=True)).double()
    precision = hits.cumsum(dim=1) / torch.arange(1, 1 + hits.shape[1])
    return float(((precision * hits).sum(dim=1) / hits.sum(dim=1)).mean())


def both_ways(scores: Tensor, rows: Sequence[int], columns: Sequence[int]) -> float:
    """Mean average precision of each speaker's recordings among the other's, by their labels."""
    relevant = torch.tensor(rows)[:, None] == torch.tensor(columns)
    ways = [(scores, relevant), (scores.t(), relevant.t())]
    return statistics.fmean(mean_average_precision(*way) for way in ways)


def cosines(queries: Tensor, others: Tensor) -> Tensor:
    """`(Q, D)` and `(N, D)` to `(Q, N)`."""
    return F.normalize(queries, dim=1) @ F.normalize(others, dim=1).t()


def alignments(queries: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Minus the DTW distances of features, `(Q, N)`."""
    batch, lengths = padded(others)
    return -torch.stack([dtw_distances(query, batch, lengths) for query in queries])


def less_mean(features: Sequence[Tensor]) -> list[Tensor]:
    """Features of one speaker's recordings, less the mean of all their frames."""
    mean = torch.cat(list(features)).mean(dim=0)
    return [frames - mean for frames in features]


def precisions(
    features: Sequence[Sequence[Tensor]],
    labels: Sequence[Sequence[int]],
    encoders: dict[str, Encoder],
) -> Result:
    """Mean average precision by method, of the recordings of two speakers.

    Of each, first with all as it is, then with each speaker's mean taken off.
    """
    vectors: dict[str, Encoder] = {
        "mean": lambda own: torch.stack([frames.mean(dim=0) for frames in own]),
        "pieces": lambda own: torch.stack([means_of_pieces(frames) for frames in own]),
        **encoders,
    }
    found: Result = {}
    for name, encode in vectors.items():
        one, other = (encode(own) for own in features)
        found[name] = [
            both_ways(cosines(one, other), *labels),
            both_ways(cosines(one - one.mean(dim=0), other - other.mean(dim=0)), *labels),
        ]
    centred = [less_mean(own) for own in features]
    found["dtw"] = [both_ways(alignments(*pair), *labels) for pair in (features, centred)]
    guess = torch.rand(*map(len, labels), generator=torch.Generator().manual_seed(0))
    found["chance"] = [both_ways(guess, *labels)] * 2
    return found


def plane(vectors: Tensor) -> list[list[float]]:
    """Vectors `(N, D)` on the two directions in which they differ most (PCA), to 3 digits."""
    centred = vectors - vectors.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    # The sign of a direction is arbitrary: its largest number is made positive.
    signs = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()
    points = centred @ (signs * directions)[:2].t()
    return [[round(value, 3) for value in point] for point in points.tolist()]


def learn(cell: str, seed: int) -> Result:
    """Train on four speakers without their words; look words up among the other two."""
    spoken = digits()
    torch.manual_seed(seed)
    model = Autoencoder(cell)
    features = [[spoken.clean[n] for n in spoken.of([who])] for who in left_out(seed)]
    labels = [[spoken.labels[n] for n in spoken.of([who])] for who in left_out(seed)]
    untrained = copy.deepcopy(model)
    draws = spoken.draws(trained_on(left_out(seed)), BATCH)

    def loss(step: int) -> Tensor:
        numbers = draws.next()
        return model.loss(drawn(spoken, numbers), [spoken.clean[number] for number in numbers])

    start = core_minutes()
    losses = [value for steps, rate in STAGES for value in fit(model, loss, steps, rate)]
    minutes = core_minutes() - start
    encoders: dict[str, Encoder] = {"untrained": untrained.vectors, "vector": model.vectors}
    vectors = [model.vectors(own) for own in features]
    return {
        "precision": precisions(features, labels, encoders),
        "loss": statistics.fmean(losses[-100:]),
        "minutes": minutes,
        "speakers": left_out(seed),
        "labels": labels,
        "points": plane(torch.cat([own - own.mean(dim=0) for own in vectors])),
    }


def run(plan: Plan) -> None:
    """An encoder and decoder of each of `CELLS` that is asked for."""
    for cell, seed in plan.runs(CELLS):
        plan.results.get(f"{PART}/{cell}-s{seed}", partial(learn, cell, seed))


def draw(result: Result, path: Path) -> None:
    """The map of one model's vectors: a colour and mark for each digit, one speaker hollow."""
    figure = new_figure(7.0, 5.0)
    axes = figure.subplots()
    points = iter(result["points"])
    for speaker, labels in zip(result["speakers"], result["labels"], strict=True):
        own = [(label, next(points)) for label in labels]
        for digit, word in enumerate(WORDS):
            colour, hollow = DIGIT_COLOURS[digit], speaker == result["speakers"][1]
            across, up = zip(*[point for label, point in own if label == digit], strict=True)
            axes.scatter(
                *(across, up, 22),
                marker=MARKERS[digit],
                facecolors="none" if hollow else colour,
                edgecolors=colour,
                linewidths=0.8,
                label=None if hollow else word.lower(),
            )
    axes.set(xlabel="first principal component", ylabel="second principal component")
    filled, hollow = result["speakers"]
    axes.set_title(f"filled: {filled}, hollow: {hollow}", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=8)
    save(figure, path)


def report(results: Results, figures: Path) -> str:
    """Mean average precision by method, and the map of one model's vectors."""
    found = {name: runs for name, runs in by_kind(results.finished(PART)).items() if name in CELLS}
    if not found:
        return ""

    def precision(cell: str, method: str, place: int) -> list[float]:
        return [result["precision"][method][place] for result in found[cell]]

    rows = [
        [
            METHODS[method] + (f", {cell}" if method in LEARNT else ""),
            *(spread(precision(cell, method, place), 3) for place in range(2)),
        ]
        for method in METHODS
        for cell in (found if method in LEARNT else list(found)[:1])
    ]
    best = max(found, key=lambda cell: statistics.fmean(precision(cell, "vector", 1)))
    draw(found[best][0], figures / "autoencoder.png")
    values = {m: statistics.fmean(precision(best, m, 1)) for m in METHODS}
    minutes = spread([result["minutes"] for runs in found.values() for result in runs])
    return "\n".join(
        [
            "## Sequence autoencoder: a spoken word as one vector\n",
            "The recordings of a speaker rank those of another one, both unknown; mean average "
            "precision of the same word, mean and range over pairs of speakers. In the second "
            "column each speaker's own mean is taken off, which needs no labels either.\n",
            table(["compared by", "as it is", "less the speaker's mean"], rows),
            f"Training took {minutes} minutes a model, on four speakers and without words.\n",
            f"![Map of the vectors of two unknown speakers, {best}](figures/autoencoder.png)\n",
            f"The vector of {VECTOR} numbers finds the word of the other speaker with a precision "
            f"of {values['vector']:.2f}, the mean of the frames with {values['mean']:.2f}, "
            f"{PIECES} means with {values['pieces']:.2f}, the same network before training with "
            f"{values['untrained']:.2f}; to align every two recordings frame by frame gives "
            f"{values['dtw']:.2f}.\n",
        ]
    )
