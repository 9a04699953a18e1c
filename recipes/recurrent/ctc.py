"""CTC (Graves et al. 2006): a long input, a short output, and blanks between.

Every cell is the encoder of the product's own recogniser, with as many parameters as the LSTM. The
product's own loop trains it on digits and digit strings (FSDD) and then, from there, on AN4, whose
38 minutes of spelled words need more epochs from random weights. After that the LSTM in one and
both directions, with one to three layers; and LSTM beside Li-GRU by the unchanged recipe of AN4,
with a million parameters. How spikes and blanks form is seen in `spikes.py`.
"""

import dataclasses
import shutil
import statistics
from pathlib import Path
from typing import Any

import torch

import asr
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.inference.evaluation import evaluate
from asr.model.acoustic import AcousticModel, EncoderConfig, weightless_model
from asr.signal.augment import AugmentConfig
from asr.training import Config, train_unless_finished
from recipes.an4.train import CONFIG as AN4
from recipes.fsdd.train import CONFIG as FSDD
from recipes.recurrent.experiments import (
    CELL_ORDER,
    Plan,
    Result,
    Results,
    by_kind,
    closest_size,
    core_minutes,
    look,
    new_figure,
    save,
    spread,
    table,
)

PART = "ctc"
TOKENS = 28
SMALL = EncoderConfig(
    layers=2,
    hidden=96,
    irnn_identity=0.01,  # with the identity itself the loss is not finite, at any rate from 3e-4
    projection=96,
    convolution_channels=8,
    subsampling=3,
    dropout=0.1,
)
CORPORA: dict[str, tuple[str, Config, str]] = {
    "fsdd": (
        "digit strings (FSDD)",
        dataclasses.replace(
            FSDD,
            encoder=SMALL,
            augment=dataclasses.replace(FSDD.augment, speeds=(0.9, 1.0, 1.1)),
            optim=dataclasses.replace(
                FSDD.optim, epochs=3, batch_seconds=16.0, peak_rate=4e-3, average=1
            ),
        ),
        "data/fsdd/strings_test.jsonl",
    ),
    "an4": (
        "AN4",
        dataclasses.replace(
            AN4,
            encoder=SMALL,
            features=FSDD.features,
            augment=AugmentConfig(speeds=(1.0,), time_warp=0.0, time_masks=1, frequency_masks=1),
            optim=dataclasses.replace(
                AN4.optim,
                epochs=5,
                batch_seconds=12.0,
                peak_rate=4e-3,
                warmup_epochs=0.5,
                consistency=0.0,
                average=1,
            ),
        ),
        "data/an4/test.jsonl",
    ),
}
"""Name, settings and test set of what every cell is trained on."""
RECIPE = "recipe"
TRAININGS = CORPORA | {
    RECIPE: (
        "AN4 by its own recipe, from random weights",
        dataclasses.replace(AN4, encoder=dataclasses.replace(AN4.encoder, hidden=100)),
        "data/an4/test.jsonl",
    )
}
WER_TICKS = (1, 2, 5, 10, 20, 50, 100)
RECIPE_CELLS = ("lstm", "ligru")
"""The recipe takes too long for every cell and seed."""


