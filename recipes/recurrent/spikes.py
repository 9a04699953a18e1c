"""How CTC learns: all alignments of a word summed up, and spikes that rise among blanks.

The loss is the negative logarithm of the sum over all ways to write the word on the frames, each
frame a letter or the blank, repetitions merged, blanks dropped (Graves et al. 2006);
`enumerate_all` lists them. Training gives most frames to the blank first, since it fits everywhere;
then letters rise out of it, each in the few frames where it is surest.
"""

import io
import itertools
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr.corpus.manifest import Utterance, read_manifest
from asr.corpus.recordings import read_utterance
from asr.decode.greedy import greedy_search
from asr.files import atomic_write, make_folder
from asr.model.acoustic import AcousticModel
from asr.model.loss import ctc_loss
from asr.signal.features import FeatureExtractor
from asr.text.tokens import BLANK, TokenTable
from recipes.fsdd.train import CONFIG as FSDD
from recipes.recurrent.ctc import SMALL
from recipes.recurrent.experiments import (
    PALETTE,
    Plan,
    Result,
    Results,
    fit,
    new_figure,
    save,
    table,
)

PART = "spikes"
WORD, FRAMES = "CAT", 6
TRAIN, SHOWN = Path("data/fsdd/strings_train.jsonl"), Path("data/fsdd/strings_test.jsonl")
BATCH, RATE = 16, 2e-3
SNAPSHOTS = (0, 10, 20, 40, 60, 80, 100, 120, 150, 200, 250, 300, 400, 600)
"""Steps before which the emissions are kept."""
STRIP = (0, 20, 60, 100, 150, 250, 600)


def merged(path: tuple[int, ...]) -> list[int]:
    """What a path of tokens writes: repetitions merged, then blanks dropped."""
    return [token for token, _ in itertools.groupby(path) if token != BLANK]


def enumerate_all(seed: int) -> Result:
    """Every alignment of `WORD` on `FRAMES` frames of random emissions, and the loss beside it."""
    letters = "-" + "".join(sorted(set(WORD)))
    target = [letters.index(letter) for letter in WORD]
    random = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(FRAMES, len(letters), generator=random).double().log_softmax(dim=1)
    paths = [
        path
        for path in itertools.product(range(len(letters)), repeat=FRAMES)
        if merged(path) == target
    ]
    scored = sorted(
        ((float(log_probs[range(FRAMES), list(path)].sum()), path) for path in paths), reverse=True
    )
    loss = ctc_loss(
        log_probs[None], torch.tensor([FRAMES]), torch.tensor([target]), torch.tensor([len(target)])
    )
    return {
        "paths": [["".join(letters[t] for t in path), math.exp(score)] for score, path in scored],
        "sum": math.fsum(math.exp(score) for score, _ in scored),
        "loss": float(loss),
    }


def features_of(utterances: list[Utterance], extractor: FeatureExtractor) -> list[Tensor]:
    """Features `(T, F)` of each utterance."""
    return [extractor(read_utterance(utterance)[0]) for utterance in utterances]


def learn(seed: int) -> Result:
    """Train the small recogniser on digit strings; its emissions for a test string, by step."""
    torch.manual_seed(seed)
    utterances = read_manifest(TRAIN)
    shown = next(u for u in read_manifest(SHOWN) if len(u.text.split()) == 3)
    tokens = TokenTable.from_texts([u.text for u in utterances])
    extractor = FeatureExtractor(FSDD.features)
    features = features_of(utterances, extractor)
    example = features_of([shown], extractor)
    model = AcousticModel(SMALL, FSDD.features.num_features, len(tokens))
    snapshots: dict[int, Any] = {}

    def emissions(chosen: list[Tensor]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(one) for one in chosen])
        padded = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        log_probs, lengths = model(padded, lengths)
        return log_probs, lengths

    def keep(step: int) -> None:
        model.eval()
        with torch.inference_mode():
            log_probs = emissions(example)[0][0]
        model.train()
        snapshots[step] = {
            "text": tokens.decode(greedy_search(log_probs).tokens),
            "probabilities": [[round(p, 3) for p in row] for row in log_probs.exp().tolist()],
        }

    def loss(step: int) -> Tensor:
        if step in SNAPSHOTS:
            keep(step)
        chosen = torch.randint(len(utterances), (BATCH,)).tolist()
        log_probs, lengths = emissions([features[i] for i in chosen])
        targets = [torch.tensor(tokens.encode(utterances[i].text)) for i in chosen]
        counts = torch.tensor([len(target) for target in targets])
        padded = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True)
        return ctc_loss(log_probs, lengths, padded, counts).mean()

    losses = fit(model, loss, SNAPSHOTS[-1], RATE, clip_norm=5.0)
    keep(SNAPSHOTS[-1])
    return {
        "reference": shown.text,
        "tokens": ["blank", *tokens.characters],
        "frame_seconds": FSDD.features.hop_seconds * SMALL.subsampling,
        "snapshots": snapshots,
        "losses": losses,
    }


