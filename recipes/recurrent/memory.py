"""Slot filling: which networks know what they read before, and what comes after?

"I arrive in Taipei on November 2nd" and "I leave Taipei on November 2nd" differ in the part that
Taipei plays: it is the destination of the first, the place of departure of the second. A network
that is shown one word at a time gives both the same label. One whose hidden layer is fed its own
last values (Elman 1990) or its last output (Jordan 1986) can carry "leave" on to the city, an LSTM
(Hochreiter & Schmidhuber 1997) can carry it further. But in "Taipei is where I arrive" the
deciding word comes after the city: only a network that reads in both directions (Schuster &
Paliwal 1997) has seen it. Recurrent networks were compared on such slots by Mesnil et al. (2013).
"""

import random
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asr.model.layers import Bidirectional, Unidirectional
from recipes.recurrent.experiments import (
    PALETTE,
    Plan,
    Result,
    Results,
    by_kind,
    fit,
    hidden_for,
    layer_of,
    new_figure,
    save,
    spread,
    table,
)
from recipes.recurrent.sentences import (
    LABELS,
    PARTS,
    SIDES,
    VOCABULARY,
    Sentence,
    Word,
    some_pair,
    some_sentence,
)

PART = "memory"
MODELS = {
    "feed_forward": "feed-forward, one word",
    "elman": "Elman",
    "jordan": "Jordan",
    "lstm": "LSTM",
    "lstm_both": "LSTM, both directions",
}
EMBEDDING, PARAMETERS = 16, 10_000
"""Numbers by word, and parameters of the layer between the embedding and the labels."""
BATCH, STEPS, RATE = 32, 500, 3e-3
TEST_SENTENCES, TEST_PAIRS = 1000, 300
NEAR = 4
"""Words from the start of the deciding ones to a city that count as near."""
PLACES = {
    "near": f"before the city,\nat most {NEAR} words",
    "far": f"before the city,\nmore than {NEAR} words",
    "after": "after the city",
}
"""Where the word is that decides the label of a city."""


