"""Next-word prediction: a network that reads a sentence and says at each word which may follow.

Bengio et al. (2003, "A Neural Probabilistic Language Model") gave every word a vector, and let a
feed-forward network predict the next word from the vectors of the few before it: words of like
vectors share what is learnt, where an n-gram counts each sequence for itself. Mikolov et al. (2010,
"Recurrent neural network based language model") fed the network its own state instead, so that
it sees the whole sentence so far, and found that the mean of its probabilities and an n-gram's is
better than either.

All models see the same nine tenths of the sentences of AN4's train, and are measured on dev: the
perplexity per word, sentence end included, or bits per character. The networks have the same number
of parameters; the remaining tenth says when to stop training them. Words that train lacks are
<unk>, which networks learn from words that occur once: half of the time they are <unk> too.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import NgramModel, compile_model
from asr.language.ngram.table import SENTENCE_END, UNKNOWN
from asr.language.ngram.text import read_sentences
from asr.model.layers import Dropout
from asr.model.norms import length_mask
from asr.text.tokens import Units
from recipes.recurrent.experiments import (
    CELL_ORDER,
    PALETTE,
    Plan,
    Result,
    Results,
    by_kind,
    closest_size,
    core_minutes,
    layer_of,
    new_figure,
    save,
    spread,
    table,
)

PART = "next_word"
FOLDER = Path("data/an4")
UNITS: dict[str, Units | None] = {"words": None, "characters": "characters"}
ORDERS = (3, 6)
"""Of the n-grams: the order that `asr lm train` has by default, and a high one."""
FEED_FORWARD, SEEN = "feed-forward", 2
"""A network that sees two words, as a 3-gram does."""
HELD_OUT = 10
"""One sentence in so many is left out of train."""
PARAMETERS, EMBEDDING, DROPOUT = 40_000, 48, 0.4
BATCH, RATE, EPOCHS, PATIENCE = 32, 6e-3, 25, 5
"""Sentences of an update; Adam's rate; most epochs; epochs without an improvement before a stop."""

Sentences = list[list[str]]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Text:
    """Sentences, and the words of `train`; the first two are the sentence's end and <unk>."""

    train: Sentences
    held_out: Sentences
    dev: Sentences
    words: tuple[str, ...]

    def encode(self, sentences: Sentences) -> tuple[Tensor, Tensor]:
        """Words `(N, U)` with the end after them and on all padding, and lengths `(N,)` with it."""
        index = {word: number for number, word in enumerate(self.words)}
        rows = [torch.tensor([index.get(word, 1) for word in line] + [0]) for line in sentences]
        lengths = torch.tensor([len(row) for row in rows])
        return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


def read_text(unit: str) -> Text:
    """The text in words or in characters. Raises AsrError where a manifest cannot be read."""
    sentences, dev = (
        read_sentences(FOLDER / f"{split}.jsonl", UNITS[unit]) for split in ("train", "dev")
    )
    held_out = sentences[HELD_OUT - 1 :: HELD_OUT]
    train = [line for place, line in enumerate(sentences, 1) if place % HELD_OUT]
    words = sorted({word for line in train for word in line})
    return Text(train, held_out, dev, (SENTENCE_END, UNKNOWN, *words))


class Window(nn.Module):
    """tanh of the last `SEEN` frames: `(N, T, F)` to `(N, T, H)`."""

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__()
        self.output_size = hidden
        self.inputs = nn.Linear(SEEN * input_size, hidden)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """What comes before the first frame is zero."""
        shifted = [
            nn.functional.pad(frames, (0, 0, back, 0))[:, : frames.shape[1]] for back in range(SEEN)
        ]
        return torch.tanh(self.inputs(torch.cat(shifted, dim=2)))