def encoder_of(config: Config, cell: Any, **changes: Any) -> EncoderConfig:
    """The encoder of a configuration with another cell, or changed otherwise, of the same size."""
    num_features = config.features.num_features

    def made(hidden: int) -> EncoderConfig:
        own = {"cell": cell, "hidden": hidden, "scrn_context": hidden // 4, **changes}
        return dataclasses.replace(config.encoder, **own)

    def build(hidden: int) -> AcousticModel:
        return AcousticModel(made(hidden), num_features, TOKENS)

    lstm = weightless_model(config.encoder, num_features, TOKENS)
    return made(closest_size(build, sum(weight.numel() for weight in lstm.parameters())))


def train(
    folder: Path, training: str, cell: str, seed: int, begin: Path | None = None, **changes: Any
) -> Result:
    """One of `TRAININGS`, from the weights of the run `begin`; its test set scored greedily.

    A run that fails, because its loss or gradient is not a finite number, has an `error` instead.
    """
    _, base, test = TRAININGS[training]
    config = dataclasses.replace(
        base,
        encoder=encoder_of(base, cell, **changes),
        init_from=str(begin / "checkpoint") if begin else base.init_from,
    )
    found: Result = {"hidden": config.encoder.hidden}
    if folder.exists():  # a call was interrupted, and its minutes are lost
        shutil.rmtree(folder)
    start = core_minutes()
    try:
        checkpoint = train_unless_finished(
            folder, config, seed=seed, threads=torch.get_num_threads()
        )
    except AsrError as error:
        return found | {"error": str(error).replace(f"{folder.parent}/", "")}
    minutes, recognizer = core_minutes() - start, asr.load(checkpoint)
    score = evaluate(recognizer, read_manifest(Path(test)), beam_size=1).score
    return found | {
        "wer": 100 * score.wer,
        "wer_interval": [100 * bound for bound in score.wer_interval],
        "cer": 100 * score.cer,
        "minutes": minutes,
        "parameters": sum(weight.numel() for weight in recognizer.model.parameters()),
    }


def stack_name(layers: int, both: bool) -> str:
    """The name of a stack's results: the LSTM among the cells is one of them."""
    if (layers, both) == (SMALL.layers, SMALL.bidirectional):
        return "fsdd-lstm"
    return f"stack-{layers}-{'both' if both else 'one'}"


STACKS = {
    stack_name(layers, both): {"layers": layers, "bidirectional": both}
    for layers in (1, 2, 3)
    for both in (False, True)
}


def run(plan: Plan) -> None:
    """Every cell on both corpora, LSTM stacks on digit strings, and the recipe of AN4."""
    runs = plan.results.folder.parent / "runs"

    def keep(name: str, *what: Any, **changes: Any) -> None:
        plan.results.get(f"{PART}/{name}", lambda: train(runs / name, *what, **changes))

    for cell, seed in plan.runs(CELL_ORDER):
        keep(f"fsdd-{cell}-s{seed}", "fsdd", cell, seed)
        keep(f"an4-{cell}-s{seed}", "an4", cell, seed, begin=runs / f"fsdd-{cell}-s{seed}")
    for stack, changes in STACKS.items():
        for cell, seed in plan.runs(["lstm"]):
            keep(f"{stack}-s{seed}", "fsdd", cell, seed, **changes)
    for cell, seed in dataclasses.replace(plan, seeds=1).runs(RECIPE_CELLS):
        keep(f"{RECIPE}-{cell}-s{seed}", RECIPE, cell, seed)


def report(results: Results, figures: Path) -> str:
    """Tables of WER and minutes, and a figure of both."""
    kinds = by_kind(results.finished(PART))
    text = "## Every cell as the encoder of the recogniser\n\n"
    for corpus, (title, _, _) in CORPORA.items():
        rows = []
        for cell in CELL_ORDER:
            if not (group := kinds.get(f"{corpus}-{cell}")):
                continue
            good = scored(group)
            spreads = [
                spread([one[key] for one in good]) if good else ""
                for key in ("wer", "cer", "minutes")
            ]
            failed = f"{len(group) - len(good)} of {len(group)}"
            rows.append([cell, group[0]["hidden"], *spreads, failed])
        if rows:
            head = ["cell", "H", "WER %, greedy", "CER %", "minutes", "runs that failed"]
            text += f"### {title}\n\n{table(head, rows)}\n"
    rows = [
        [changes["layers"], "both" if changes["bidirectional"] else "forward"]
        + [kinds[stack][0]["hidden"]]
        + [spread([one[key] for one in kinds[stack]]) for key in ("wer", "minutes")]
        for stack, changes in STACKS.items()
        if kinds.get(stack) and scored(kinds[stack]) == kinds[stack]
    ]
    if rows:
        head = ["layers", "directions", "H", "WER %, greedy", "minutes"]
        text += f"### Directions and depth: LSTM on digit strings\n\n{table(head, rows)}\n"
    rows = [
        [
            cell,
            one["hidden"],
            f"{one['parameters']:,}",
            "{:.1f} ({:.1f}–{:.1f})".format(one["wer"], *one["wer_interval"]),
            f"{one['cer']:.1f}",
            f"{one['minutes']:.0f}",
        ]
        for cell in RECIPE_CELLS
        for one in scored(kinds.get(f"{RECIPE}-{cell}", []))
    ]
    if rows:
        head = ["cell", "H", "parameters", "WER %, greedy (95 %)", "CER %", "minutes"]
        text += f"### {TRAININGS[RECIPE][0]}\n\n{table(head, rows)}\n"
    if any(f"an4-{cell}" in kinds for cell in CELL_ORDER):
        draw(kinds, figures / "cells.png")
        text += "![WER against minutes of training, each cell](figures/cells.png)\n\n"
        text += conclusions(kinds)
    return text


def scored(group: list[Result]) -> list[Result]:
    """The runs that did not fail."""
    return [one for one in group if "wer" in one]


def conclusions(kinds: dict[str, list[Result]]) -> str:
    """The order of the cells; and those with fewer gates beside the LSTM."""
    lines = []
    for corpus, (title, _, _) in CORPORA.items():
        good = {cell: scored(kinds.get(f"{corpus}-{cell}", [])) for cell in CELL_ORDER}
        wer, minutes = (
            {
                cell: statistics.fmean(one[key] for one in runs)
                for cell, runs in good.items()
                if runs
            }
            for key in ("wer", "minutes")
        )
        if not wer:
            continue
        order = ", ".join(sorted(wer, key=lambda cell: wer[cell]))
        line = f"From the fewest word errors to the most, {title}: {order}."
        for cell in ("ligru", "mingru"):
            if {cell, "lstm"} <= wer.keys():
                line += (
                    f" {cell} against lstm: {wer[cell]:.1f} against {wer['lstm']:.1f} % in "
                    f"{minutes[cell]:.1f} against {minutes['lstm']:.1f} minutes."
                )
        lines.append(line + "\n")
    return "".join(lines)


def draw(kinds: dict[str, list[Result]], path: Path) -> None:
    """WER over minutes, a mark for each run."""
    figure = new_figure(10.0, 4.0)
    for axes, (corpus, (title, _, _)) in zip(
        figure.subplots(1, len(CORPORA)), CORPORA.items(), strict=True
    ):
        for cell in CELL_ORDER:
            if good := scored(kinds.get(f"{corpus}-{cell}", [])):
                axes.plot(
                    *([one[key] for one in good] for key in ("minutes", "wer")),
                    **look(cell) | {"linestyle": ""},
                    label=cell,
                )
        axes.set(title=title, xlabel="minutes of training", ylabel="WER, greedy (%)")
        axes.set_yscale("log")
        axes.set_yticks(WER_TICKS, [str(tick) for tick in WER_TICKS])
        axes.set_yticks([], minor=True)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    save(figure, path)
