"""Where a checkpoint comes from: commands, ancestors and licences."""

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint.average import average_checkpoints
from asr.checkpoint.checkpoint import Checkpoint, load_checkpoint
from asr.training import Config, loop
from asr.training.launch import run_training
from asr.training.lineage import (
    Source,
    lineage_record,
    portable_command,
    source_of,
    without_machine_paths,
)
from asr.training.options import TrainingOptions
from asr.training.state import load_state, write_state
from tests.training_support import CPU, Killed, after_step, kill, optim

pytest_plugins = ["tests.training_fixtures"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["/usr/bin/python3.11", "-m", "recipes.tones.train"], "python3.11 -m recipes.tones.train"),
        (["/home/me/.venv/bin/python", "/home/me/.venv/bin/asr", "train"], "asr train"),
        (["python", "{cwd}/recipes/tones/train.py"], "python recipes/tones/train.py"),
        (["python", "/opt/recipes/train.py", "-o", "runs/a"], "python train.py -o runs/a"),
        (["asr", "--train", "{cwd}/data/a b.jsonl"], "asr --train 'data/a b.jsonl'"),
        (["asr", "--output_dir=/scratch/me/run"], "asr --output_dir=run"),
        (["asr", "--set", 'data.train=["/a/b.jsonl", "c/d"]'],
         """asr --set 'data.train=["b.jsonl", "c/d"]'"""),
        (["asr", "--set", "data.dev=../dev.jsonl"], "asr --set data.dev=../dev.jsonl"),
        ([], "''"),
    ],
)  # fmt: skip
def test_commands_lose_the_paths_of_the_machine(arguments: list[str], command: str) -> None:
    arguments = [argument.replace("{cwd}", str(Path.cwd())) for argument in arguments]
    assert portable_command(arguments) == command


def test_relative_paths_and_other_text_stay() -> None:
    for text in ("runs/a/checkpoint", "../data/train.jsonl", "1/2", "a/b=c/d", "km/h"):
        assert without_machine_paths(text) == text


def checkpoint_of(training: dict[str, Any]) -> Checkpoint:
    files = {"model.safetensors": {"bytes": 1, "sha256": "ab12"}}
    return Checkpoint({"training": training, "files": files}, {}, {}, None)


def write_starts(folder: Path, *commands: str) -> None:
    lines = [json.dumps({"command": command}) + "\n" for command in commands]
    (folder / "starts.jsonl").write_text("".join(lines))


def test_a_checkpoint_from_random_weights_has_only_its_own_commands(tmp_path: Path) -> None:
    write_starts(tmp_path, "/usr/bin/python -m a", "/usr/bin/python -m a --resume", "python -m a")
    assert lineage_record(None, None, tmp_path, "CC0") == {
        "licence": "CC0",
        "commands": ["python -m a", "python -m a --resume"],
    }


def test_a_checkpoint_continues_the_record_of_its_source(tmp_path: Path) -> None:
    write_starts(tmp_path, "python -m b")
    training = {
        "licence": "CC BY 4.0; CC0",
        "commands": ["python -m a"],
        "ancestors": {"runs/older": "00ff"},
    }
    source = source_of(checkpoint_of(training), "runs/a/checkpoint")
    assert lineage_record(source, None, tmp_path, "CC0; MIT") == {
        "licence": "CC BY 4.0; CC0; MIT",
        "commands": ["python -m a", "python -m b"],
        "init_from_sha256": "ab12",
        "ancestors": {"runs/older": "00ff", "runs/a/checkpoint": "ab12"},
    }


def test_a_source_of_an_older_version_has_no_record() -> None:
    source = source_of(checkpoint_of({}), "/far/away/checkpoint")
    assert source == Source("checkpoint", "ab12", "", [], {})


def test_checkpoints_of_one_name_are_both_recorded(tmp_path: Path) -> None:
    source = Source("runs/a", "ab12", "", [], {"runs/a": "00ff"})
    ancestors = lineage_record(source, None, tmp_path, "")["ancestors"]
    assert ancestors == {"runs/a": "00ff", "runs/a ab12": "ab12"}


def test_what_an_average_was_made_of_is_among_the_ancestors() -> None:
    training = {"mean_of": {"runs/a": "aa", "runs/b": "bb"}}
    assert source_of(checkpoint_of(training), "c").ancestors == training["mean_of"]


def test_a_command_that_somebody_has_edited_does_no_harm(tmp_path: Path) -> None:
    write_starts(tmp_path, "python -m 'a", "")
    assert lineage_record(None, None, tmp_path, "")["commands"] == ["python -m ''\"'\"'a'"]


def test_fine_tuning_carries_licences_commands_and_ancestors_over(
    micro: Config, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str, licence: str, init_from: str = "") -> Checkpoint:
        argv = ["/usr/bin/python", "-m", "asr", "train", "-o", str(tmp_path / name)]
        monkeypatch.setattr(sys, "orig_argv", argv)
        data = dataclasses.replace(micro.data, licence=licence, language="ami")
        config = dataclasses.replace(micro, data=data, init_from=init_from)
        folder = loop.train(optim(config, epochs=1, average=1), tmp_path / name, CPU)
        return load_checkpoint(folder)

    monkeypatch.chdir(tmp_path)
    first = trained("first", "CC BY 4.0")
    second = trained("second", "CC0", "first/checkpoint")
    third = trained("third", "CC BY 4.0", str(tmp_path / "second/checkpoint"))
    training = third.config["training"]
    assert training["licence"] == "CC BY 4.0; CC0"
    assert training["data"]["licence"] == "CC BY 4.0"
    card = (tmp_path / "third/checkpoint/README.md").read_text()
    assert '\nlanguage: "ami"\n' in card
    assert "for the language `ami`" in card
    names = ("first", "second", "third")
    assert training["commands"] == [f"python -m asr train -o {name}" for name in names]
    digests = [c.config["files"]["model.safetensors"]["sha256"] for c in (first, second)]
    assert training["init_from_sha256"] == digests[1]
    assert training["ancestors"] == dict(
        zip(("first/checkpoint", "second/checkpoint"), digests, strict=True)
    )
    average_checkpoints([tmp_path / "first/checkpoint", tmp_path / "third/checkpoint"], Path("m"))
    mean = trained("fourth", "CC0", "m").config["training"]
    assert len(mean["ancestors"]) == 5
    assert mean["licence"] == "CC BY 4.0; CC0"


def test_a_resumed_run_remembers_its_source(
    micro: Config, whole: Path, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = shutil.copytree(whole / "checkpoint", tmp_path / "base")
    config = optim(dataclasses.replace(micro, init_from=str(base)), epochs=1, save_minutes=0.0)
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 3, kill)
        with pytest.raises(Killed):
            loop.train(config, folder, CPU)
    sha256 = load_checkpoint(base).config["files"]["model.safetensors"]["sha256"]
    shutil.rmtree(base)
    run_training(TrainingOptions(folder, resume=True))
    training = load_checkpoint(folder / "checkpoint").config["training"]
    assert training["init_from_sha256"] == sha256
    assert list(training["ancestors"].values()) == [sha256]


def test_a_state_of_an_older_version_has_no_source(broken: Path, quick: None) -> None:
    state = load_state(broken)
    del state["source"]
    write_state(broken, 6, state, 3)
    run_training(TrainingOptions(broken, resume=True))
    training = load_checkpoint(broken / "checkpoint").config["training"]
    assert "init_from_sha256" not in training
    assert not any(os.sep == argument[0] for argument in " ".join(training["commands"]).split())