class LanguageModel(nn.Module):
    """Vectors of words, one layer, and the probabilities of the next word."""

    def __init__(self, kind: str, words: int, hidden: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, EMBEDDING)
        self.dropout = Dropout(DROPOUT)
        self.layer = (
            Window(EMBEDDING, hidden) if kind == FEED_FORWARD else layer_of(kind, EMBEDDING, hidden)
        )
        self.next = nn.Linear(hidden, words)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Log-probability `(N, U)` of each word after those before it."""
        before = nn.functional.pad(words, (1, -1))  # a sentence begins after the end of another
        seen = self.layer(self.dropout(self.vectors(before)), lengths)
        log_probs = self.next(self.dropout(seen)).log_softmax(dim=2)
        found: Tensor = log_probs.gather(2, words.unsqueeze(2)).squeeze(2)
        return found


@torch.no_grad()
def scores_of(model: LanguageModel, text: Text, sentences: Sentences) -> Scores:
    """Log-probability of every word of the sentences and of their ends, one after the other."""
    model.eval()
    words, lengths = text.encode(sentences)
    real = length_mask(lengths, words.shape[1])
    scores: Scores = model(words, lengths)[real].double().numpy()
    return scores


def ngram_scores(model: NgramModel, sentences: Sentences) -> Scores:
    """As `scores_of`."""
    return np.concatenate([model.word_log_probs(sentence) for sentence in sentences])


def batches(lengths: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Sentences of similar length together, in random order: indices of each batch."""
    order = (lengths + 3 * torch.rand(len(lengths), generator=generator)).argsort()
    pieces = torch.split(order, BATCH)
    return [pieces[place] for place in torch.randperm(len(pieces), generator=generator)]


def train(kind: str, text: Text, seed: int) -> tuple[LanguageModel, int]:
    """A network, as it was after the epoch that was best on the sentences held out; that epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    size = closest_size(lambda hidden: LanguageModel(kind, len(text.words), hidden), PARAMETERS)
    model = LanguageModel(kind, len(text.words), size)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    words, lengths = text.encode(text.train)
    counts = Counter(word for line in text.train for word in line)
    rare = torch.tensor([counts[word] == 1 for word in text.words])[words]
    best, best_epoch, weights = -math.inf, 0, model.state_dict()
    for epoch in range(1, EPOCHS + 1):
        model.train()
        hidden_words = rare & (torch.rand(words.shape, generator=generator) < 0.5)
        seen = words.masked_fill(hidden_words, 1)
        for chosen in batches(lengths, generator):
            longest = int(lengths[chosen].max())
            log_probs = model(seen[chosen, :longest], lengths[chosen])
            loss: Tensor = -log_probs[length_mask(lengths[chosen], longest)].mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        found = scores_of(model, text, text.held_out).mean()
        if found > best:
            best, best_epoch = found, epoch
            weights = {name: value.clone() for name, value in model.state_dict().items()}
        elif epoch >= best_epoch + PATIENCE:
            break
    model.load_state_dict(weights)
    return model, best_epoch


def nats(scores: Scores) -> float:
    """Mean surprise per word, sentence ends included."""
    return float(-scores.mean())


def measure_ngrams(unit: str) -> Result:
    """The n-grams of each order: all their scores on dev."""
    text = read_text(unit)
    found = {}
    for order in ORDERS:
        model = compile_model(estimate(text.train, order).table)
        found[str(order)] = ngram_scores(model, text.dev).tolist()
    return found


def measure(kind: str, unit: str, seed: int, grams: Result) -> Result:
    """A network on dev: alone, and the mean of its probabilities and those of each n-gram."""
    text, begin = read_text(unit), core_minutes()
    model, epoch = train(kind, text, seed)
    minutes, own = core_minutes() - begin, scores_of(model, text, text.dev)
    mixed = {
        order: nats(np.logaddexp(own, np.array(other)) - math.log(2))
        for order, other in grams.items()
    }
    parameters = sum(value.numel() for value in model.parameters())
    return {
        **{"nats": nats(own), "mixed": mixed, "epoch": epoch},
        **{"parameters": parameters, "minutes": minutes},
    }


def run(plan: Plan) -> None:
    """Every cell, and the feed-forward network, on words and on characters."""
    kinds = [*((FEED_FORWARD, seed) for seed in range(plan.seeds)), *plan.runs(CELL_ORDER)]
    for unit in UNITS:
        grams = plan.results.get(f"{PART}/{unit}-ngram", partial(measure_ngrams, unit))
        for kind, seed in kinds:
            name = f"{PART}/{unit}-{kind}-s{seed}"
            plan.results.get(name, partial(measure, kind, unit, seed, grams))


def in_unit(unit: str, value: float) -> float:
    """Nats as perplexity per word, or as bits per character."""
    return math.exp(value) if unit == "words" else value / math.log(2)


MEASURES = {"words": "perplexity per word", "characters": "bits per character"}
Found = dict[str, list[Result]]
"""Results of every seed, by network, in the order of the story."""


def of_unit(unit: str, results: Results) -> tuple[dict[str, float], Found]:
    """The n-grams' figures, by order, and the networks' results, of words or of characters."""
    groups = by_kind(results.finished(PART))
    scores: Result = groups.get(f"{unit}-ngram", [{}])[0]
    grams = {order: in_unit(unit, nats(np.array(values))) for order, values in scores.items()}
    kinds = (FEED_FORWARD, *CELL_ORDER)
    found = {kind: groups[f"{unit}-{kind}"] for kind in kinds if f"{unit}-{kind}" in groups}
    return grams, found


def figures_of(unit: str, runs: list[Result], order: str = "") -> list[float]:
    """Of every seed the network's figure: alone, or with the n-gram of an order."""
    return [in_unit(unit, run["mixed"][order] if order else run["nats"]) for run in runs]


