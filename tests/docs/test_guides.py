"""Every command in the guides works, and every link leads somewhere."""

import importlib
import re
import shutil
from pathlib import Path

import pytest

from docs.commands import OUTPUT
from tests.conftest import REPOSITORY
from tests.docs.guides import Reader, Step, missing_lines, steps, unknown_options
from tests.support import Tones

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GUIDES = [page for page in PAGES if any(step.not_run is None for step in steps(page))]
SMALL = (
    "--set encoder.layers=1 --set encoder.hidden=16 --set encoder.projection=16"
    " --set encoder.convolution_channels=2 --set encoder.subsampling=4"
)
"""A network that learns nothing in an epoch of seconds."""


LONG = ("how-it-works", "train", "finetune", "long", "decode", "evaluate", "scale", "stream")
"""Guides whose commands take more than five seconds together."""


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, marks=pytest.mark.slow if name_of(page) in LONG else (), id=name_of(page)
        )
        for page in GUIDES
    ],
)
def test_every_command_of_the_guide_runs(page: Path, tones: Tones, tmp_path: Path) -> None:
    reader = Reader(tmp_path, REPOSITORY)
    for step in steps(page):
        if step.not_run is not None or answered(step, tmp_path, tones):
            continue
        shorten(step)
        code, printed = reader.run(step)
        where = f"{page}, line {step.line}:\n{step.code}\n"

        assert code == 0, f"{where}exit status {code}\n{printed}"
        missing = missing_lines(step.expected, printed)
        assert not missing, f"{where}expected {missing}\nin\n{printed}"
        if step.code.startswith("asr train") and "runs/my" in step.code:
            train_well(tmp_path / "runs" / "my" / "checkpoint", tones)


def answered(step: Step, folder: Path, tones: Tones) -> bool:
    """Take what the session's fixture has made by this command already."""
    if step.code != "python -m recipes.tones.prepare":
        return False
    shutil.copytree(tones.corpus, folder / "data" / "tones")
    return True


def shorten(step: Step) -> None:
    """One epoch, of a small network, shows that a command works."""
    is_new = "--resume" not in step.code and "--finish" not in step.code
    if step.code.startswith("asr train") and is_new:
        step.code += " --set optim.epochs=1 --set optim.warmup_epochs=0.5 --set optim.workers=0"
        step.code += "" if "--init_from" in step.code else f" {SMALL}"


def train_well(checkpoint: Path, tones: Tones) -> None:
    """Replace what a short run made by a model that has learnt, for the steps that follow."""
    if checkpoint.is_dir():
        shutil.rmtree(checkpoint)
        shutil.copytree(tones.checkpoint, checkpoint)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_page_exist(page: Path) -> None:
    for step in steps(page):
        if step.language == "sh":
            assert not unknown_options(step.code), f"{page}, line {step.line}: {step.code}"


def test_what_an_option_is_not_called_is_found() -> None:
    assert unknown_options("asr transcribe x --lmm y") == ["asr transcribe: no such option: --lmm"]
    assert unknown_options("torchrun --nproc_per_node 8 -m asr train --dev-x d") == [
        "asr train: no such option: --dev-x"
    ]
    assert unknown_options("asr hear x | sort") == ["no such command: asr hear x"]
    assert not unknown_options("asr transcribe x -o y --beam-size 3 \\\n  --lm=z")


def links(page: Path) -> list[tuple[int, str]]:
    """Links and pictures of a page to other files and to headings, with their lines."""
    text = re.sub(
        r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), _text(page), flags=re.M | re.S
    )
    return [
        (number, target)
        for number, line in enumerate(text.split("\n"), start=1)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line))
        if not re.match(r"\w+:", target)
    ]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", _text(page), flags=re.M | re.S), re.M
    )
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for number, target in links(page):
        path, _, fragment = target.partition("#")
        other = (page.parent / path).resolve() if path else page

        assert other.exists(), f"{page}, line {number}: no file {target}"
        if fragment:
            assert fragment in anchors(other), f"{page}, line {number}: no heading {target}"


def test_every_page_is_in_the_contents() -> None:
    listed = re.findall(r"^([\w\-/]+)$", _text(DOCS / "index.md"), re.M)

    assert sorted(["index", *listed]) == sorted(map(name_of, PAGES))


def test_names_in_the_reference_can_be_imported() -> None:
    for page in (OUTPUT.with_name("python.md"), OUTPUT.with_name("settings.md")):
        for kind, name in re.findall(r"auto(\w+):: ([\w.]+)", _text(page)):
            module, _, attribute = (name, "", "") if kind == "module" else name.rpartition(".")
            found = importlib.import_module(module)

            assert not attribute or hasattr(found, attribute), f"{page}: no {name}"