def run(plan: Plan) -> None:
    """The enumeration, and one training."""
    plan.results.get(f"{PART}/alignments", lambda: enumerate_all(0))
    if "lstm" in plan.cells:
        plan.results.get(f"{PART}/emissions", lambda: learn(0))


def report(results: Results, figures: Path) -> str:
    """The most probable alignments; emissions during training as a strip and an animation."""
    finished = results.finished(PART)
    text = ""
    if "alignments" in finished:
        found = finished["alignments"]
        rows = [[f"`{path}`", f"{probability:.6f}"] for path, probability in found["paths"][:6]]
        text += (
            f"## All alignments of {WORD} on {FRAMES} frames\n\n"
            f"{len(found['paths'])} of the {(len(set(WORD)) + 1) ** FRAMES} paths write {WORD} "
            f"(`-` is the blank). Their probabilities sum to {found['sum']:.9f}, of which the "
            f"negative logarithm is {-math.log(found['sum']):.9f}; the loss is "
            f"{found['loss']:.9f}. The most probable:\n\n{table(['path', 'probability'], rows)}\n"
        )
    if "emissions" in finished:
        found = finished["emissions"]
        draw_strip(found, figures / "spikes.png")
        draw_animation(found, figures / "spikes.gif")
        steps = [int(step) for step in found["snapshots"]]
        blanks = [_blank_share(found, step) for step in steps]
        rows = [
            [str(step), f"{100 * blank:.0f}", found["snapshots"][str(step)]["text"] or "(nothing)"]
            for step, blank in zip(steps, blanks, strict=True)
        ]
        head = ["steps", "frames whose best token is the blank, %", "greedy transcript"]
        text += (
            f"## Spikes among blanks\n\nA string that says {found['reference']}:\n\n"
            f"{table(head, rows)}\n![Emissions during training](figures/spikes.png)\n\n"
            "![The same as an animation](figures/spikes.gif)\n"
        )
    return text


def _blank_share(found: Result, step: int) -> float:
    rows = found["snapshots"][str(step)]["probabilities"]
    return float(sum(max(row) == row[BLANK] for row in rows) / len(rows))


def _plot(axes: Any, found: Result, step: int) -> None:
    """The probability of the blank as a grey area, of each letter as a line with its name."""
    probabilities = torch.tensor(found["snapshots"][str(step)]["probabilities"])
    seconds = torch.arange(len(probabilities)) * found["frame_seconds"]
    axes.fill_between(seconds, probabilities[:, BLANK], color="0.85", label="blank")
    for token in range(1, len(found["tokens"])):
        own = probabilities[:, token]
        if float(own.max()) > 0.05:
            color = PALETTE[token % len(PALETTE)]
            axes.plot(seconds, own, color=color, linewidth=0.9)
    start = 0
    for token, frames in itertools.groupby(probabilities.argmax(dim=1).tolist()):
        count = len(list(frames))
        peak = start + int(probabilities[start : start + count, token].argmax())
        height = float(probabilities[peak, token])
        if token != BLANK and height > 0.4:
            name, color = found["tokens"][token].replace(" ", "␣"), PALETTE[token % len(PALETTE)]
            where = (float(seconds[peak]), height)
            axes.annotate(name, where, (0, 1), textcoords="offset points", color=color, fontsize=7)
        start += count
    axes.set(ylim=(0, 1.25), xlim=(0, float(seconds[-1])), ylabel=f"step {step}")


def draw_strip(found: Result, path: Path) -> None:
    """One row for each of `STRIP`."""
    figure = new_figure(8.0, 1.2 * len(STRIP))
    rows = figure.subplots(len(STRIP), 1, sharex=True)
    for axes, step in zip(rows, STRIP, strict=True):
        _plot(axes, found, step)
    rows[0].set_title(f"probability of the blank (grey) and of letters: {found['reference']}")
    rows[-1].set_xlabel("seconds")
    save(figure, path)


def draw_animation(found: Result, path: Path) -> None:
    """A picture for each of `SNAPSHOTS`, as GIF."""
    from PIL import Image  # comes with matplotlib

    pictures = []
    for step in SNAPSHOTS:
        figure = new_figure(6.0, 2.0)
        axes = figure.subplots()
        _plot(axes, found, step)
        axes.set_xlabel("seconds")
        content = io.BytesIO()
        figure.savefig(content, dpi=70)
        pictures.append(Image.open(content).convert("P", palette=Image.Palette.ADAPTIVE))
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        pictures[0].save(
            temporary, "GIF", save_all=True, append_images=pictures[1:], duration=500, loop=0
        )
