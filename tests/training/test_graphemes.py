"""Training on grapheme clusters: the same run as on letters, one for one, with other texts."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import read_manifest
from asr.errors import CheckpointError, TextError
from asr.text.tokens import TokenTable, Units
from asr.training import Config, loop, setup
from asr.training.config import TextConfig
from asr.training.distributed import Group
from asr.training.state import check_resumable, load_state, write_state
from tests.support import Command
from tests.training_support import CPU, Change, edited, optim, same, train_arguments

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")

LETTERS = "ABCDEFGHI"
CLUSTERS = dict(zip(LETTERS, (f"{c}\u030d" for c in LETTERS), strict=True))
"""Letters with a mark of which Unicode has no composed form, in the same order."""


def respelt(clusters: Mapping[str, str]) -> Change:
    def change(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            entry["text"] = "".join(clusters.get(c, c) for c in entry["text"])

    return change


def with_texts(
    config: Config, folder: Path, clusters: Mapping[str, str], units: Units = "graphemes"
) -> Config:
    """The settings with some letters of all transcripts respelt."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev"):
        config = edited(config, folder, respelt(clusters), split)
    return dataclasses.replace(config, text=TextConfig(units))


@pytest.fixture(scope="module")
def letters(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one epoch on letters."""
    return loop.train(optim(micro, epochs=1, average=1), tmp_path_factory.mktemp("run"), CPU)


@pytest.fixture(scope="module")
def clusters(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on clusters, with its checkpoint."""
    folder = tmp_path_factory.mktemp("clusters")
    config = with_texts(optim(micro, epochs=1, average=1), folder / "data", CLUSTERS)
    loop.train(config, folder / "run", CPU)
    return folder / "run"


def test_a_run_on_clusters_learns_what_one_on_letters_does(letters: Path, clusters: Path) -> None:
    one, other = load_checkpoint(letters), load_checkpoint(clusters / "checkpoint")
    assert same(other.weights, one.weights)
    assert other.tokens == TokenTable((" ", *CLUSTERS.values()), "graphemes")
    assert (other.config["units"], other.config["format_version"]) == ("graphemes", 2)
    assert ("units" in one.config, one.config["format_version"]) == (False, 1)
    assert other.metrics["dev"]["loss"] == one.metrics["dev"]["loss"]
    samples = (clusters / "dev_samples.jsonl").read_text(encoding="utf-8")
    for line in samples.splitlines():
        TokenTable(other.tokens.characters, "graphemes").encode(json.loads(line)["reference"])


def test_the_command_trains_resumes_and_finishes(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    config = with_texts(optim(micro, epochs=1, average=1), tmp_path / "data", CLUSTERS)
    config = dataclasses.replace(config, text=TextConfig())
    run = tmp_path / "run"
    arguments = ["train", *train_arguments(config, run), "--set", "text.units=graphemes"]
    ran = asr_command(*arguments)
    assert ran.code == 0, ran.stderr
    assert json.loads((run / "config.json").read_text())["text"] == {"units": "graphemes"}
    made = load_checkpoint(run / "checkpoint")
    assert made.tokens.characters == (" ", *CLUSTERS.values())
    refused = asr_command("train", "-o", str(run), "--resume", "--set", "text.units=characters")
    assert refused.code == 1
    assert (
        "cannot resume with another model: text.units differ from the run's own" in refused.stderr
    )
    resumed = asr_command("train", "-o", str(run), "--resume", "--set", "optim.epochs=2")
    assert resumed.code == 0, resumed.stderr
    assert load_state(run)["progress"]["epoch"] == 2
    described = asr_command("describe", str(run / "checkpoint"))
    assert "  units   graphemes\n" in described.stdout
    wrong = asr_command("train", "-o", str(tmp_path / "x"), "--set", "text.units=words")
    assert "--set.text.units: expected one of 'characters', 'graphemes', found 'words'" in (
        wrong.stderr
    )


def test_a_run_of_an_earlier_version_resumes(micro: Config, tmp_path: Path) -> None:
    loop.train(optim(micro, epochs=1, average=1), tmp_path / "run", CPU)
    state = load_state(tmp_path / "run")
    del state["units"], state["config"]["text"]
    write_state(tmp_path / "run", state["progress"]["step"], state, keep=1)
    config = optim(micro, epochs=2, average=1)
    run, progress = setup.prepare(config, tmp_path / "run", CPU, Group(), resume=True)
    assert (run.tokens.units, progress.epoch) == ("characters", 1)
    with pytest.raises(CheckpointError, match=r"text\.units differ"):
        check_resumable(
            state, dataclasses.replace(config, text=TextConfig("graphemes")), {}, 1, False
        )


@pytest.mark.parametrize("split", ["train", "dev"])
def test_loose_marks_are_refused_by_utterance(micro: Config, tmp_path: Path, split: str) -> None:
    def loosen(entries: list[dict[str, Any]]) -> None:
        entries[1]["text"] = "A \u030dB"

    config = edited(micro, tmp_path, loosen, split)
    config = dataclasses.replace(config, text=TextConfig("graphemes"))
    with pytest.raises(TextError, match=r"no letter stands before \(U\+030D\)") as error:
        setup.prepare(config, tmp_path / "run", CPU, Group(), resume=False)
    path = config.data.train[0] if split == "train" else config.data.dev
    assert read_manifest(path)[1].id in str(error.value)


# Fine-tuning across units


def tokens_and_weights(
    config: Config, checkpoint: Path, folder: Path
) -> tuple[TokenTable, dict[str, torch.Tensor]]:
    """Of a run before its first step."""
    config = dataclasses.replace(config, init_from=str(checkpoint))
    run, _ = setup.prepare(config, folder, CPU, Group(), resume=False)
    return run.tokens, dict(run.model.state_dict())


def assert_kept(
    tokens: TokenTable, weights: Mapping[str, torch.Tensor], checkpoint: Path, new: set[str]
) -> None:
    """Assert that all tokens but the new ones, and the blank, have the checkpoint's outputs."""
    loaded = load_checkpoint(checkpoint)
    old = ["", *loaded.tokens.characters]
    assert {c for c in tokens.characters if c not in old} == new
    for name, before in loaded.weights.items():
        if not name.startswith("output."):
            assert torch.equal(weights[name], before), name
            continue
        for place, character in enumerate(["", *tokens.characters]):
            kept = character in old and torch.equal(
                weights[name][place], before[old.index(character)]
            )
            assert kept == (character not in new), character


def test_letters_are_kept_where_clusters_come_in(
    micro: Config, letters: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = {"A": "A\u030d", "B": "A\u030d\u0323"}
    config = with_texts(micro, tmp_path / "data", new)
    with caplog.at_level("INFO", "asr.training"):
        tokens, weights = tokens_and_weights(config, letters, tmp_path / "run")
    written = {"A\u030d", "Ạ\u030d"}  # the second in NFC
    assert tokens == TokenTable(tuple(sorted({" ", *LETTERS[2:], *written})), "graphemes")
    assert_kept(tokens, weights, letters, written)
    assert "2 start from the weights of the same letter" in caplog.text


def test_units_that_make_no_difference_change_nothing(
    micro: Config, letters: Path, tmp_path: Path
) -> None:
    def fewer(entries: list[dict[str, Any]]) -> None:
        del entries[1:]

    for split in ("train", "dev"):
        micro = edited(micro, tmp_path, fewer, split)
    config = dataclasses.replace(micro, text=TextConfig("graphemes"))
    tokens, weights = tokens_and_weights(config, letters, tmp_path / "run")
    loaded = load_checkpoint(letters)
    assert tokens == TokenTable(loaded.tokens.characters, "graphemes")
    assert same(weights, loaded.weights)


def test_clusters_are_taken_apart_for_a_run_on_characters(
    micro: Config, clusters: Path, tmp_path: Path
) -> None:
    config = with_texts(micro, tmp_path / "data", CLUSTERS, "characters")
    tokens, weights = tokens_and_weights(config, clusters / "checkpoint", tmp_path / "run")
    assert tokens == TokenTable(tuple(sorted([" ", "\u030d", *LETTERS])))
    assert_kept(tokens, weights, clusters / "checkpoint", {"\u030d", *LETTERS})


def test_clusters_missing_from_the_data_are_kept(
    micro: Config, clusters: Path, tmp_path: Path
) -> None:
    def fewer(entries: list[dict[str, Any]]) -> None:
        del entries[1:]

    config = with_texts(micro, tmp_path / "data", CLUSTERS)
    for split in ("train", "dev"):
        config = edited(config, tmp_path, fewer, split)
    tokens, weights = tokens_and_weights(config, clusters / "checkpoint", tmp_path / "run")
    assert tokens == load_checkpoint(clusters / "checkpoint").tokens
    assert same(weights, load_checkpoint(clusters / "checkpoint").weights)


def test_the_command_takes_the_units_of_the_checkpoint_unless_told(
    micro: Config, clusters: Path, tmp_path: Path, asr_command: Command
) -> None:
    config = with_texts(micro, tmp_path / "data", CLUSTERS)
    arguments = ["train", "--init_from", str(clusters / "checkpoint"), "--dev", config.data.dev]
    arguments += ["--train", config.data.train[0], "--threads", "1"]
    arguments += ["--set", "optim.epochs=1", "--set", "optim.workers=0"]
    ran = asr_command(*arguments, "-o", str(tmp_path / "same"))
    assert ran.code == 0, ran.stderr
    assert load_checkpoint(tmp_path / "same/checkpoint").tokens.units == "graphemes"
    ran = asr_command(*arguments, "-o", str(tmp_path / "other"), "--set", "text.units=characters")
    assert ran.code == 0, ran.stderr
    made = load_checkpoint(tmp_path / "other/checkpoint").tokens
    assert made == TokenTable(tuple(sorted([" ", "\u030d", *LETTERS])))