def rows_of(unit: str, grams: dict[str, float], found: Found) -> list[list[str]]:
    """The table of words or of characters."""
    digits = 1 if unit == "words" else 2
    rows = [[f"{order}-gram", f"{value:.{digits}f}", "", "", ""] for order, value in grams.items()]
    for kind, runs in found.items():
        mixed = [spread(figures_of(unit, runs, str(order)), digits) for order in ORDERS]
        minutes = f"{fmean(run['minutes'] for run in runs):.2f}"
        rows.append([kind, spread(figures_of(unit, runs), digits), *mixed, minutes])
    return rows


def draw(data: dict[str, tuple[dict[str, float], Found]], path: Path) -> None:
    """A line for every network: its figure alone, and that of the mean with an n-gram."""
    figure = new_figure(8.0, 4.2)
    for axes, unit in zip(np.atleast_1d(figure.subplots(1, len(data))), data, strict=True):
        grams, found = data[unit]
        for (order, value), style in zip(grams.items(), ("--", ":"), strict=False):
            axes.axvline(value, color="black", linestyle=style, label=f"{order}-gram alone")
        for label, order, colour, marker in (
            ("network alone", "", PALETTE[0], "o"),
            (f"mean with the {ORDERS[-1]}-gram", str(ORDERS[-1]), PALETTE[1], "D"),
        ):
            for place, runs in enumerate(found.values()):
                values = figures_of(unit, runs, order)
                axes.plot([min(values), max(values)], [place, place], color=colour)
                name = label if place == 0 else None
                axes.plot(fmean(values), place, marker, color=colour, label=name, linestyle="")
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.grid(axis="y", alpha=0.3)
        axes.set_xlabel(MEASURES[unit])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    save(figure, path)


def remarks(unit: str, grams: dict[str, float], found: Found) -> str:
    """What is seen, in words."""
    digits = 1 if unit == "words" else 2
    alone = {kind: fmean(figures_of(unit, runs)) for kind, runs in found.items()}
    order = max(grams, key=int)
    mixed = {kind: fmean(figures_of(unit, runs, order)) for kind, runs in found.items()}
    best = min(alone, key=alone.__getitem__)
    gains = sum(mixed[kind] < min(alone[kind], grams[order]) for kind in found)
    text = f"Best in {unit} is {best} with {alone[best]:.{digits}f} {MEASURES[unit]}"
    if FEED_FORWARD in alone:
        text += f", against {alone[FEED_FORWARD]:.{digits}f} of the feed-forward network"
    ngrams = " and ".join(f"{value:.{digits}f} of the {k}-gram" for k, value in grams.items())
    return (
        f"{text}; {ngrams}. The mean with the {order}-gram is better than both of its parts for "
        f"{gains} of {len(found)} networks."
    )


def report(results: Results, figures: Path) -> str:
    """The section of this part, and its figure; empty without results."""
    data = {unit: of_unit(unit, results) for unit in UNITS}
    data = {unit: (grams, found) for unit, (grams, found) in data.items() if grams and found}
    if not data:
        return ""
    draw(data, figures / "next_word.png")
    lines = ["## Next-word prediction", ""]
    for unit, (grams, found) in data.items():
        head = ["model", MEASURES[unit], *(f"mean with {order}-gram" for order in ORDERS)]
        lines += [table([*head, "minutes"], rows_of(unit, grams, found))]
    lines += ["![Perplexity of each network](figures/next_word.png)", ""]
    lines += [
        f"AN4's dev; every network has about {PARAMETERS} parameters; mean (range) over seeds. "
        f"The feed-forward network and the 3-gram see {SEEN} words before the next one, the cells "
        "the whole sentence so far."
    ]
    lines += [remarks(unit, grams, found) for unit, (grams, found) in data.items()]
    return "\n".join(lines) + "\n"
