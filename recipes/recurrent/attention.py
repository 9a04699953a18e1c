"""Attention beside CTC: two ways to write few words for many frames.

CTC (Graves et al. 2006) lets every frame say a word or blank: words come in the order of the
frames, and the model has nothing else to keep track of. Attention (Bahdanau, Cho & Bengio 2015, for
translation; Chan et al. 2016, "Listen, Attend and Spell", for speech) is a second recurrent network
that writes the words one by one, and for each looks at all frames: it weighs them by what they
contain, and reads their weighted mean. Its words depend on each other, which CTC's do not; but it
has to learn to look further on each time, and to stop after the last word. What it learns holds for
strings as long as those in training: in longer ones it loses its place, and skips or repeats words
(Chorowski et al. 2015, "Attention-Based Models for Speech Recognition").

Both have the same bidirectional LSTM below them, and learn from the same strings of two to five
digits, joined from recordings of one speaker each. The test is on strings of two to ten digits,
joined from the official test recordings of the same speakers.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.align import viterbi_align
from asr.decode.greedy import greedy_search_batch
from asr.model.loss import ctc_loss
from asr.model.norms import length_mask
from asr.scoring.wer import ErrorCounts, word_errors
from asr.signal.audio import read
from asr.signal.features import FeatureConfig, FeatureExtractor
from recipes.fsdd.prepare import SAMPLE_RATE, WORDS, by_speaker, join
from recipes.recurrent.experiments import (
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PART = "attention"
FOLDER = Path("data/fsdd")
FEATURES = FeatureConfig(sample_rate=SAMPLE_RATE, num_mels=40, high_hz=3800.0, stack=3)
"""Frames of 30 ms."""
TRAINED, LONGER = range(2, 6), range(6, 11)
"""Digits of a string, in training, and beyond it in the test."""
ROUNDS, TEST_ROUNDS = 3, 2
"""Number of strings that each recording occurs in; of the test ones, for each length."""
HIDDEN, DROPOUT, BATCH = 96, 0.2, 16
STAGES = ((1200, 3e-3), (300, 3e-4))
"""Updates, and Adam's rate in them."""
TOKENS, NONE = 1 + len(WORDS), 0
"""The digits are 1 to 10; 0 is CTC's blank, and the end of what attention writes."""
MOST_WORDS = 2 * max(LONGER)
"""Attention that has not come to an end by then is stopped."""
SHOWN = (4, 9)
"""Lengths of the strings in the figure."""


@dataclass(frozen=True)
class String:
    """Features `(T, F)` of a spoken string, and its digits as tokens."""

    features: Tensor
    digits: tuple[int, ...]


def strings(
    recordings: Sequence[Utterance], lengths: Sequence[int], rounds: int, seed: str
) -> list[String]:
    """Strings of a speaker's recordings, each of them used once in every round at most."""
    generator = random.Random(seed)
    extractor = FeatureExtractor(FEATURES)
    speech = {u.id: read(u.audio_filepath, SAMPLE_RATE)[0] for u in recordings}
    found = []
    for own in list(by_speaker(recordings).values()) * rounds:
        order = generator.sample(own, len(own))
        while len(order) >= max(lengths):
            length = generator.choice(lengths)
            chosen, order = order[:length], order[length:]
            waveform = join([speech[u.id] for u in chosen], generator, SAMPLE_RATE)
            digits = tuple(1 + WORDS.index(u.text) for u in chosen)
            found.append(String(extractor(waveform), digits))
    return found


def words_of(digits: Sequence[int]) -> list[str]:
    """The words of tokens."""
    return [WORDS[digit - 1].lower() for digit in digits]


