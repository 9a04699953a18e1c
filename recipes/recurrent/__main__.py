"""The recurrent family on tasks of its history and on real speech.

    python -m recipes.recurrent -o runs/recurrent
    python -m recipes.recurrent -o runs/recurrent --part lags --cells lstm,elman --seeds 1

Every part keeps its results below the output folder, so that an interrupted call goes on where it
was, and writes its section of `REPORT/RESULTS.md` and its figures `REPORT/figures/*.png` (REPORT is
the output folder unless `--report` names another).
"""

from pathlib import Path
from typing import Annotated, Protocol

import torch
import typer

from asr.files import make_folder, write_text_atomic
from asr.model.cells import CELLS
from recipes.command import run_command
from recipes.recurrent import (
    attention,
    autoencoder,
    ctc,
    gradients,
    lags,
    many_to_one,
    memory,
    next_word,
    spikes,
)
from recipes.recurrent.experiments import CELL_ORDER, Plan, Results


class Part(Protocol):
    """A module of this folder."""

    def run(self, plan: Plan) -> None:
        """Make its results."""

    def report(self, results: Results, figures: Path) -> str:
        """Draw the results there are, and tell of them in Markdown."""


PARTS: dict[str, tuple[str, Part]] = {
    "memory": ("a", memory),
    "gradients": ("b", gradients),
    "lags": ("c", lags),
    "many_to_one": ("d", many_to_one),
    "autoencoder": ("d", autoencoder),
    "attention": ("d", attention),
    "next_word": ("d", next_word),
    "ctc": ("e", ctc),
    "spikes": ("e", spikes),
}
"""The chapter and the module of each part, in the order of the story."""


def chosen_parts(names: list[str] | None) -> list[str]:
    """The modules of these parts or chapters; all by default. Raises BadParameter."""
    known = {*PARTS, *(chapter for chapter, _ in PARTS.values())}
    for name in names or []:
        if name not in known:
            raise typer.BadParameter(f"expected one of {', '.join(sorted(known))}, found {name!r}")
    return [part for part in PARTS if not names or {part, PARTS[part][0]} & {*names}]


def chosen_cells(text: str) -> list[str]:
    """Cells from a list with commas. Raises BadParameter."""
    names = [name.strip() for name in text.split(",")] if text else list(CELL_ORDER)
    for name in names:
        if name not in CELLS:
            raise typer.BadParameter(f"expected cells of {', '.join(CELL_ORDER)}, found {name!r}")
    return names


def main(
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")],
    part: Annotated[list[str] | None, typer.Option("--part", help="Repeat for several.")] = None,
    cells: Annotated[str, typer.Option("--cells", help="With commas; all by default.")] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    threads: Annotated[int, typer.Option("--threads", min=1)] = 2,
    report: Annotated[Path | None, typer.Option("--report", help="Where figures go.")] = None,
) -> None:
    """Run the parts, and write what they found."""
    torch.set_num_threads(threads)
    folder = report or output_dir
    results = Results(output_dir / "results")
    plan = Plan(results, chosen_cells(cells), seeds)
    sections = []
    for name in chosen_parts(part):
        _, module = PARTS[name]
        module.run(plan)
        sections.append(module.report(results, folder / "figures"))
    make_folder(folder)
    write_text_atomic(folder / "RESULTS.md", "\n".join(sections))
    typer.echo(f"{folder / 'RESULTS.md'}")


if __name__ == "__main__":
    run_command(main)