class WordAlone(nn.Module):
    """A hidden layer that sees one word at a time, in place of a recurrent one."""

    def __init__(self, input_size: int, parameters: int) -> None:
        super().__init__()
        self.output_size = parameters // (input_size + 1)
        self.hidden = nn.Linear(input_size, self.output_size)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(N, T, F)` to `(N, T, H)`."""
        output: Tensor = self.hidden(frames).tanh()
        return output


def middle(name: str) -> WordAlone | Unidirectional | Bidirectional:
    """The layer by which the models differ."""
    if name == "feed_forward":
        return WordAlone(EMBEDDING, PARAMETERS)
    cell, both = name.removesuffix("_both"), name.endswith("_both")
    return layer_of(cell, EMBEDDING, hidden_for(cell, EMBEDDING, PARAMETERS, both), both)


class Tagger(nn.Module):
    """A vector for each word, a layer, and a line to the labels: `(N, T, labels)`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.vectors = nn.Embedding(len(VOCABULARY) + 1, EMBEDDING, padding_idx=0)
        layer = middle(name)
        self.layer = layer
        self.labels = nn.Linear(layer.output_size, len(LABELS))

    def forward(self, sentences: Sequence[Sentence]) -> Tensor:
        """Scores of the labels of every word, padding included."""
        numbers = [torch.tensor([VOCABULARY[word.text] for word in words]) for words in sentences]
        padded = nn.utils.rnn.pad_sequence(numbers, batch_first=True)
        hidden = self.layer(self.vectors(padded), torch.tensor([len(n) for n in numbers]))
        scores: Tensor = self.labels(hidden)
        return scores

    def loss(self, sentences: Sequence[Sentence]) -> Tensor:
        """Cross-entropy by word."""
        wanted = [torch.tensor([LABELS.index(w.label) for w in words]) for words in sentences]
        target = nn.utils.rnn.pad_sequence(wanted, batch_first=True, padding_value=-1)
        return F.cross_entropy(self(sentences).flatten(0, 1), target.flatten(), ignore_index=-1)

    @torch.no_grad()
    def label(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """The label of every word."""
        best = self(sentences).argmax(dim=2).tolist()
        return [[LABELS[n] for n in row[: len(s)]] for row, s in zip(best, sentences, strict=True)]


def right(model: Tagger, sentences: Sequence[Sentence]) -> list[list[bool]]:
    """Of every word, whether its label is right."""
    return [
        [word.label == label for word, label in zip(words, labels, strict=True)]
        for words, labels in zip(sentences, model.label(sentences), strict=True)
    ]


def told_apart(model: Tagger, pairs: Sequence[tuple[Sentence, Sentence]]) -> float:
    """Share of the pairs of which all labels are right."""
    both = [all(map(all, right(model, pair))) for pair in pairs]
    return statistics.fmean(both)


def place_of(word: Word) -> str:
    """Of a city: which of PLACES."""
    return "after" if word.distance < 0 else "near" if word.distance <= NEAR else "far"


def tag(name: str, seed: int) -> Result:
    """Train a model on sentences that are never the same twice; its accuracies on others."""
    torch.manual_seed(seed)
    model, source = Tagger(name), random.Random(seed)

    def loss(step: int) -> Tensor:
        return model.loss([some_sentence(source) for _ in range(BATCH)])

    fit(model, loss, STEPS, RATE)
    unseen = random.Random("test")
    sentences = [some_sentence(unseen) for _ in range(TEST_SENTENCES)]
    marks: dict[str, list[bool]] = {}
    for words, row in zip(sentences, right(model, sentences), strict=True):
        for word, mark in zip(words, row, strict=True):
            kinds = ["words", "cities", place_of(word)] if word.label in PARTS else ["words"]
            for kind in kinds:
                marks.setdefault(kind, []).append(mark)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "accuracy": {kind: statistics.fmean(found) for kind, found in marks.items()},
        "told_apart": {
            side: told_apart(model, [some_pair(unseen, side) for _ in range(TEST_PAIRS)])
            for side in SIDES
        },
    }


def run(plan: Plan) -> None:
    """The word alone always; of the others those whose cells are asked for."""
    for name in MODELS:
        for seed in range(plan.seeds):
            if name == "feed_forward" or name.removesuffix("_both") in plan.cells:
                plan.results.get(f"{PART}/{name}-s{seed}", partial(tag, name, seed))


def draw(found: dict[str, list[Result]], path: Path) -> None:
    """Bars of the accuracy on cities, by where the deciding word is; lines over all seeds."""
    figure = new_figure()
    axes = figure.subplots()
    width = 0.8 / len(found)
    for number, (name, results) in enumerate(found.items()):
        values = [[100 * result["accuracy"][place] for result in results] for place in PLACES]
        left = [place + (number - (len(found) - 1) / 2) * width for place in range(len(PLACES))]
        axes.bar(
            *(left, [statistics.fmean(seeds) for seeds in values], 0.9 * width),
            color=PALETTE[list(MODELS).index(name)],
            hatch=("", "//", "..", "xx", "--")[list(MODELS).index(name)],
            edgecolor="white",
            label=MODELS[name],
        )
        axes.vlines(left, [min(seeds) for seeds in values], [max(s) for s in values], "black")
    axes.axhline(50, color="black", linestyle=":", label="by chance")
    axes.set_xticks(range(len(PLACES)), list(PLACES.values()))
    axes.set_xlabel("where the word is that decides the label of the city")
    axes.set_ylabel("cities labelled right (%)")
    axes.set_ylim(0, 102)
    figure.legend(loc="outside upper center", ncols=3)
    save(figure, path)


def report(results: Results, figures: Path) -> str:
    """The accuracies and the pairs, as tables and bars."""
    kinds = by_kind(results.finished(PART))
    found = {name: kinds[name] for name in MODELS if name in kinds}
    if not found:
        return ""

    def percent(name: str, key: str, kind: str) -> str:
        return spread([100 * result[key][kind] for result in found[name]])

    head = ["model", "parameters", "words %", "cities %", "before, near %", "before, far %"]
    accuracies = [
        [
            *(MODELS[name], f"{found[name][0]['parameters']:,}"),
            *(percent(name, "accuracy", kind) for kind in ("words", "cities", *PLACES)),
        ]
        for name in found
    ]
    pairs = [
        [MODELS[name], *(percent(name, "told_apart", side) for side in SIDES)] for name in found
    ]
    first, second = (" ".join(w.text for w in s) for s in some_pair(random.Random(1), "after"))
    draw(found, figures / "memory.png")
    return "\n".join(
        [
            "## Memory: the label of a word is decided by other words\n",
            f"Right labels on {TEST_SENTENCES} unseen sentences after {STEPS * BATCH:,} others, of "
            "all words and of cities; the cities also by where the deciding word is.\n",
            table([*head, "after %"], accuracies),
            "![Right labels of cities by model](figures/memory.png)\n",
            *conclusions(found),
            "The same words in another order: two sentences that differ in which city is where, "
            f"such as\n\n- {first}\n- {second}\n\nOf {TEST_PAIRS} pairs, those with every label of "
            "both sentences right:\n",
            table(["model", "deciding words before the cities %", "after them %"], pairs),
        ]
    )


def conclusions(found: dict[str, list[Result]]) -> list[str]:
    """What the table shows, in words."""

    def mean(name: str, kind: str) -> float:
        return 100 * statistics.fmean(result["accuracy"][kind] for result in found[name])

    lines = []
    if "feed_forward" in found:
        lines.append(
            f"Shown one word, the feed-forward net has {mean('feed_forward', 'cities'):.0f} % of "
            "the cities right, as chance would, though most words are right since their labels "
            "are always the same."
        )
    forward = [name for name in ("elman", "jordan", "lstm") if name in found]
    if forward:
        before = ", ".join(f"{MODELS[name]} {mean(name, 'far'):.0f} %" for name in forward)
        after = ", ".join(f"{mean(name, 'after'):.0f} %" for name in forward)
        lines.append(
            f"Where the deciding word is more than {NEAR} words before the city, it depends on "
            f"how well the state is carried on ({before}); where the word is yet to come, no "
            f"memory helps ({after})."
        )
    if "lstm_both" in found:
        lines.append(f"Reading in both directions does: {mean('lstm_both', 'after'):.0f} %.")
    return [" ".join(lines) + "\n"]