def batch_of(chosen: Sequence[String]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features `(N, T, F)`, their lengths, digits `(N, U)`, their lengths; padding is zero."""
    features = nn.utils.rnn.pad_sequence([one.features for one in chosen], batch_first=True)
    digits = nn.utils.rnn.pad_sequence(
        [torch.tensor(one.digits) for one in chosen], batch_first=True
    )
    frames = torch.tensor([len(one.features) for one in chosen])
    return features, frames, digits, torch.tensor([len(one.digits) for one in chosen])


class Encoder(nn.Module):
    """Frames to frames that know both sides: the part that both models share."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = layer_of("lstm", FEATURES.num_features, HIDDEN, bidirectional=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.output_size = self.layer.output_size

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T, 2H)`."""
        output: Tensor = self.dropout(self.layer(features, lengths))
        return output


class Ctc(nn.Module):
    """A word or the blank in every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.output = nn.Linear(self.encoder.output_size, TOKENS)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities `(N, T, C)`."""
        emissions: Tensor = self.output(self.encoder(features, lengths)).log_softmax(dim=2)
        return emissions

    def loss(self, batch: Sequence[String]) -> Tensor:
        """Nats per string."""
        features, frames, digits, lengths = batch_of(batch)
        return ctc_loss(self(features, frames), frames, digits, lengths).mean()

    @torch.no_grad()
    def write(self, batch: Sequence[String]) -> list[tuple[int, ...]]:
        """The digits of every string."""
        features, frames, _, _ = batch_of(batch)
        return [found.tokens for found in greedy_search_batch(self(features, frames), frames)]

    @torch.no_grad()
    def picture(self, string: String) -> dict[str, Any]:
        """What its emissions `(T, C)` are, and the frames of each digit in the alignment."""
        emissions = self(*batch_of([string])[:2])[0]
        path = viterbi_align(emissions, string.digits)
        return {
            "emissions": rounded(emissions.exp()),
            "first": list(path.first_frames),
            "last": list(path.last_frames),
        }


class Attention(nn.Module):
    """A network that writes, and looks at the frames once for every word."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        width = self.encoder.output_size
        self.keys = nn.Linear(width, HIDDEN)
        self.query = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.match = nn.Linear(HIDDEN, 1, bias=False)
        self.vectors = nn.Embedding(TOKENS, HIDDEN // 2)
        self.writer = nn.GRUCell(HIDDEN // 2 + width, HIDDEN)
        self.output = nn.Linear(HIDDEN + width, TOKENS)

    def forward(
        self, features: Tensor, lengths: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities `(N, U, C)` of each word, and the weights of frames `(N, U, T)`.

        Each word follows the one before it in `given` `(N, U)`, or, without, the likeliest one, as
        often as it takes for all to come to an end.
        """
        frames = self.encoder(features, lengths)
        keys, padding = self.keys(frames), ~length_mask(lengths, frames.shape[1])
        state, seen = torch.zeros(len(keys), HIDDEN), torch.zeros(len(keys), frames.shape[2])
        word, ended = torch.full((len(keys),), NONE), torch.zeros(len(keys), dtype=torch.bool)
        words, looks = [], []
        for place in range(MOST_WORDS if given is None else given.shape[1]):
            state = self.writer(torch.cat([self.vectors(word), seen], dim=1), state)
            energies = self.match(torch.tanh(keys + self.query(state).unsqueeze(1))).squeeze(2)
            weights = energies.masked_fill(padding, -torch.inf).softmax(dim=1)
            seen = torch.einsum("nt,nth->nh", weights, frames)
            words.append(self.output(torch.cat([state, seen], dim=1)).log_softmax(dim=1))
            looks.append(weights)
            word = words[-1].argmax(dim=1) if given is None else given[:, place]
            ended |= word == NONE
            if given is None and bool(ended.all()):
                break
        return torch.stack(words, dim=1), torch.stack(looks, dim=1)

    def loss(self, batch: Sequence[String]) -> Tensor:
        """Nats per string, its end included."""
        features, frames, digits, lengths = batch_of(batch)
        given = nn.functional.pad(digits, (0, 1))
        log_probs: Tensor = self(features, frames, given)[0]
        found = log_probs.gather(2, given.unsqueeze(2)).squeeze(2)
        return -(found * length_mask(lengths + 1, given.shape[1])).sum(dim=1).mean()

    @torch.no_grad()
    def write(self, batch: Sequence[String]) -> list[tuple[int, ...]]:
        """The digits of every string."""
        best = self(*batch_of(batch)[:2])[0].argmax(dim=2).tolist()
        return [tuple(line[: line.index(NONE)] if NONE in line else line) for line in best]

    @torch.no_grad()
    def picture(self, string: String) -> dict[str, Any]:
        """The weights of frames `(U, T)` for each digit that is written, and for the end."""
        return {"weights": rounded(self(*batch_of([string])[:2])[1][0])}


MODELS: dict[str, type[Ctc] | type[Attention]] = {"CTC": Ctc, "attention": Attention}


def rounded(values: Tensor) -> list[list[float]]:
    """Values of a picture, short enough for a file."""
    return [[round(value, 4) for value in row] for row in values.tolist()]


def batches(examples: Sequence[String], updates: int, seed: int) -> list[list[String]]:
    """Strings of similar length together, in random order, for so many updates."""
    generator, found = random.Random(seed), list[list[String]]()
    while len(found) < updates:
        order = sorted(examples, key=lambda one: len(one.features) + generator.uniform(0, 10))
        pieces = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        found += generator.sample(pieces, len(pieces))
    return found[:updates]


def train(kind: str, examples: Sequence[String], seed: int) -> Ctc | Attention:
    """A model of these strings."""
    torch.manual_seed(seed)
    model = MODELS[kind]()
    order = iter(batches(examples, sum(updates for updates, _ in STAGES), seed))
    for updates, rate in STAGES:
        fit(model, lambda _: model.loss(next(order)), updates, rate)
    return model.eval()


def errors_of(model: Ctc | Attention, examples: Sequence[String]) -> ErrorCounts:
    """The word errors of all strings together."""
    total = ErrorCounts(0, 0, 0, 0)
    for start in range(0, len(examples), 2 * BATCH):
        batch = examples[start : start + 2 * BATCH]
        for string, found in zip(batch, model.write(batch), strict=True):
            total += word_errors(*(" ".join(words_of(digits)) for digits in (string.digits, found)))
    return total


def test_strings(split: str) -> dict[int, list[String]]:
    """The strings of each length, the same for every model."""
    recordings = read_manifest(FOLDER / f"{split}.jsonl")
    lengths = (*TRAINED, *LONGER)
    return {n: strings(recordings, [n], TEST_ROUNDS, f"{split} {n}") for n in lengths}


def measure(kind: str, seed: int, split: str = "test") -> Result:
    """Train a model, and count its errors by the length of strings."""
    recordings = read_manifest(FOLDER / "train.jsonl")
    examples, begin = strings(recordings, TRAINED, ROUNDS, f"train {seed}"), core_minutes()
    model = train(kind, examples, seed)
    minutes, tests = core_minutes() - begin, test_strings(split)
    counts = {length: errors_of(model, found) for length, found in tests.items()}
    shown = [tests[length][0] for length in SHOWN]
    return {
        "errors": {str(length): asdict(count) for length, count in counts.items()},
        "pictures": [
            {"digits": string.digits, "written": model.write([string])[0], **model.picture(string)}
            for string in shown
        ],
        "parameters": sum(value.numel() for value in model.parameters()),
        "minutes": minutes,
    }


def run(plan: Plan) -> None:
    """Both models above an LSTM, of every seed."""
    for _, seed in plan.runs(["lstm"]):
        for kind in MODELS:
            plan.results.get(f"{PART}/{kind}-s{seed}", partial(measure, kind, seed))


def counts_of(result: Result, lengths: Sequence[int]) -> ErrorCounts:
    """The errors in strings of these lengths together."""
    counts = (ErrorCounts(**result["errors"][str(length)]) for length in lengths)
    return sum(counts, ErrorCounts(0, 0, 0, 0))


def rate_of(result: Result, lengths: Sequence[int]) -> float:
    """Word errors in percent."""
    return 100 * counts_of(result, lengths).rate


def draw_string(attends: "Axes", aligns: "Axes", attention: Result, ctc: Result) -> None:
    """Of one string the weights of the frames of each word above CTC's emissions of each word."""
    seconds = FEATURES.frame_seconds
    spoken, written = words_of(ctc["digits"]), words_of(attention["written"])
    emitted = [[frame[digit] for frame in ctc["emissions"]] for digit in ctc["digits"]]
    looks = [[weight / max(row) for weight in row] for row in attention["weights"]]
    for axes, rows, labels in ((attends, looks, [*written, "(end)"]), (aligns, emitted, spoken)):
        extent = (0, len(rows[0]) * seconds, len(rows) - 0.5, -0.5)
        axes.imshow(
            rows, cmap="Greys", vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="none"
        )
        axes.set_yticks(range(len(rows)), labels[: len(rows)], fontsize=8)
    for place, (first, last) in enumerate(zip(ctc["first"], ctc["last"], strict=True)):
        edges = [first * seconds, (last + 1) * seconds]
        aligns.plot(edges, [place + 0.42] * 2, color=PALETTE[1], linewidth=2.5)
        for axes in (attends, aligns):
            axes.axvline(edges[0], color=PALETTE[0], linewidth=0.6, linestyle=":")
    title = f"attention ({len(spoken)} digits spoken, {len(written)} written)"
    attends.set_title(title, fontsize=9)
    aligns.set_title("CTC", fontsize=9)
    aligns.set_xlabel("time in seconds")


def draw(attention: Result, ctc: Result, path: Path) -> None:
    """Strings side by side, each on one axis of time."""
    widths = [len(picture["emissions"]) for picture in ctc["pictures"]]
    figure = new_figure(10.0, 5.2)
    grid = figure.subplots(2, len(widths), sharex="col", width_ratios=widths, squeeze=False)
    pairs = zip(attention["pictures"], ctc["pictures"], strict=True)
    for column, (look, path_of) in enumerate(pairs):
        draw_string(grid[0][column], grid[1][column], look, path_of)
    save(figure, path)


def remarks(found: dict[str, list[Result]]) -> str:
    """What is seen, in words."""
    lines = []
    for kind, runs in found.items():
        inside, beyond = (
            fmean(rate_of(run, lengths) for run in runs) for lengths in (TRAINED, LONGER)
        )
        longest = sum((counts_of(run, LONGER[-1:]) for run in runs), ErrorCounts(0, 0, 0, 0))
        written = longest.hits + longest.substitutions + longest.insertions
        lines.append(
            f"{kind} has {inside:.1f} % of the words wrong in strings as long as in training, and "
            f"{beyond:.1f} % in longer ones; of {max(LONGER)} digits spoken it writes "
            f"{max(LONGER) * written / longest.words:.1f}"
        )
    return ". ".join(lines) + "."


def report(results: Results, figures: Path) -> str:
    """The section of this part, and its figure; empty without results."""
    groups = by_kind(results.finished(PART))
    found = {kind: groups[kind] for kind in MODELS if kind in groups}
    if not found:
        return ""
    lengths = (*TRAINED, *LONGER)
    rows = [
        [str(n), *(spread([rate_of(run, [n]) for run in runs]) for runs in found.values())]
        for n in lengths
    ]
    rows += [["minutes", *(spread([run["minutes"] for run in runs]) for runs in found.values())]]
    rows += [["parameters", *(str(runs[0]["parameters"]) for runs in found.values())]]
    lines = ["## Attention beside CTC", "", table(["digits", *found], rows)]
    lines += [
        "Word errors in percent, greedy, by the number of digits of a string, of the official test "
        f"recordings; mean (range) over seeds. In training, strings had {min(TRAINED)} to "
        f"{max(TRAINED)} digits."
    ]
    if len(found) == len(MODELS):
        draw(found["attention"][0], found["CTC"][0], figures / "attention.png")
        lines += [
            *("", "![Attention and CTC's alignment](figures/attention.png)", ""),
            "Above, the frames that attention looks at for each word that it writes, black where a "
            "row has its largest weight; below, CTC's probability of each word of the reference in "
            "every frame, and, underlined, the frames that the forced alignment gives to it. "
            "Dotted lines: where CTC's words begin.",
            "",
        ]
    return "\n".join([*lines, remarks(found)]) + "\n"
